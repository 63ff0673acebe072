"""Fields of records that are dropped or hashed before their values reach a disk. Pure.

A path such as `address.line1` names a field of an object inside an object; if there is a list on the path, the field of
each of its elements. `*` stands for every field. A name with a dot in it is quoted.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec

from crawlerd.core.lenient_json import parsed
from crawlerd.core.redaction import GONE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

DROP, HASH = "drop", "hash"
ANY = "*"  # every field of an object; every stream of an import
DIGEST_BYTES = 16
MOST_KEY_BYTES = 64  # most bytes of a key that blake2b accepts
SHORTEST = 4  # characters; a shorter value is not searched for in other texts, since it may be any word
SHORTEST_NUMBER = 5  # digits; the same for numbers
LONGEST_PATH = 20  # most names in a path

LARGEST_ERROR = 1 << 20  # most bytes of an error response that is searched
_WORD = re.compile(r"\w+")
_LEADING_STATUS = re.compile(r"(?:[A-Za-z]+: )?HTTP \d{3}(?!\d)(?:: )?")
_GONE_RUN = re.compile(rf"{re.escape(GONE)}(?:\W*{re.escape(GONE)})+")
_PATH = re.compile(r'(?:"[^"]+"|[^".\s][^".]*)(?:\.(?:"[^"]+"|[^".\s][^".]*))*')
_NAME = re.compile(r'"([^"]+)"|([^".]+)')

Branch = dict[str, Any]  # by name of a field: another Branch, DROP or HASH

_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode


class FieldRules(msgspec.Struct, frozen=True, array_like=True):
    """The rules of one stream: paths of the fields to drop, and of those to replace by a keyed hash."""

    drop: tuple[str, ...] = ()
    hash: tuple[str, ...] = ()


class RunFields(msgspec.Struct, frozen=True, array_like=True):
    """What a run drops and hashes.

    streams: the rules by stream, ANY for all.
    key: the secret key of the hash.
    """

    streams: dict[str, FieldRules] = {}
    key: str = ""

    def __repr__(self) -> str:
        return f"RunFields({self.streams!r}, key=***)"


def dotted(names: Iterable[str]) -> str:
    """The path with these names."""
    return ".".join(f'"{name}"' if "." in name else name for name in names)


def names_of(path: str) -> tuple[str, ...]:
    """The names in a path. Raises ValueError when it is not a path."""
    if not _PATH.fullmatch(path):
        raise ValueError(f'"{path}" is not the path of a field, such as "email", "address.line1" or \'"a.b".c\'')
    names = tuple(quoted or plain for quoted, plain in _NAME.findall(path))
    if len(names) > LONGEST_PATH:
        raise ValueError(f'"{path}" has more than {LONGEST_PATH} names')
    return names


def branch_of(rules: Iterable[FieldRules]) -> Branch:
    """Combines rules into a Branch. Raises ValueError if a field is inside another one, or both dropped and hashed."""
    tree: Branch = {}
    seen: dict[tuple[str, ...], str] = {}
    for each in rules:
        for action, paths in ((DROP, each.drop), (HASH, each.hash)):
            for path in paths:
                names = names_of(path)
                if seen.setdefault(names, action) != action:
                    raise ValueError(f'"{path}" is both dropped and hashed: remove one of the two')
    for names, action in seen.items():
        for length in range(1, len(names)):
            if (outer := seen.get(names[:length])) is not None:
                what = "dropped" if outer == DROP else "hashed"
                path, whole = ".".join(names), ".".join(names[:length])
                raise ValueError(f'"{path}" is inside "{whole}", which is {what} as a whole: remove one of the two')
        at = tree
        for name in names[:-1]:
            at = at.setdefault(name, {})
        at[names[-1]] = action
    return tree


def hashed(text: bytes, key: bytes) -> bytes:
    """The hash that replaces a value, as JSON: 32 hex digits, the same for the same value and key. A text and a number
    that are written alike have the same hash. null stays null, and each element of a list is hashed. text: the value as
    JSON."""
    if text == b"null":
        return text
    if text[:1] == b"[":
        return b"[" + b",".join(hashed(bytes(each), key) for each in _elements(text)) + b"]"
    plain = msgspec.json.decode(text, type=str).encode() if text[:1] == b'"' else text
    return b'"' + blake2b(plain, key=key[:MOST_KEY_BYTES], digest_size=DIGEST_BYTES).hexdigest().encode() + b'"'


class Shaped:
    """Applies the rules of a run to the records of one attempt, and remembers the removed values.

    values: texts and numbers that were removed, each with its field, such as "email of customers"; without values that
        are so short that they may be any word.
    """

    def __init__(self, fields: RunFields) -> None:
        self._key = fields.key.encode()
        self._streams = fields.streams
        self._branches: dict[str, Branch] = {}
        self.values: dict[str, str] = {}

    def branch(self, stream: str) -> Branch:
        """The rules for a stream; empty when none of its fields is dropped or hashed."""
        found = self._branches.get(stream)
        if found is None:
            rules = [each for name in (ANY, stream) if (each := self._streams.get(name))]
            found = self._branches[stream] = branch_of(rules)
        return found

    def shaped(self, text: bytes, stream: str) -> tuple[bytes, dict[str, str]]:
        """Applies the rules to an object's compact JSON text. Returns the new text, and those of `values` that were
        removed. Raises ValueError or RecursionError when the text cannot be read."""
        taken: dict[str, str] = {}
        text = self._walked(text, self.branch(stream), f" of {stream}", taken)
        self.values |= taken
        return text, taken

    def _walked(self, text: bytes, branch: Branch, where: str, taken: dict[str, str]) -> bytes:
        """Applies a branch to a JSON text. where: the text that follows the name of a field in `values`."""
        if text[:1] == b"[":
            return b"[" + b",".join(self._walked(bytes(each), branch, where, taken) for each in _elements(text)) + b"]"
        if text[:1] != b"{":
            return text
        members = _members(text)
        changed = False
        for name, what in _meant(branch, members):
            value, changed = bytes(members[name]), True
            if isinstance(what, dict):
                members[name] = msgspec.Raw(self._walked(value, what, f" in {name}{where}", taken))
                continue
            taken.update(dict.fromkeys(_words(value), f"{name}{where}"))
            if what == DROP:
                del members[name]
            else:
                members[name] = msgspec.Raw(hashed(value, self._key))
        return _encode(members) if changed else text

    def look_into(self, answer: Any) -> None:
        """Remembers the values in a response at the paths of any stream, wherever such a path begins. answer: as JSON
        text, or as Python values."""
        if isinstance(answer, bytes):
            try:
                answer = parsed(answer)
            except (ValueError, RecursionError):
                return
        branches = [(self.branch(stream), f" of {stream}") for stream in self._streams]
        todo = [answer]
        while todo:
            value = todo.pop()
            if isinstance(value, dict):
                for branch, where in branches:
                    _collect(value, branch, where, self.values)
                todo += value.values()
            elif isinstance(value, list | tuple):
                todo += value


def said_in(answer: Any) -> set[str] | None:
    """All words and numbers in a response, without the names of fields. None when it is too large to search.

    answer: as JSON text, or as Python values."""
    if isinstance(answer, bytes):
        if len(answer) > LARGEST_ERROR:
            return None
        try:
            answer = parsed(answer)
        except (ValueError, RecursionError):
            answer = answer.decode(errors="replace")
    return {word for text in _texts(answer) for word in _WORD.findall(text)}


def without_words(text: str, words: Collection[str]) -> str:
    """The text without these words, except for a status at its beginning. The last word of the text may be cut off."""
    begins = _LEADING_STATUS.match(text)
    head = begins[0] if begins else ""
    found = list(_WORD.finditer(text, len(head)))
    cut = found[-1][0] if found and found[-1].end() == len(text) else ""
    hidden = {cut} if cut and any(word.startswith(cut) for word in words) else set()
    rest = _WORD.sub(lambda each: GONE if each[0] in words or each[0] in hidden else each[0], text[len(head) :])
    return head + _GONE_RUN.sub(GONE, rest)


def _meant(branch: Branch, members: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yields the members that a branch covers. A name takes precedence over ANY."""
    if ANY not in branch:
        for name, what in branch.items():
            if name in members:
                yield name, what
        return
    for name in list(members):
        own, other = branch.get(name), branch[ANY]
        if isinstance(own, dict) and isinstance(other, dict):
            yield name, {**other, **own}
        else:
            yield name, other if own is None or other == DROP else own


def _collect(value: Any, branch: Branch, where: str, found: dict[str, str]) -> None:
    if isinstance(value, list | tuple):
        for each in value:
            _collect(each, branch, where, found)
    elif isinstance(value, dict):
        for name, what in _meant(branch, value):
            if isinstance(what, dict):
                _collect(value[name], what, f" in {name}{where}", found)
            else:
                for each in _scalars(value[name]):
                    found.setdefault(each, f"{name}{where}")


def _words(text: bytes) -> Iterator[str]:
    try:
        return _scalars(parsed(text))
    except (ValueError, RecursionError):
        return iter(())


def _scalars(value: Any) -> Iterator[str]:
    """Yields the texts and numbers in a value that are long enough to search for."""
    return _texts(value, SHORTEST, SHORTEST_NUMBER)


def _texts(value: Any, shortest: int = 1, shortest_number: int = 1) -> Iterator[str]:
    todo = [value]
    while todo:
        match todo.pop():
            case bool() | None:
                continue
            case str() as text if len(text) >= shortest:
                yield text
            case int() | float() as number if len(text := str(number)) >= shortest_number:
                yield text
            case dict() as members:
                todo += members.values()
            case list() | tuple() as elements:
                todo += elements
