"""What the statements here need of a database. `apsw.Connection` is one; so is `postgresql.database.Connection`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence


class Result(Protocol):
    """The rows of one statement, each once."""

    def __iter__(self) -> Iterator[Any]: ...

    def __next__(self) -> Any: ...

    def fetchone(self) -> Any:
        """The next row; None after the last one."""
        ...

    @property
    def get(self) -> Any:
        """The first row; its value where it has one column; None when there is no row."""
        ...


class Database(Protocol):
    """A connection, in SQLite's dialect.

    Statements use what both databases have in common, and of SQLite's own: `?`, `?1` and `:name` for values,
    `json_each(?)` for rows that are given as JSON, `value->>0` for their columns, `iif`, `max` and `min` of several
    values, `json_array` and `json_group_array`, `unhex`, `instr`, `INDEXED BY`.
    """

    def execute(self, statements: str, bindings: Any = (), /) -> Result:
        """bindings: values by place, or by name."""
        ...

    def executemany(self, statements: str, sequenceofbindings: Iterable[Sequence[Any] | Mapping[str, Any]], /) -> Any:
        """The statement for each of the bindings."""
        ...

    def changes(self) -> int:
        """Rows that the last statement has written or deleted."""
        ...
