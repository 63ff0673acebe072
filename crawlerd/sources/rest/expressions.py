"""The two small languages of a description: JMESPath to read values, {templates} to make requests."""

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
SECONDS, VISITS = 10.0, 4096  # CPU time that a search may take; number of nodes between two looks at the clock
LONGEST = 1000  # characters of a key, and of a parent's field


_DOUBLED = re.compile(r"\{\s*(?:parent|variables)\.[\w.]+\s*\}")  # with {{ and }}, as in other languages


class Unfit(Exception):
    """A value from the API that cannot be used in a template; the text says why."""


def checked_path(expression: str) -> str:
    """A JMESPath expression. Raises ValueError if it is not valid."""
    try:
        jmespath.compile(expression)
    except JMESPathError as error:
        reason = " ".join(str(error).split())
        raise ValueError(f'is not a JMESPath expression such as "data.items": {reason}') from None
    return expression


def fields_in(expression: str) -> list[str]:
    """The fields that a JMESPath expression reads, each as a dotted path, as far as can be known in advance."""
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
    """The result of a JMESPath expression; None for nothing. Raises Permanent if one of its functions cannot handle the
    data."""
    if expression == "@":
        return data
    if isinstance(data, dict) and expression.isidentifier():  # nearly all are like this, and it is 20 times as fast
        return data.get(expression)
    try:
        return _Bounded().visit(jmespath.compile(expression).parsed, data)
    except JMESPathError as error:
        raise Permanent(f'"{expression}" does not fit the response: {" ".join(str(error).split())}') from None


class _Bounded(TreeInterpreter):
    """Stops a search that takes too long: the time of some expressions grows with the square of a page's size."""

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
    """The type of a value in a response, for people."""
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
    return "a number that is not valid in JSON"


def fields(template: str) -> list[str]:
    """The names in braces, such as "parent.id" and "variables.org". Raises ValueError if braces are used in another
    way."""
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError:
        parts = [("", "", "", "")]
    names = [name for _, name, _, _ in parts if name is not None]
    if any(spec or conversion for _, _, spec, conversion in parts) or not all(map(_is_field, names)):
        field = "braces must contain a field, {parent.id} or {variables.name}"
        problem = f"{field}; write {{{{ and }}}} for the characters themselves"
        raise ValueError(problem)
    literals = "".join(literal + "\0" * (name is not None) for literal, name, _, _ in parts)
    if doubled := _DOUBLED.search(literals):
        raise ValueError(f'"{{{doubled[0]}}}" would be sent as {doubled[0]}; write it with single braces')
    return names


def _is_field(name: str) -> bool:
    first, *rest = name.split(".")
    return first in ("parent", "variables") and bool(rest) and all(part.isidentifier() for part in rest)


def fill(template: str, values: Mapping[str, Any], *, in_path: bool = False) -> str:
    """The template with its fields' values.

    in_path: each field is a segment of a URL's path, or part of one.
    """
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
    """Whether `text` would leave it unchanged, as it does nearly always."""
    return type(value) is str and value.isascii() and 0 < len(value) <= LONGEST


def text(value: Any, name: str) -> str:
    """A scalar as text for a URL or a key. Raises Unfit for anything else, for None, and for what is too long."""
    if is_short(value):
        return value
    value = plain(value, name)
    if value is None or value == "":
        raise Unfit(f'"{name}" is {"empty" if value == "" else "missing or null"}')
    return "true" if value is True else "false" if value is False else str(value)


def plain(value: Any, name: str) -> Scalar | None:
    """A scalar or None that a task's arguments may contain. Raises Unfit for anything else."""
    if not isinstance(value, Scalar | None):
        raise Unfit(f'"{name}" is {kind_of(value)}')
    shown = str(value)
    if len(shown) > LONGEST:
        raise Unfit(f'"{name}" has {len(shown):,} characters')
    if not shown.isascii() and any("\ud800" <= each <= "\udfff" for each in shown):
        raise Unfit(f'"{name}" contains half a surrogate pair')
    return value
