"""The frontier's statements, which are in SQLite's dialect, as PostgreSQL's.

Only what those statements use is known here. Rows that come as JSON in SQLite come as an array for each column, which
PostgreSQL reads many times faster: `json_each(?)` is `unnest`, and `value->>0` one of its columns. The type of such a
column is that of the values, or where they do not say (no rows, or NULL alone), that of the column next to it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

NUL = "\N{SYMBOL FOR NULL}"  # in the place of U+0000, which no text of PostgreSQL can hold
_PLACE = re.compile(r"\?(\d*)|(?<![:\w]):([a-z_]+)\b")
_EACH = re.compile(r"\bjson_each\((\?\d*|:[a-z_]+)\)(?: AS (\w+))?", re.IGNORECASE)
_COLUMN = re.compile(r"\b(?:(\w+)\.)?value(->>?)(\d+)\b")
_LITERALS = (
    (re.compile(r" (?:INDEXED BY \w+|NOT INDEXED)"), ""),
    (re.compile(r"\bCROSS JOIN (\w+(?: AS \w+)?) ON\b"), r"JOIN \1 ON"),
    (re.compile(r"\binstr\("), "strpos("),
    (re.compile(r"format\('%0(\d+)\.6f', (\w+)\)"), r"lpad(\2::numeric(30, 6)::text, \1, '0')"),
    # of each account the first row, where SQLite takes the other columns from the row that has the minimum
    (
        re.compile(r"SELECT (.+) AS account, reason, min\(place \* 1e12 \+ until\)\s+FROM (.+) GROUP BY .+"),
        r"SELECT DISTINCT ON (\1) \1 AS account, reason FROM \2 ORDER BY \1, place * 1e12 + until",
    ),
    (
        re.compile(r"\bjson_set\(which, '\$\.import', (\?\d+)\)"),
        r"jsonb_set(which::jsonb, '{import}', to_jsonb(\1::text))::text",
    ),
    (re.compile(r"\bwhich ->> 'import'"), "which::jsonb ->> 'import'"),
    (re.compile(r"\bready > 0 AND paused = 0\b"), "busy AND ready > 0 AND paused = 0"),
    (
        re.compile(r"\bbucket\.ready > 0 AND bucket\.paused = 0\b"),
        "bucket.busy AND bucket.ready > 0 AND bucket.paused = 0",
    ),
    (re.compile(r"\bFROM run WHERE dead > 0"), "FROM run WHERE mourned AND dead > 0"),
    (re.compile(r"\bstate <> 'running' AND dead = 0 AND open = 0"), "prunable"),
    (re.compile(r"\bx''"), r"'\\x'::bytea"),
    (re.compile(r"\bchar\("), "chr("),
    (re.compile(r"\bjson_array\("), "json_build_array("),
)
_DERIVED = re.compile(r"\b(?:FROM|JOIN)\s+\(")
_CALL = re.compile(r"\b(iif|max|min|unhex|json_group_array|substr)\(")
_SCALAR = {"max": "greatest", "min": "least"}


class Array(NamedTuple):
    """A column of rows, to be sent as the text of an array. type: of its elements."""

    type: str
    values: Sequence[Any]

    def text(self) -> bytes:
        """As PostgreSQL reads it. By far quicker than adapting the values one by one."""
        if self.type == "text":
            return b"{" + b",".join(map(_quoted, self.values)) + b"}"
        if self.type == "json":
            return b"{" + b",".join([_quoted(msgspec.json.encode(each).decode()) for each in self.values]) + b"}"
        return (
            b"{" + b",".join([b"NULL" if each is None else b"%s" % repr(each).encode() for each in self.values]) + b"}"
        )


def _quoted(value: str | None) -> bytes:
    if value is None:
        return b"NULL"
    value = value.replace("\0", NUL) if "\0" in value else value
    return b'"' + value.replace("\\", "\\\\").replace('"', '\\"').encode() + b'"'


class Statement(NamedTuple):
    """text: PostgreSQL's, with $1, $2 … for the values.
    places: where each of them comes from: its place in the statement; of rows, the column and its type as well.
    """

    text: str
    places: tuple[tuple[str, int | None, str], ...]


class Shape(NamedTuple):
    """What rows look like: `rows` of columns, plain `values`, or `pairs`. types: of the columns, None for unknown."""

    form: str
    types: tuple[str | None, ...]


NULL = Shape("null", ())  # of a single value: its type is not known


def columns(given: Any) -> tuple[Shape, list[Sequence[Any]]]:
    """given: JSON, or rows as they are."""
    rows = msgspec.json.decode(given) if isinstance(given, str) else given
    if isinstance(rows, dict):
        found: list[Sequence[Any]] = [list(rows), list(rows.values())]
        return Shape("pairs", ("text", _type(found[1]))), found
    if rows and isinstance(rows[0], list | tuple):
        found = [_plain(column) for column in zip(*rows, strict=True)]
        return Shape("rows", tuple(map(_type, found))), found
    return Shape("values", (_type(rows),)), [rows]


def _plain(column: Sequence[Any]) -> Sequence[Any]:
    return [int(each) for each in column] if any(each is True or each is False for each in column) else column


def _type(column: Iterable[Any]) -> str | None:
    kinds = set(map(type, column)) - {type(None)}
    if not kinds:
        return None
    if kinds <= {int, bool}:
        return "bigint"
    if kinds <= {int, float}:
        return "double precision"
    return "text" if all(issubclass(each, str) for each in kinds) else "json"


@lru_cache(maxsize=4096)
def translated(statement: str, shapes: tuple[tuple[str, Shape], ...], guess: Callable[[str], str]) -> Statement:
    """shapes: of what `json_each` gets, by its place. guess: the type of a column, by its name."""
    known = dict(shapes)
    text, places = statement, dict[tuple[str, int | None, str], int]()

    def number(place: str, column: int | None = None, kind: str = "") -> str:
        return f"${places.setdefault((place, column, kind), len(places) + 1)}"

    text = _numbered(text)
    for pattern, better in _LITERALS:
        text = pattern.sub(better, text)
    tables: dict[str | None, str] = {}  # the place that an alias of `json_each` stands for
    used: dict[str, set[int]] = {}
    for found in _EACH.finditer(text):
        tables[found[2]] = found[1]
    for found in _COLUMN.finditer(text):
        place = tables.get(found[1]) or tables.get(None) or next(iter(tables.values()))
        used.setdefault(place, set()).add(int(found[3]))
    kinds = {
        place: _kinds(text, shape, used.get(place, set()), guess) for place, shape in known.items() if shape is not NULL
    }
    for found in _COLUMN.finditer(text):
        if found[2] == "->":  # the value as JSON
            kinds[tables.get(found[1]) or next(iter(tables.values()))][int(found[3])] = "json"

    def each(found: re.Match[str]) -> str:
        place, alias = found[1], found[2] or "each_"
        shape = known[place]
        arrays = ", ".join(
            f"{number(place, column, kind)}::{'text' if kind == 'json' else kind}[]"
            for column, kind in enumerate(kinds[place])
        )
        match shape.form:
            case "pairs":
                return f"unnest({arrays}) AS {alias}(key, value)"
            case "values" if not used.get(place):
                return f"unnest({arrays}) WITH ORDINALITY AS {alias}(value, key)"
            case _:
                return f"unnest({arrays}) AS {alias}({', '.join(f'c{column}' for column in range(len(kinds[place])))})"

    text = _COLUMN.sub(lambda found: f"{found[1] or 'each_'}.c{found[3]}", text)
    text = _EACH.sub(each, text)
    text = _PLACE.sub(lambda found: "NULL" if found[0] in known else number(found[0]), text)
    return Statement(_called(_named(text)), tuple(places))


def plain(statement: str) -> str:
    """A statement without values."""
    return translated(statement, (), str).text


def places_of_rows(statement: str) -> tuple[str, ...]:
    """The places whose values `json_each` reads, each once."""
    return tuple(dict.fromkeys(found[1] for found in _EACH.finditer(_numbered(statement))))


@lru_cache(maxsize=4096)
def _numbered(statement: str) -> str:
    """`?` with its number."""
    numbers = count(1)

    def named(found: re.Match[str]) -> str:
        return found[0] if found[1] or found[2] else f"?{next(numbers)}"

    return _PLACE.sub(named, statement)


def _kinds(text: str, shape: Shape, used: set[int], guess: Callable[[str], str]) -> list[str]:
    """The types of the columns that `unnest` gives."""
    size = max((*used, len(shape.types) - 1)) + 1 if used else len(shape.types)
    types: list[str | None] = [*shape.types, *[None] * size][:size]
    if shape.form in ("values", "pairs") and not used:
        *keys, value = types
        return [*map(str, keys), value or guess(_beside(text, r"(?:\w+\.)?value") or _listed(text))]
    inserted = _inserted(text)
    return [
        kind or guess(inserted.get(column) or _beside(text, rf"(?:\w+\.)?value->>{column}\b") or "")
        for column, kind in enumerate(types)
    ]


def _beside(text: str, reference: str) -> str:
    """The name of the column that a reference is compared with, or given to."""
    found = re.search(rf"\b(\w+)\"? (?:=|<>|>|<) {reference}", text)
    found = found or re.search(rf"{reference} (?:=|<>|>|<) (?:\w+\.)?(\w+)", text)
    return found[1] if found else ""


def _listed(text: str) -> str:
    found = re.search(r"\b(\w+) (?:NOT )?IN \(SELECT value FROM json_each", text)
    found = found or re.search(r"\((\w+)\) AS \(SELECT value FROM json_each", text)
    return found[1] if found else ""


def _inserted(text: str) -> dict[int, str]:
    """The columns that values of rows are inserted into, by the place of the values."""
    found = re.match(r"\s*INSERT INTO (\w+)(?:\(([^)]*)\))?\s*SELECT (.*?) FROM json_each", text, re.DOTALL)
    if not found:
        return {}
    names = (
        [each.strip() for each in found[2].split(",")] if found[2] else [f"{found[1]}.{place}" for place in range(40)]
    )
    return {
        int(inner[3]): name
        for name, part in zip(names, _parts(found[3]), strict=False)
        if (inner := _COLUMN.fullmatch(part.strip()))
    }


def _named(text: str) -> str:
    """Subqueries in FROM with the names that PostgreSQL wants."""
    place = 0
    for number in count(1):
        found = _DERIVED.search(text, place)
        if not found:
            break
        _, end = _inside(text, found.end())
        if not re.match(r"\s+(?!WHERE|GROUP|ORDER|LIMIT|JOIN|LEFT|CROSS|UNION|ON)\w", text[end:]):
            text = f"{text[:end]} AS derived_{number}{text[end:]}"
        place = found.end()
    return text


def _called(text: str) -> str:
    """`iif`, and `max` and `min` of several values."""
    place = 0
    while found := _CALL.search(text, place):
        inside, end = _inside(text, found.end())
        parts = _parts(inside)
        call = found[0] + inside + ")"
        match found[1]:
            case "iif":
                condition, then, other = parts
                call = f"CASE WHEN {condition} THEN {then} ELSE {other} END"
            case "substr":
                call = f"substr({parts[0]}, {', '.join(f'({each})::integer' for each in parts[1:])})"
            case "unhex":
                call = f"decode({inside}, 'hex')"
            case "json_group_array":
                call = f"coalesce(json_agg({inside}), '[]'::json)"
            case name if len(parts) > 1:
                call = f"{_SCALAR[name]}({inside})"
        text = f"{text[: found.start()]}{call}{text[end:]}"
        place = found.start() + 1
    return text


def _inside(text: str, start: int) -> tuple[str, int]:
    """What is inside of the parenthesis that is open at `start`, and the place after it."""
    depth, place, quoted = 1, start, False
    while depth:
        letter = text[place]
        quoted ^= letter == "'"
        if not quoted:
            depth += (letter == "(") - (letter == ")")
        place += 1
    return text[start : place - 1], place


def _parts(text: str) -> list[str]:
    """Split at commas that are inside of no parenthesis and no text."""
    parts, depth, quoted, start = [], 0, False, 0
    for place, letter in enumerate(text):
        quoted ^= letter == "'"
        if not quoted:
            depth += (letter == "(") - (letter == ")")
            if letter == "," and not depth:
                parts.append(text[start:place].strip())
                start = place + 1
    return [*parts, text[start:].strip()]


def bindings(places: Mapping[str, Any], statement: str, guess: Callable[[str], str]) -> tuple[Statement, list[Any]]:
    """A statement of PostgreSQL, and its values in order. places: the values, by place."""
    shapes, found = [], {}
    for place in places_of_rows(statement):
        shape, found[place] = columns(places[place])
        shapes.append((place, shape))
    shapes += [(place, NULL) for place, value in places.items() if value is None]
    ready = translated(statement, tuple(shapes), guess)
    return ready, [
        places[place] if column is None else Array(kind, _column(found[place], column))
        for place, column, kind in ready.places
    ]


def _column(given: list[Sequence[Any]], column: int) -> Sequence[Any]:
    return given[column] if column < len(given) else ()
