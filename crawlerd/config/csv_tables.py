"""Tables of the configuration that stand in CSV files: a header row names the settings, each further row is a table."""

from __future__ import annotations

import csv
import re
from collections import Counter
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

import msgspec

from crawlerd.config.file import TABLES
from crawlerd.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Kind = Literal["accounts", "imports"]
SHOWN = 20  # problems of one file


class Files(Protocol):
    """What the rows need to know of the environment."""

    def text(self, file: str) -> str:
        """A file's text; ValueError in plain words."""
        ...

    def options(self, kind: Kind, table: Mapping[str, Any], document: Mapping[str, Any]) -> type | None:
        """The class of the keys that a table may have in addition to the usual ones; None when there are none."""
        ...


class Places:
    """Where the tables of a document stand that are not in `file` itself."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._lines: dict[tuple[str, str], tuple[str, int]] = {}

    def add(self, kind: str, name: str, file: str, line: int) -> None:
        self._lines[kind, name] = file, line

    def placed(self, problems: Iterable[str]) -> list[str]:
        """Problems of the document, each with the file and line in which it stands; of one file, not all of many."""
        found: list[str] = []
        left_out: Counter[str] = Counter()
        shown: Counter[str] = Counter()
        for problem in problems:
            text = problem.removeprefix(f"{self._file}: ")
            table = re.match(r'(\w+)\.(?:"([^"]*)"|([\w-]+))', text)
            file, line = self._lines.get((table[1], table[2] or table[3]), ("", 0)) if table else ("", 0)
            shown[file] += 1
            if not file:
                found.append(problem)
            elif shown[file] <= SHOWN:
                found.append(f"{file}:{line}: {text}")
            else:
                left_out[file] += 1
        return found + [f"{file}: and {count} more problems" for file, count in left_out.items()]


def with_rows(document: Mapping[str, Any], file: str, files: Files) -> tuple[dict[str, Any], Places]:
    """The document with the tables of its `[[accounts_csv]]` and `[[imports_csv]]`: `file` names a CSV file, all other
    keys are what its rows have in common. Raises ConfigurationError with what is wrong about the files themselves."""
    whole = {key: value for key, value in document.items() if key not in [f"{kind}_csv" for kind in get_args(Kind)]}
    places, problems = Places(file), []
    for kind in get_args(Kind):
        listed = document.get(f"{kind}_csv", [])
        for number, given in enumerate(listed if isinstance(listed, list) else [listed]):
            where = f"{file}: {kind}_csv[{number}]"
            match given:
                case {"file": str(path), **usual} if isinstance(whole.get(kind, {}), dict):
                    known = whole[kind] = dict(whole.get(kind, {}))
                    try:
                        for line, cells in _rows(files.text(path)):
                            name = cells.pop("name")
                            if name in known:
                                problems.append(f"{path}:{line}: there is a second [{kind}.{name}]")
                            known[name] = with_cells(kind, usual, cells, files, whole)
                            places.add(kind, name, path, line)
                    except ValueError as error:
                        problems.append(f"{where}: {path}: {error}")
                case {"file": str()}:
                    pass  # `accounts` or `imports` is no table, which the checks say
                case _:
                    problems.append(f'{where}: must be a table with a file, such as file = "{kind}.csv"')
    if problems:
        raise ConfigurationError(problems)
    return whole, places


def with_cells(
    kind: Kind, usual: Mapping[Any, Any], cells: Mapping[str, str], files: Files, document: Mapping[str, Any]
) -> dict[str, Any]:
    """A table with settings that are text, by key; "deliver.path" is the key `path` of the table `deliver`."""
    table = _table(kind, usual, cells)
    _type_options(table, files.options(kind, table, document))
    return table


def _rows(text: str) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows after the header: the line of each, and its cells by column, without the empty ones."""
    reader = csv.reader(text.splitlines(keepends=True), strict=True)
    try:
        header = [column.strip() for column in next(reader, [])]
        if "name" not in header or not all(header) or len(set(header)) < len(header):
            raise ValueError('the first line must name the columns, each once, "name" among them')
        for cells in reader:
            if not any(cells):
                continue
            row = {column: cell.strip() for column, cell in zip(header, cells, strict=False) if cell.strip()}
            if len(cells) != len(header) or "name" not in row:
                raise ValueError(f"line {reader.line_num} must have {len(header)} cells, and a name")
            yield reader.line_num, row
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num} is no CSV: {error}") from None


def _table(kind: Kind, usual: Mapping[Any, Any], cells: Mapping[str, str]) -> dict[str, Any]:
    """What the rows have in common, and one row's cells; "deliver.path" is the key `path` of the table `deliver`."""
    table = {key: dict(value) if isinstance(value, dict) else value for key, value in usual.items()}
    for column, text in cells.items():
        first, _, inner = column.partition(".")
        if inner and isinstance(table.setdefault(first, {}), dict):
            table[first][inner] = text
        else:
            table[column] = _value(kind, column, text)
    return table


def _value(kind: Kind, column: str, text: str) -> Any:
    """A cell as TOML would have it; text that is none is left to the checks, which say so."""
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
    """What a setting may be."""
    field = TABLES[kind].model_fields.get(column)
    return (field.annotation, *get_args(field.annotation)) if field else ()


def _type_options(table: dict[str, Any], options: type | None) -> None:
    """Numbers among the keys that a source declares."""
    if options is not None:
        with suppress(msgspec.ValidationError):
            typed = msgspec.to_builtins(msgspec.convert(table, options, strict=False))
            table |= {key: value for key, value in typed.items() if key in table}
