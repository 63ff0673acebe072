"""The two small languages of a description: JMESPath for what is read, {templates} for what is asked."""

from __future__ import annotations

import math
import re
import string
import time
from typing import TYPE_CHECKING, Any, TypeGuard
from urllib.parse import quote

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.visitor import TreeInterpreter

from crawlerd.core.private_fields import dotted
from crawlerd.core.redaction import cut
from crawlerd.source import Permanent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Scalar = str | int | float | bool
SECONDS, VISITS = 10.0, 4096  # of CPU that a search may take; nodes between looks at the clock
LONGEST = 1000  # characters of a key, and of a parent's field


_DOUBLED = re.compile(r"\{\s*(?:parent|variables)\.[\w.]+\s*\}")  # with {{ and }}, as other languages have it


class Unfit(Exception):
    """A value from the API that cannot stand where a template wants it; the text says why."""


def checked_path(expression: str) -> str:
    """A JMESPath expression. ValueError when it is none."""
    try:
        jmespath.compile(expression)
    except JMESPathError as error:
        reason = " ".join(str(error).split())
        raise ValueError(f'is not a JMESPath expression such as "data.items": {reason}') from None
    return expression


def fields_in(expression: str) -> list[str]:
    """The fields that a JMESPath expression looks at, each as a path with dots; as far as that is known beforehand."""
    return list(_fields_of(jmespath.compile(expression).parsed))


def _fields_of(node: Any) -> Iterator[str]:
    match node:
        case {"type": "field", "value": str(name)}:
            yield dotted([name])
        case {"type": "subexpression", "children": [first, *others]}:
            heads = list(_fields_of(first))
            tails = [name for each in others for name in _fields_of(each)]
            yield from (f"{head}.{tail}" for head in heads for tail in tails) if heads and tails else (*heads, *tails)
        case {"children": children}:
            for each in children:
                yield from _fields_of(each)


def look(expression: str, data: Any) -> Any:
    """What a JMESPath expression finds; None for nothing. Permanent when one of its functions cannot take the data."""
    if expression == "@":
        return data
    if isinstance(data, dict) and expression.isidentifier():  # nearly all are: 20 times as quick
        return data.get(expression)
    try:
        return _Bounded().visit(jmespath.compile(expression).parsed, data)
    except JMESPathError as error:
        raise Permanent(f'"{expression}" does not fit the response: {" ".join(str(error).split())}') from None


class _Bounded(TreeInterpreter):
    """Ends a search that takes too long: some expressions take the square of a page's size."""

    def __init__(self) -> None:
        super().__init__()
        self._visits = 0
        self._until = math.inf

    def visit(self, node: Any, *args: Any, **options: Any) -> Any:
        self._visits += 1
        if not self._visits % VISITS:
            now = time.thread_time()
            if self._until == math.inf:
                self._until = now + SECONDS
            elif now > self._until:
                raise Permanent(f"an expression took more than {SECONDS:g} s of CPU for one page; make it simpler")
        return super().visit(node, *args, **options)


def kind_of(value: Any) -> str:
    """What a value of a response is, for people."""
    match value:
        case None:
            return "nothing"
        case dict():
            return "an object"
        case list():
            return "a list"
        case str():
            return "text"
        case bool() | int() | float():
            return cut(value, 50)
    return "a number that no JSON holds"


def fields(template: str) -> list[str]:
    """The names in braces: "parent.id", "variables.org". ValueError when the braces are not used as they should be."""
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError:
        parts = [("", "", "", "")]
    names = [name for _, name, _, _ in parts if name is not None]
    if any(spec or conversion for _, _, spec, conversion in parts) or not all(map(_is_field, names)):
        problem = "braces hold a field, {parent.id} or {variables.name}; write {{ and }} for the characters themselves"
        raise ValueError(problem)
    literals = "".join(literal + "\0" * (name is not None) for literal, name, _, _ in parts)
    if doubled := _DOUBLED.search(literals):
        raise ValueError(f'"{{{doubled[0]}}}" would be sent as {doubled[0]}; write it with single braces')
    return names


def _is_field(name: str) -> bool:
    first, *rest = name.split(".")
    return first in ("parent", "variables") and bool(rest) and all(part.isidentifier() for part in rest)


def fill(template: str, values: Mapping[str, Any], *, in_path: bool = False) -> str:
    """The template with its fields' values. in_path: each is one segment of a URL's path, or a part of one."""
    filled = ""
    for literal, name, _, _ in string.Formatter().parse(template):
        filled += literal
        if name is not None:
            value = text(values.get(name), name)
            filled += quote(value, safe="") if in_path else value
    if in_path and any(segment in (".", "..") for segment in filled.split("/")):
        raise Unfit(f"it would make the path {cut(filled, 80)}, which leads elsewhere")
    return filled


def is_short(value: Any) -> TypeGuard[str]:
    """Whether `text` takes it as it is, as it does nearly all."""
    return type(value) is str and value.isascii() and 0 < len(value) <= LONGEST


def text(value: Any, name: str) -> str:
    """A scalar as it stands in a URL or a key. Unfit for anything else, for nothing, and for what is too long."""
    if is_short(value):
        return value
    value = plain(value, name)
    if value is None or value == "":
        raise Unfit(f'"{name}" is {"empty" if value == "" else "missing or null"}')
    return "true" if value is True else "false" if value is False else str(value)


def plain(value: Any, name: str) -> Scalar | None:
    """A scalar, or nothing, that a task's arguments can hold. Unfit for anything else."""
    if not isinstance(value, Scalar | None):
        raise Unfit(f'"{name}" is {kind_of(value)}')
    shown = str(value)
    if len(shown) > LONGEST:
        raise Unfit(f'"{name}" has {len(shown):,} characters')
    if not shown.isascii() and any("\ud800" <= each <= "\udfff" for each in shown):
        raise Unfit(f'"{name}" holds half a character')
    return value
