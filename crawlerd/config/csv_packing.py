"""Turns rows of CSV files into packed tables, a hundred thousand in a second, with the same result as
`csv_tables.with_cells`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from crawlerd.config.compact_tables import Packer

REMEMBERED = 10_000  # how many cells are remembered


class Nested(NamedTuple):
    """A table within the tables of rows: where it is, its keys, and the columns whose cells it has."""

    at: int
    keys: tuple[str, ...]
    values: list[Any]
    cells: list[tuple[int, str]]


class Plan(NamedTuple):
    """The form of tables for rows with the same columns.

    values: the packed values that the rows share, with gaps for their cells.
    cells: the position for the cell of each column.
    """

    keys: tuple[str, ...]
    values: list[Any]
    cells: list[tuple[int, str]]
    nested: list[Nested]


class RowPacker:
    """Packs the rows of a file, whose tables differ only in their cells."""

    def __init__(self, usual: Mapping[str, Any], packer: Packer, value: Callable[[str, str], Any]) -> None:
        """usual: the settings that all rows share.
        packer: keeps equal values only once.
        value: (column, text) -> the cell as a TOML value.
        """
        self._usual = usual
        self._packer = packer
        self._value = value
        self._plans: dict[tuple[str, ...], Plan | None] = {}
        self._known: dict[tuple[str, str], Any] = {}

    def row(self, cells: Mapping[str, str]) -> tuple[Any, ...] | None:
        """The packed table of a row; None if only `with_cells` can make it, since one column is for a setting and
        another for a key inside it."""
        columns = tuple(cells)
        plan = self._plans[columns] if columns in self._plans else self._planned(columns)
        if plan is None:
            return None
        values = plan.values.copy()
        for at, column in plan.cells:
            values[at] = self._cell(column, cells[column])
        for nested in plan.nested:
            inner = nested.values.copy()
            for at, column in nested.cells:
                inner[at] = self._packer.text(cells[column])
            values[nested.at] = (None, nested.keys, *inner)
        return (None, plan.keys, *values)

    def _cell(self, column: str, text: str) -> Any:
        found = self._known.get((column, text))
        if found is None:
            found = self._packer.pack(self._value(column, text))
            if len(self._known) < REMEMBERED:
                self._known[column, text] = found
        return found

    def _planned(self, columns: tuple[str, ...]) -> Plan | None:
        usual, pack = self._usual, self._packer.pack
        # by key of the outer table: the keys inside it, with the columns that have their values
        inner: dict[str, dict[str, str]] = {}
        keys = dict.fromkeys(usual)
        for column in columns:
            first, _, key = column.partition(".")
            if key and not isinstance(usual.get(first, {}), dict):
                key = ""
            keys[first if key else column] = None
            if key:
                inner.setdefault(first, {})[key] = column
        at = {key: number for number, key in enumerate(keys)}
        plan = None
        if inner.keys().isdisjoint(columns):
            plan = Plan(
                self._packer.shape(tuple(keys)),
                [pack(usual.get(key)) for key in keys],
                [(at[column], column) for column in columns if column in at],
                [self._nested(at[first], usual.get(first, {}), found) for first, found in inner.items()],
            )
        self._plans[columns] = plan
        return plan

    def _nested(self, at: int, usual: Mapping[str, Any], columns: Mapping[str, str]) -> Nested:
        keys = [*dict.fromkeys([*usual, *columns])]
        values = [self._packer.pack(usual.get(key)) for key in keys]
        cells = [(keys.index(key), column) for key, column in columns.items()]
        return Nested(at, self._packer.shape(tuple(keys)), values, cells)
