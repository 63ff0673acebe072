"""Tables of the configuration in CSV files: a header row names the settings, and each further row is a table."""

from __future__ import annotations

import csv
import re
from array import array
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from functools import cache, partial
from io import StringIO
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

import msgspec

from crawlerd.config.compact_tables import CompactTables
from crawlerd.config.csv_packing import RowPacker
from crawlerd.config.facts import option_names
from crawlerd.config.file import TABLES
from crawlerd.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from crawlerd.config.compact_tables import Packer

Kind = Literal["accounts", "imports"]
SHOWN = 20  # problems of one file that are reported


class Files(Protocol):
    """What reading rows needs of the environment."""

    def text(self, file: str) -> str:
        """The text of a file. Raises ValueError with the reason if it cannot be read."""
        ...

    def options(self, kind: Kind, source: object) -> type | None:
        """The class of the additional keys that an account of a source, or an import of it, may have; None if there are
        none."""
        ...


class Places:
    """The places of tables that come from other files than `file`."""

    def __init__(self, file: str) -> None:
        self._file = file
        # by kind: a file, the index of its first table, and its lines
        self._files: dict[str, list[tuple[str, int, array[int]]]] = {}
        self._names: dict[str, list[str]] = {}  # the names of all tables, by kind
        self._rows: dict[tuple[str, str], tuple[str, int, int]] | None = None

    def add(self, kind: str, file: str, names: list[str], lines: array[int]) -> None:
        """Adds the tables of a file.

        names: all tables of the kind so far; the last ones are those of the file.
        lines: the lines of the file's tables.
        """
        self._names[kind] = names  # only the names, since the tables are freed as they are checked
        self._files.setdefault(kind, []).append((file, len(names) - len(lines), lines))

    def placed(self, problems: Iterable[str]) -> list[str]:
        """The problems of the document, each with its file and line. If one file has many, only some are kept."""
        found: list[str] = []
        left_out: Counter[str] = Counter()
        shown: Counter[str] = Counter()
        places = self._places()
        for problem in problems:
            text = problem.removeprefix(f"{self._file}: ")
            table = re.match(r'(\w+)\.(?:"([^"]*)"|([\w-]+))', text)
            file, line = places.get((table[1], table[2] or table[3]), ("", 0)) if table else ("", 0)
            shown[file] += 1
            if not file:
                found.append(problem)
            elif shown[file] <= SHOWN:
                found.append(f"{file}:{line}: {text}")
            else:
                left_out[file] += 1
        return found + [f"{file}: and {count} more problems" for file, count in left_out.items()]

    def row(self, kind: str, name: str) -> tuple[str, int, int] | None:
        """For a table from a CSV file: the file, the line, and the index of the table that names the file. None for
        other tables."""
        if self._rows is None:
            self._rows = {
                (kind, each): (file, line, number)
                for kind, files in self._files.items()
                for number, (file, first, lines) in enumerate(files)
                for each, line in zip(list(self._names[kind])[first:], lines, strict=False)
            }
        return self._rows.get((kind, name))

    def _places(self) -> dict[tuple[str, str], tuple[str, int]]:
        """File and line by kind and name."""
        found = {}
        for kind, files in self._files.items():
            names = self._names[kind]
            for file, first, lines in files:
                found.update({(kind, name): (file, line) for name, line in zip(names[first:], lines, strict=False)})
        return found


def with_rows(document: Mapping[str, Any], file: str, files: Files, packer: Packer) -> tuple[dict[str, Any], Places]:
    """The document with the tables of its `[[accounts_csv]]` and `[[imports_csv]]`. In each of these, `file` names a
    CSV file, and all other keys are shared by its rows.

    Raises ConfigurationError for problems of the CSV files themselves.
    """
    whole = {key: value for key, value in document.items() if key not in [f"{kind}_csv" for kind in get_args(Kind)]}
    places, problems = Places(file), []
    for kind in get_args(Kind):
        listed = document.get(f"{kind}_csv", [])
        for number, given in enumerate(listed if isinstance(listed, list) else [listed]):
            where = f"{file}: {kind}_csv[{number}]"
            match given:
                case {"file": str(path), **usual} if isinstance(whole.get(kind, {}), Mapping):
                    known = whole[kind] = CompactTables(packer, whole.get(kind, {}))
                    lines = array("L")
                    rows = RowPacker({str(key): value for key, value in usual.items()}, packer, partial(_value, kind))
                    try:
                        for line, cells in _rows(files.text(path)):
                            name = cells.pop("name")
                            if name in known:
                                problems.append(f"{path}:{line}: there is a second [{kind}.{name}]")
                                continue
                            if kind == "accounts":
                                name = packer.text(name)  # packed, since imports have the same text
                            if (row := rows.row(cells)) is None or _has_options(kind, row, files, whole):
                                known[name] = with_cells(kind, usual, cells, files, whole)
                            else:
                                known.packed[name] = row
                            lines.append(line)
                    except ValueError as error:
                        problems.append(f"{where}: {path}: {error}")
                    places.add(kind, path, list(known), lines)
                case {"file": str()}:
                    pass  # `accounts` or `imports` is not a table, which the checks report
                case _:
                    problems.append(f'{where}: must be a table with a file, such as file = "{kind}.csv"')
    if problems:
        raise ConfigurationError(problems)
    return whole, places


