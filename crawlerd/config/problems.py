"""Error messages about a TOML file that a pydantic model describes: where, and in plain words."""

from __future__ import annotations

import difflib
import json
import re
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

SHOWN = 50  # names in one message; a source has some thirty streams
Location = tuple[int | str, ...]


class Table(BaseModel):
    """A table of the file: unknown keys are errors, and values are not converted to other types."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


def problem(
    error: Mapping[str, Any], file: type[Table], own_keys: Callable[[Location], list[str]] | None = None
) -> str:
    """One of pydantic's errors in plain words and without the value: `key: what is wrong and what to write`.

    error: as pydantic has it.
    file: the model of the whole file.
    own_keys: the additional keys that a table at a location may have.
    """
    location = error["loc"]
    parts, table = _walk(file, location)
    if error["type"] == "extra_forbidden" and table is not None:
        known = [*keys_of(table), *(own_keys(location) if own_keys else ())]
        words = f"unknown key; {instead(str(location[-1]), known)}"
    else:
        words = _in_plain_words(error, table)
    return f"{key_path(parts)}: {words}"


def instead(word: str, names: Collection[str]) -> str:
    """What to write in place of `word`: a similar name, otherwise the names that exist."""
    near = difflib.get_close_matches(word, names, n=1)
    if near:
        return f'did you mean "{near[0]}"?'
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"known: {', '.join(sorted(names)[:SHOWN]) or 'none'}{more}"


def key_path(parts: Location) -> str:
    """A key as it is written in the file, such as accounts."a b".source; errors[1].status for a table in a list."""
    text = ""
    for number, part in enumerate(parts):
        if isinstance(part, int):
            text += f"[{part}]" if number < len(parts) - 1 else ""
        elif part != "[key]":
            text += "." * bool(text) + (part if re.fullmatch("[A-Za-z0-9_-]+", part) else f'"{part}"')
    return text


def one_line(text: str) -> str:
    """The text with line breaks and control characters escaped: names and values of the file may have them."""
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)


def keys_of(table: type[Table]) -> dict[str, Any]:
    """The fields of a table, by their keys in the file."""
    return {field.alias or name: field for name, field in table.model_fields.items()}


def _walk(file: type[Table], location: Location) -> tuple[Location, type[Table] | None]:
    """The keys of a location, without the names of alternatives that pydantic puts in between, and the table that has
    the last key."""
    parts: list[int | str] = []
    where: Any = file
    table: type[Table] | None = file
    for part in location:
        alternatives = list(_alternatives(where))
        tagged = next((each for each in alternatives if _is_table(each) and _tag(each) == part), None)
        if tagged is not None and len(alternatives) > 1:
            where = tagged
            continue
        parts.append(part)
        table, where = next(_inside(alternatives, part), (None, None))
    return tuple(parts), table


def _inside(alternatives: list[Any], part: int | str) -> Iterator[tuple[type[Table] | None, Any]]:
    for each in alternatives:
        if _is_table(each):
            field = keys_of(each).get(part) if isinstance(part, str) else None
            yield each, field and field.annotation
        elif get_origin(each) in (dict, tuple, list):
            yield None, get_args(each)[1 if get_origin(each) is dict else 0]


def _alternatives(annotation: Any) -> Iterator[Any]:
    """The types that a union or an annotated type stands for."""
    if annotation is None or isinstance(annotation, type) or get_origin(annotation) in (dict, tuple, list):
        yield annotation
    elif hasattr(annotation, "__metadata__"):
        yield from _alternatives(annotation.__origin__)
    else:
        for each in get_args(annotation):
            yield from _alternatives(each)


def _is_table(annotation: Any) -> bool:
    return isinstance(annotation, type) and get_origin(annotation) is None and issubclass(annotation, Table)


def _tag(table: type[Table]) -> str | None:
    field = table.model_fields.get("type")
    return get_args(field.annotation)[0] if field and get_origin(field.annotation) is Literal else None


_EXPECTED = {
    "string_type": "text in quotes",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}
_BOUNDS = {
    "greater_than_equal": "{ge:g} or more",
    "less_than_equal": "{le:g} or less",
    "greater_than": "more than {gt:g}",
    "finite_number": "a finite number",
}
_GIVEN = {str: "text", bool: "true or false", dict: "a table", list: "a list", int: "a number", float: "a number"}


def _in_plain_words(error: Mapping[str, Any], table: type[Table] | None) -> str:
    kind, context = error["type"], error.get("ctx", {})
    key = str(error["loc"][-1])
    field = keys_of(table).get(key) if table else None
    if kind == "value_error":
        return str(context["error"])
    if kind == "missing":
        return (
            f"is missing; write for example {key} = {json.dumps(field.examples[0])}"
            if field and field.examples
            else "is missing"
        )
    if kind == "literal_error":
        return f"must be {context['expected']}".replace("'", '"')
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        name = context["discriminator"].strip("'")
        known = [each.strip(" '") for each in context.get("expected_tags", "").split(",") if each]
        return (
            f'{name} "{context["tag"]}" is unknown; {instead(context["tag"], known)}' if known else f"{name} is missing"
        )
    if kind in _EXPECTED:
        given = _GIVEN.get(type(error["input"]), "a date or time")
        return f"must be {_EXPECTED[kind]}, not {given}"
    if kind in _BOUNDS:
        return "must be " + _BOUNDS[kind].format(**context)
    return str(error["msg"])
