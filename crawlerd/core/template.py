"""Templates that are filled from a record: dotted paths, texts with placeholders, lists and tables of these. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from crawlerd.core.lenient_json import encoded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PARTS = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_PLACE = re.compile("[0-9]{1,9}")
_OWN = ("$key", "$stream", "$account")  # values of the record itself, not of its data


def check(template: Any) -> None:
    """Checks a template. Raises ValueError when `fill` could not use it."""
    match template:
        case dict():
            for name, each in template.items():
                try:
                    check(each)
                except ValueError as error:
                    raise ValueError(f"{name}: {error}") from None
        case list():
            for each in template:
                check(each)
        case str() if _is_constant(template) or _fields(template):
            pass
        case str():
            check_dotted(_plain(template))
        case bool() | int() | float():
            pass
        case _:
            raise ValueError("must be text, a number, true, false, a list or a table")


def check_path(template: str, names: tuple[str, ...] = ()) -> None:
    """Checks a path below a base URL, which may contain placeholders. Raises ValueError when it is invalid. names: the
    only placeholders that are allowed; empty for any."""
    if not template.startswith("/"):
        raise ValueError('must begin with "/"; it lies below the base_url of the account')
    for field in _fields(template):
        if names and field not in names:
            raise ValueError(f'"{{{field}}}" is not a field; write {" or ".join(f"{{{name}}}" for name in names)}')


def check_dotted(path: str) -> None:
    """Checks a dotted path. Raises ValueError when it is invalid."""
    if not all(path.split(".")):
        raise ValueError(f'"{path}" is not a dotted path, such as "address.city"')
    first = path.partition(".")[0]
    if first.startswith("$") and first not in _OWN:
        raise ValueError(f'"{first}" is not one of {", ".join(_OWN)}')


def has_fields(text: str) -> bool:
    """Whether the text contains placeholders."""
    return bool(_fields(text))


def paths(template: Any) -> Iterator[str]:
    """Yields the dotted paths in a checked template."""
    match template:
        case dict():
            for each in template.values():
                yield from paths(each)
        case list():
            for each in template:
                yield from paths(each)
        case str() if _is_constant(template):
            pass
        case str():
            yield from _fields(template) or ([] if _PARTS.search(template) else [template])


def fill(template: Any, data: Any, own: Mapping[str, str]) -> Any:
    """Fills a template from a record.

    A text without braces is a dotted path and becomes the value at this path, or null if there is none; a number in it
    is an index of a list. A text in single quotes is used literally. {path} in a text becomes the value as text: empty
    for null, JSON for lists and objects; {{ and }} become braces. The elements of tables and lists are filled one by
    one. Numbers and booleans stay unchanged.

    own: the values of `_OWN`, by name; a path may begin with such a name.
    """
    match template:
        case dict():
            return {name: fill(each, data, own) for name, each in template.items()}
        case list():
            return [fill(each, data, own) for each in template]
        case str() if _is_constant(template):
            return template[1:-1]
        case str() if _fields(template):
            return _PARTS.sub(lambda found: _part(found, data, own), template)
        case str():
            return _at(_plain(template), data, own)
    return template


def fill_path(template: str, data: Any, own: Mapping[str, str]) -> str | None:
    """Fills a path. Each placeholder is a segment or a part of one. None when a placeholder has no value, or a value
    would change the structure of the path."""
    missing = False

    def segment(found: re.Match[str]) -> str:
        nonlocal missing
        text = _part(found, data, own)
        missing = missing or not text
        return quote(text, safe="") if found[1] is not None else text

    path = _PARTS.sub(segment, template)
    return None if missing or any(each in (".", "..") for each in path.split("/")) else path


def _is_constant(text: str) -> bool:
    return len(text) >= 2 and text[0] == text[-1] == "'"


def _fields(text: str) -> list[str]:
    """The paths in braces. Raises ValueError when one is invalid, or a brace is not closed or not opened."""
    fields = []
    for found in _PARTS.finditer(text):
        if found[1] is not None:
            check_dotted(found[1])
            fields.append(found[1])
        elif found[0] in ("{", "}"):
            raise ValueError(f'"{text}" has a brace alone; write {{{{ or }}}} for a brace')
    return fields


def _plain(text: str) -> str:
    return text.replace("{{", "{").replace("}}", "}")


def _part(found: re.Match[str], data: Any, own: Mapping[str, str]) -> str:
    if found[1] is None:
        return found[0][0]
    value = _at(found[1], data, own)
    if value is None:
        return ""
    return value if isinstance(value, str) else encoded(value).decode()


def _at(path: str, data: Any, own: Mapping[str, str]) -> Any:
    """The value at a dotted path; None if there is none."""
    first, _, rest = path.partition(".")
    if first in own:
        return own[first] if not rest else None
    value = data
    for name in path.split("."):
        if isinstance(value, dict):
            value = value.get(name)
        elif isinstance(value, list) and _PLACE.fullmatch(name):
            value = value[int(name)] if int(name) < len(value) else None
        else:
            return None
    return value
