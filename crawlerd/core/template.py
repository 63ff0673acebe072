"""What is made of a record for others: dotted paths, text with fields in it, lists and tables of such. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from crawlerd.core.lenient_json import encoded

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PARTS = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_PLACE = re.compile("[0-9]{1,9}")
_OWN = ("$key", "$stream", "$account")  # of the record itself, and not of its data


def check(template: Any) -> None:
    """ValueError when `fill` could not use it."""
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
    """ValueError when it is no path below a base URL, with fields in it. names: the only fields, where there are
    some."""
    if not template.startswith("/"):
        raise ValueError('must begin with "/"; it lies below the base_url of the account')
    for field in _fields(template):
        if names and field not in names:
            raise ValueError(f'"{{{field}}}" is no field; write {" or ".join(f"{{{name}}}" for name in names)}')


def check_dotted(path: str) -> None:
    """ValueError when it is no dotted path."""
    if not all(path.split(".")):
        raise ValueError(f'"{path}" is no dotted path, such as "address.city"')
    first = path.partition(".")[0]
    if first.startswith("$") and first not in _OWN:
        raise ValueError(f'"{first}" is none of {", ".join(_OWN)}')


def has_fields(text: str) -> bool:
    """Whether something of a record is in it."""
    return bool(_fields(text))


def paths(template: Any) -> Iterator[str]:
    """The dotted paths that a checked template asks for."""
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
    """The template's value for a record.

    Text without braces is a dotted path: its value as it is, null where it leads nowhere; a number in it is a place in
    a list. Text in single quotes is itself. {path} in a text is that value as text: nothing for null, JSON for lists
    and objects; {{ and }} are braces. Tables and lists are filled one by one; numbers and truth values are themselves.

    own: by the names of `_OWN`, which a path may begin with.
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
    """A path in which each field is one segment, or a part of one. None when a field has nothing, or it would lead
    elsewhere."""
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
    """The paths in braces. ValueError when one is none, or a brace stands alone."""
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
    """What lies at a dotted path; None where it leads nowhere."""
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
