"""Tables of the configuration in little memory: 100,000 accounts as dictionaries would take 40 MiB and more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

DEEPEST = 20  # levels of nested tables and lists that are packed; no setting has more than five


class Packer:
    """Turns tables and lists into tuples, and keeps each distinct text, set of keys and tuple only once.

    A list becomes the tuple of its values; a table becomes (None, keys, *values). TOML has no None, so the two cannot
    be confused. Anything nested deeper than DEEPEST is kept as (None, None, value).
    """

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._shapes: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._tuples: dict[str, object] = {}  # by their repr, since (1,) == (True,)

    def pack(self, value: object, depth: int = 0) -> object:
        if type(value) is str:
            return self._texts.setdefault(value, value)
        if not isinstance(value, dict | list):
            return value
        if depth > DEEPEST:
            return (None, None, value)
        packed: tuple[object, ...]
        if isinstance(value, dict):
            packed = self.table(value, depth)
        else:
            packed = tuple([self.pack(each, depth + 1) for each in value])
        return self._tuples.setdefault(repr(packed), packed)

    def table(self, table: dict[str, Any], depth: int = 0) -> tuple[object, ...]:
        """Packs a table. Two equal tables become two tuples."""
        keys, texts = tuple(table), self._texts
        values = [
            texts.setdefault(value, value) if type(value) is str else self.pack(value, depth + 1)
            for value in table.values()
        ]
        return (None, self._shapes.setdefault(keys, keys), *values)

    def text(self, text: str) -> str:
        return self._texts.setdefault(text, text)

    def packed_table(self, table: dict[str, Any]) -> tuple[object, ...]:
        """A packed table of packed values."""
        return (None, self.shape(tuple(table)), *table.values())

    def shape(self, keys: tuple[str, ...]) -> tuple[str, ...]:
        return self._shapes.setdefault(keys, keys)

    def forget(self) -> None:
        """Frees the memory that is used to find equal values. The packer can still be used."""
        self._texts, self._shapes, self._tuples = {}, {}, {}


def unpacked(value: Any) -> Any:
    """A packed value as new dictionaries and lists."""
    if type(value) is not tuple:
        return value
    if not value or value[0] is not None:
        return [unpacked(each) for each in value]
    keys = value[1]
    if keys is None:
        return value[2]
    return {key: unpacked(each) for key, each in zip(keys, value[2:], strict=True)}


class CompactTables(MutableMapping[str, Any]):
    """Tables by name. Each look-up makes a new dictionary; changing it has no effect here."""

    def __init__(self, packer: Packer, tables: Mapping[str, Any] | None = None) -> None:
        self.packer = packer
        self.packed: dict[str, Any] = {}
        if isinstance(tables, CompactTables):
            self.packed.update(tables.packed)
        elif tables is not None:
            self.update(tables)

    def __getitem__(self, name: str) -> Any:
        return unpacked(self.packed[name])

    def __setitem__(self, name: str, table: Any) -> None:
        self.packed[name] = self.packer.table(table) if isinstance(table, dict) else self.packer.pack(table)

    def __delitem__(self, name: str) -> None:
        del self.packed[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.packed)

    def __len__(self) -> int:
        return len(self.packed)

    def cell(self, name: str, key: str) -> Any:
        """A value of a table; None if it has none."""
        row = self.packed.get(name)
        if type(row) is not tuple or not row or row[0] is not None:
            return None
        keys = row[1]
        if keys is None or key not in keys:
            return None
        return unpacked(row[2 + keys.index(key)])

    def __contains__(self, name: object) -> bool:
        return name in self.packed