def with_cells(
    kind: Kind, usual: Mapping[Any, Any], cells: Mapping[str, str], files: Files, document: Mapping[str, Any]
) -> dict[str, Any]:
    """The table that these cells describe, as if it stood in the configuration. A cell is the text of a setting.
    The cell "deliver.path" is the key `path` of the table `deliver`."""
    table = _table(kind, usual, cells)
    _type_options(table, files.options(kind, _source(kind, table, document)))
    return table


def _source(kind: Kind, table: Mapping[str, Any], document: Mapping[str, Any]) -> object:
    if kind == "accounts":
        return table.get("source")
    return _source_of(table.get("account"), document)


def _source_of(account: object, document: Mapping[str, Any]) -> object:
    """The source of an account's table; None if it has none, which the checks report."""
    accounts = document.get("accounts")
    if not isinstance(account, str) or not isinstance(accounts, Mapping):
        return None
    if isinstance(accounts, CompactTables):
        return accounts.cell(account, "source")
    table = accounts.get(account)
    return table.get("source") if isinstance(table, dict) else None


def _has_options(kind: Kind, row: tuple[Any, ...], files: Files, document: Mapping[str, Any]) -> bool:
    """Whether a packed row has settings that its source declares."""
    keys, wanted = row[1], "source" if kind == "accounts" else "account"
    if wanted not in keys:
        return False
    found = row[2 + keys.index(wanted)]
    declared = option_names(files.options(kind, found if kind == "accounts" else _source_of(found, document)))
    return not all(key not in keys for key in declared)


def _rows(text: str) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows after the header: the line of each, and its cells by column, without empty ones."""
    reader = csv.reader(StringIO(text, newline=""), strict=True)
    try:
        header = [column.strip() for column in next(reader, [])]
        if "name" not in header or not all(header) or len(set(header)) < len(header):
            raise ValueError('the first line must name the columns, each once, "name" among them')
        for cells in reader:
            if not any(cells):
                continue
            row = {column: text for column, cell in zip(header, cells, strict=False) if (text := cell.strip())}
            if len(cells) != len(header) or "name" not in row:
                raise ValueError(f"line {reader.line_num} must have {len(header)} cells, and a name")
            yield reader.line_num, row
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num} is not CSV: {error}") from None


def _table(kind: Kind, usual: Mapping[Any, Any], cells: Mapping[str, str]) -> dict[str, Any]:
    """The shared settings and the cells of one row as a table; "deliver.path" is the key `path` of the table
    `deliver`."""
    table = {key: dict(value) if isinstance(value, dict) else value for key, value in usual.items()}
    for column, text in cells.items():
        first, _, inner = column.partition(".")
        if inner and isinstance(table.setdefault(first, {}), dict):
            table[first][inner] = text
        else:
            table[column] = _value(kind, column, text)
    return table


def _value(kind: Kind, column: str, text: str) -> Any:
    """A cell as a TOML value. Text that is not valid stays text, which the checks report."""
    types = _types(kind, column)
    if column == "streams":
        return re.split(r"[\s,;]+", text)
    if bool in types:
        return {"true": True, "false": False}.get(text, text)
    with suppress(ValueError):
        if int in types:
            return int(text)
        if float in types:
            return float(text)
    return text


@cache
def _types(kind: Kind, column: str) -> tuple[Any, ...]:
    """The types that a setting may have."""
    field = TABLES[kind].model_fields.get(column)
    return (field.annotation, *get_args(field.annotation)) if field else ()


def _type_options(table: dict[str, Any], options: type | None) -> None:
    """Turns text into numbers for the keys that a source declares."""
    if options is not None and not table.keys().isdisjoint(option_names(options)):
        with suppress(msgspec.ValidationError):
            typed = msgspec.to_builtins(msgspec.convert(table, options, strict=False))
            table |= {key: value for key, value in typed.items() if key in table}
