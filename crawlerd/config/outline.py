"""Which imports and accounts a configuration file has, without checking it: for commands that must be fast."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from crawlerd.config.load import unchecked
from crawlerd.config.parts import part_paths
from crawlerd.core.errors import ConfigurationError
from crawlerd.core.schedule_rules import Schedule, parse_schedule, period

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LARGEST = 1 << 20  # bytes of a file; larger ones are not read


@dataclass(frozen=True, slots=True)
class OutlinedImport:
    """An import in an unchecked file.

    schedule: None for on demand, and if it cannot be read.
    """

    account: str
    schedule: Schedule | None

    @property
    def every(self) -> float | None:
        """See `ImportSpec`."""
        return period(self.schedule)


@dataclass(frozen=True, slots=True)
class OutlinedAccount:
    source: str


@dataclass(frozen=True, slots=True)
class Outline:
    """Imports and accounts, by name."""

    imports: dict[str, OutlinedImport] = field(default_factory=dict)
    accounts: dict[str, OutlinedAccount] = field(default_factory=dict)


def outline(path: Path) -> Outline | None:
    """The outline; None if a file of the configuration cannot be read or is large."""
    found = Outline()
    try:
        if any(each.stat().st_size > LARGEST for each in (path, *part_paths(path))):
            return None
        document = unchecked(path)
        for name, table in _tables(document, "imports", path.absolute().parent):
            found.imports[name] = OutlinedImport(str(table.get("account", "")), _schedule(table.get("schedule")))
        for name, table in _tables(document, "accounts", path.absolute().parent):
            found.accounts[name] = OutlinedAccount(str(table.get("source", "")))
    except (ConfigurationError, OSError, ValueError, csv.Error):
        return None
    return found


def _tables(document: Mapping[str, Any], kind: str, folder: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    tables = document.get(kind, {})
    if isinstance(tables, Mapping):
        yield from ((name, table) for name, table in tables.items() if isinstance(table, Mapping))
    listed = document.get(f"{kind}_csv", [])
    for each in listed if isinstance(listed, list) else [listed]:
        if not isinstance(each, dict) or not isinstance(each.get("file"), str):
            raise ValueError(f"{kind}_csv names no file")
        file = folder / each["file"]
        if file.stat().st_size > LARGEST:
            raise ValueError(f"{file} is large")
        for row in csv.DictReader(file.read_text("utf-8-sig").splitlines()):
            if name := (row.get("name") or "").strip():
                yield name, {**each, **{key: cell.strip() for key, cell in row.items() if key and cell}}


def _schedule(text: object) -> Schedule | None:
    with suppress(ValueError):
        if isinstance(text, str):
            parse_schedule(text)
            return Schedule(text=text)
    return None
