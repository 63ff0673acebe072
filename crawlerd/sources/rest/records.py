"""The records in a response: where their list is, their keys, and when they changed."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import jmespath
import msgspec
from jmespath.exceptions import JMESPathError
from jmespath.visitor import TreeInterpreter

from crawlerd.core.jsontext import bounded_list
from crawlerd.core.redaction import cut
from crawlerd.source import Permanent
from crawlerd.sources.rest.expressions import Unfit, is_short, kind_of, look, text
from crawlerd.sources.rest.page_overlap import Came, Unkeyed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from crawlerd.sources.rest.description import Endpoint

FAR_FUTURE = 253402300799.0  # Unix seconds of the last time that a datetime can have


def taken(expression: str, body: Any) -> tuple[list[Any], Sequence[Any]]:
    """The list of records in a body, and the list before a filter in the expression was applied. Raises Permanent if
    there is no list."""
    found = look(expression, body)
    if not isinstance(found, list):
        keys = f" with {', '.join(map(str, list(body)[:20]))}" if isinstance(body, dict) else ""
        there = f"not a list, in the response: {kind_of(body)}{keys}"
        raise Permanent(cut(f'records = "{expression}" finds {kind_of(found)}, {there}', 300))
    bounded_list(len(found))
    whole = _before_filter(expression)
    if whole is None:
        return found, found
    try:
        came = TreeInterpreter().visit(whole, body)
    except JMESPathError:
        came = None
    return found, came if isinstance(came, list) else found


@lru_cache(maxsize=256)
def _before_filter(expression: str) -> Any:
    """The expression without its filters and projections; None if it has no filter."""
    if "?" not in expression:
        return None
    tree = jmespath.compile(expression).parsed
    whole = _whole(tree)
    return None if whole == tree else whole


def _whole(node: Any) -> Any:
    children = node["children"]
    match node["type"]:
        case "filter_projection" | "projection":
            return _whole(children[0])
        case "pipe" if _chooses(children[0]):
            return _whole(children[0])
        case "pipe":
            return {**node, "children": [children[0], _whole(children[1])]}
        case "subexpression" | "index_expression" | "flatten" | "or_expression" if children:
            return {**node, "children": [_whole(children[0]), *children[1:]]}
        case "value_projection":
            return {**node, "children": [children[0], _whole(children[1])]}
        case "function_expression":
            chosen = next((each for each in children if each["type"] != "expref" and _chooses(each)), None)
            return node if chosen is None else _whole(chosen)
    return node


def _chooses(node: Any) -> bool:
    return node["type"] == "filter_projection" or any(map(_chooses, node["children"]))


def key_above(spec: Endpoint, above: Endpoint | None) -> list[str]:
    """The paths of the parent's key, if each record has it by `from_parent`; otherwise empty."""
    shown = above is not None and {*above.primary_key} <= {*spec.from_parent.values()}
    return above.primary_key if above is not None and shown else []


class Records:
    """What an endpoint says about its records."""

    def __init__(self, spec: Endpoint, above: Endpoint | None = None) -> None:
        """above: the endpoint of its parents."""
        self._spec = spec
        self._key_above = key_above(spec, above)
        self._only = spec.primary_key[0] if len(spec.primary_key) == 1 and spec.primary_key[0].isidentifier() else ""

    def with_parent(self, item: Any, parent: Mapping[str, Any]) -> Any:
        """The record with the fields that it gets from its parent."""
        if not isinstance(item, dict) or not self._spec.from_parent:
            return item
        return {**item, **self.from_parent(parent)}

    def from_parent(self, parent: Mapping[str, Any]) -> dict[str, Any]:
        """The fields that a record gets from its parent."""
        return {name: parent.get(path) for name, path in self._spec.from_parent.items()}

    def key(self, record: Any) -> str | Unfit:
        """The record's key, made of one or several fields; Unfit if it has none."""
        if self._only and isinstance(record, dict):  # nearly all have a key of one field, which is short text
            value = record.get(self._only)
            if is_short(value):
                return value
        if not isinstance(record, dict):
            return Unfit(f"is not an object but {kind_of(record)}")
        try:
            return _joined((path, look(path, record)) for path in self._spec.primary_key)
        except Unfit as error:
            return Unfit(f"has no primary key: {error}")
        except Permanent as error:
            return Unfit(str(error))

    def parent(self, parent: Mapping[str, Any]) -> str:
        """The key of the record that they are below, if they show it by `from_parent`. Otherwise "": a record in the
        lists of several parents would change with each of them."""
        try:
            return _joined((path, parent.get(path)) for path in self._key_above) if self._key_above else ""
        except Unfit:
            return ""

    def key_name(self) -> str:
        return ", ".join(f'"{each}"' for each in self._spec.primary_key)

    def came(self, items: Sequence[Any], parent: Mapping[str, Any], keys: Sequence[str | Unfit] | None) -> Came:
        """The records of a page, before any filter.

        keys: their keys, if they have no filter.
        """

        def identities() -> list[str]:
            known = [self.key(self.with_parent(item, parent)) for item in items] if keys is None else keys
            return [self._identity(item, key) for item, key in zip(items, known, strict=True)]

        return Came(items, identities)

    def _identity(self, item: Any, key: str | Unfit) -> str:
        if isinstance(key, str):
            return key
        try:
            return Unkeyed(msgspec.json.encode(item).decode())
        except (ValueError, TypeError, OverflowError, RecursionError):
            return Unkeyed(repr(item))


def _joined(values: Iterable[tuple[str, Any]]) -> str:
    """The key made of the values of a primary key, each with its path. Raises Unfit if one of them cannot be part of a
    key."""
    parts = []
    for path, value in values:
        if isinstance(value, bool | float):
            raise Unfit(f'"{path}" is {value}')
        parts.append(text(value, path))
    if len(parts) == 1:
        return parts[0]
    return "/".join(re.sub("[%/]", lambda found: f"%{ord(found[0]):02X}", part) for part in parts)
