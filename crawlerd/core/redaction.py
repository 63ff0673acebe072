"""What a credential looks like wherever an API may repeat it, and texts without it. Pure.

`cut` is how every text that is made in an attempt is shortened: without the credentials of that attempt, which half a
credential would no longer be known as, and without control characters, which belong to whoever reads it.
"""

from __future__ import annotations

import re
from base64 import b64encode, urlsafe_b64encode
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote_plus

from crawlerd.core.hiding import Hiding
from crawlerd.core.spellings import pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

SHORTEST = 4  # characters of a credential, and of what is behind a ":" in it
SHORTEST_NAME = 8  # of what is before the ":", which is often a mere name of a user
SHORTEST_BEGINNING = 6  # of a credential that somebody else has cut
LONG_BEGINNING = 10  # of one that is known as such wherever it stands
MARGIN = 16  # times the limit are looked at before a text is cut
GONE = "***"

_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


class Redaction:
    """The credentials of an account: what they may look like in a text of the API's, and how to take them out."""

    def __init__(self, secrets: Iterable[str]) -> None:
        """secrets: such as "key", "user:password", "id:secret:token", and the words of the headers that carry them."""
        wholes = [each for each in dict.fromkeys(secrets) if len(each) >= SHORTEST]
        parts = [part for whole in wholes for part in _parts(whole)]
        packed = [text for whole in wholes for text in _packed(whole)]
        self._plain = [*wholes, *parts, *packed]
        self._cores = {_core(each) for each in self._plain}
        groups = {each: pattern(each) for each in (*wholes, *parts)}
        groups |= {(bare := each.rstrip("=")): pattern(bare, packed=True) for each in packed}
        ordered = [groups[each] for each in sorted(groups, key=len, reverse=True)]
        self._any = re.compile("|".join(ordered)) if ordered else None
        self._texts = wholes, parts, packed
        self.longest = max(map(len, self._plain), default=0)

    def found(self, text: str) -> bool:
        """Whether a credential may be in it; quickly no, as nearly always."""
        return self._any is not None and self.may_be_in(text) and bool(self._any.search(text))

    def text(self, text: str) -> str:
        """Without credentials, and without the beginning of one that somebody has cut, as at the text's end."""
        if self._any is None:
            return text
        if self.may_be_in(text):
            text = self._any.sub(GONE, text)
        for each in self._plain:
            while len(each) > LONG_BEGINNING and (at := text.find(each[:LONG_BEGINNING])) >= 0:
                pairs = enumerate(zip(each, text[at:], strict=False))
                length = next((place for place, (one, other) in pairs if one != other), min(len(each), len(text) - at))
                text = text[:at] + GONE + text[at + length :]
        end = text.rstrip("….)'\"` ")
        for each in self._plain:
            for length in range(min(len(each) - 1, len(end)), SHORTEST_BEGINNING - 1, -1):
                if end.endswith(each[:length]):
                    return end[:-length] + GONE + text[len(end) :]
        return text

    @cached_property
    def hiding(self) -> Hiding:
        """How they are taken out of arguments, and put back."""
        return Hiding(*self._texts)

    def may_be_in(self, text: str) -> bool:
        """Quickly no, as nearly always."""
        return any(core in text for core in self._cores)

    def repeated(self, text: str) -> bool:
        """Whether it has a credential that is too long to be a mere word."""
        return self.may_be_in(text) and self.hiding.found(text)

    def hidden(self, payload: str) -> str:
        """See `Hiding.hidden`."""
        return self.hiding.hidden(payload) if self.may_be_in(payload) else payload

    def restored(self, payload: str) -> str:
        """See `Hiding.restored`."""
        return self.hiding.restored(payload)


@lru_cache(maxsize=4096)
def redaction(secrets: tuple[str, ...]) -> Redaction:
    """Of these credentials; made once."""
    return Redaction(secrets)


_current: ContextVar[Callable[[], Redaction] | None] = ContextVar("redaction", default=None)


@contextmanager
def redacting(current: Callable[[], Redaction]) -> Iterator[None]:
    """Within this block `cut` leaves out these credentials, as they are at the moment."""
    token = _current.set(current)
    try:
        yield
    finally:
        _current.reset(token)


def without_credentials(text: str) -> str:
    """The text without those of the attempt; itself outside of one."""
    current = _current.get()
    return current().text(text) if current else text


def cut(text: object, limit: int) -> str:
    """At most `limit` characters of a text, on one line and printable, without the credentials of the attempt."""
    words, current = str(text), _current.get()
    known = current() if current else None
    words = words[: MARGIN * limit + 8 * (known.longest if known else 0)]
    return printable(known.text(words) if known else words)[:limit]


def printable(text: str) -> str:
    """On one line. Escaped is what a terminal or a log would obey, or no text can hold; white space is one space."""
    if text.isprintable():
        return text
    return shown(" ".join(text.split()) if any(map(str.isspace, text)) else text)


def shown(text: str) -> str:
    """Every character of it, escaped where a terminal or a log would obey it, or no text can hold it."""
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(char: str) -> str:
    if char.isprintable():
        return char
    number = ord(char)
    if char in _ESCAPES:
        return _ESCAPES[char]
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _parts(secret: str) -> Iterator[str]:
    if ":" in secret:
        first, *others = secret.split(":")
        yield from (each for each in others if len(each) >= SHORTEST)
        if len(first) >= SHORTEST_NAME:
            yield first


def _packed(secret: str) -> Iterator[str]:
    """In base64, as Basic authentication has it: with an empty password, too, and with both halves encoded."""
    first, colon, rest = secret.partition(":")
    texts = [secret, f"{secret}:", f"{quote_plus(first)}:{quote_plus(rest)}" if colon else secret]
    for text in dict.fromkeys(texts):
        yield from dict.fromkeys(each(text.encode()).decode() for each in (b64encode, urlsafe_b64encode))


def _core(secret: str) -> str:
    """What no encoding changes: if it is not in a text, neither is the credential."""
    return max(re.findall("[A-Za-z0-9]+", secret), key=len, default="")
