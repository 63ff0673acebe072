"""The texts of the values that a JMESPath expression finds in a response: as the API wrote them, not as they were
parsed."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from crawlerd.core.jsontext import elements, members, with_members, without
from crawlerd.core.lenient_json import encoded, parsed, spelled_out
from crawlerd.core.listing import JsonObject, Objects, listing
from crawlerd.source import Skip
from crawlerd.sources.rest.expressions import look

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Path = tuple[str | int, ...]  # names and indexes that lead to a value

_read = msgspec.json.Decoder(dict[str, msgspec.Raw] | list[msgspec.Raw]).decode


def texts_of(expression: str, text: bytes, body: Any, found: Sequence[Any]) -> Objects:
    """The text of each element of `found`, the result of the expression on `body`, which was parsed from `text`.

    An element that is part of the body has its text there. One that the expression has made from parts does not; its
    text is made from it, with each decimal number as the API wrote it.
    """
    names = expression.split(".") if expression != "@" else [""]
    if all(name.isidentifier() and name.isascii() for name in names) or names == [""]:
        above: bytes | None = text
        for name in names[:-1]:
            above = dict(_parts(above or b"")).get(name)
        with suppress(ValueError, RecursionError):
            listed = listing(above or b"", names[-1], kind=expression)
            if listed is not None and len(listed.objects) == len(found):
                return listed.objects
    paths = _paths(body, found)
    made = [place for place, each in enumerate(found) if id(each) not in paths]
    parts = _Parts(text)
    texts = [parts.text(paths[id(each)]) if id(each) in paths else b"" for each in found]
    if made:
        again = look(expression, spelled_out(text))
        source = again if isinstance(again, list) and len(again) == len(found) else found
        for place in made:
            texts[place] = _written(source[place])
    return Objects.of(texts)


def with_text(record: Mapping[str, Any], text: bytes, added: Mapping[str, Any] | None = None) -> JsonObject:
    """A record's fields together with its text, which is valid.

    added: fields that the API has not sent; they replace fields of the same name.
    """
    found = JsonObject(record)
    found.text = text
    if added:
        found.update(added)
        if not added.keys().isdisjoint(record):
            text = without(text, frozenset(added))
        found.text = with_members(text, {name: encoded(value) for name, value in added.items()})
    return found


def set_aside(stream: str, key: str, problem: str) -> Skip:
    return Skip(stream, key, f"cannot be serialized: {problem}")


def _written(value: Any) -> bytes:
    try:
        return encoded(value)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        return f"not JSON: {error}".encode(errors="replace")  # the record is then set aside, with that reason


class _Parts:
    """A response's text, split only as far as is needed."""

    def __init__(self, text: bytes) -> None:
        self._texts: dict[Path, bytes] = {(): text}
        self._split: set[Path] = set()

    def text(self, path: Path) -> bytes:
        if path not in self._texts:
            above = path[:-1]
            if above not in self._split:
                self._split.add(above)
                self._texts |= {(*above, name): part for name, part in _parts(self.text(above))}
        return self._texts.get(path, b"")


def _parts(text: bytes) -> Iterator[tuple[str | int, bytes]]:
    """Names or indexes with their texts. If a name appears twice, the last one comes last."""
    try:
        found = _read(text)
    except (ValueError, RecursionError):
        yield from enumerate(elements(text) or ())
        for name, value in members(text) or ():
            yield parsed(name), value
    else:
        for place, raw in found.items() if isinstance(found, dict) else enumerate(found):
            yield place, bytes(raw)


def _paths(body: Any, found: Sequence[Any]) -> dict[int, Path]:
    """Where the objects of `found` are in the body, by their identity; searched level by level, as far as is needed."""
    sought = {id(each) for each in found if isinstance(each, dict)}
    paths: dict[int, Path] = {}
    level: list[tuple[Path, Any]] = [((), body)]
    while level and len(paths) < len(sought):
        below: list[tuple[Path, Any]] = []
        for path, value in level:
            if id(value) in sought:
                paths.setdefault(id(value), path)
            if isinstance(value, dict):
                below += [((*path, name), each) for name, each in value.items() if isinstance(each, dict | list)]
            elif isinstance(value, list):
                below += [((*path, number), each) for number, each in enumerate(value) if isinstance(each, dict | list)]
        level = below
    return paths
