"""Finds credentials in texts, in all forms in which an API may repeat them, and removes them. Pure.

Use `cut` to shorten every text that is made in an attempt. It removes the credentials of that attempt first, since half
a credential would not be recognized, and escapes control characters, which a terminal would obey.
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

# The shortest texts that are removed, in characters.
SHORTEST = 4  # a credential, and the part of it after a ":"
SHORTEST_NAME = 8  # the part before the ":", which is often the name of a user
SHORTEST_BEGINNING = 6  # the beginning of a credential at the end of a text that the API has cut
LONG_BEGINNING = 10  # the beginning of a credential anywhere in a text
MARGIN = 16  # before a text is cut, this many times the limit are searched
GONE = "***"

_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


class Redaction:
    """Finds the credentials of an account in texts of the API, and removes them."""

    def __init__(self, secrets: Iterable[str]) -> None:
        """secrets: such as "key", "user:password" or "id:secret:token", and the words of headers with credentials."""
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
        """Whether a text may contain a credential. Fast if it does not, which is nearly always."""
        return self._any is not None and self.may_be_in(text) and bool(self._any.search(text))

    def text(self, text: str) -> str:
        """The text without credentials, and without the beginning of one that was cut, such as at the text's end."""
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
        """Takes them out of arguments, and puts them back."""
        return Hiding(*self._texts)

    def may_be_in(self, text: str) -> bool:
        """Whether a text may contain a credential that is taken out of arguments. Fast if it does not."""
        return any(core in text for core in self._cores)

    def repeated(self, text: str) -> bool:
        """Whether a text contains a credential that is too long to be an ordinary word."""
        return self.may_be_in(text) and self.hiding.found(text)

    def hidden(self, payload: str) -> str:
        """See `Hiding.hidden`."""
        return self.hiding.hidden(payload) if self.may_be_in(payload) else payload

    def restored(self, payload: str) -> str:
        """See `Hiding.restored`."""
        return self.hiding.restored(payload)


@lru_cache(maxsize=4096)
def redaction(secrets: tuple[str, ...]) -> Redaction:
    """The redaction of these credentials; cached."""
    return Redaction(secrets)


_current: ContextVar[Callable[[], Redaction] | None] = ContextVar("redaction", default=None)


@contextmanager
def redacting(current: Callable[[], Redaction]) -> Iterator[None]:
    """A block in which `cut` removes credentials. current: returns the redaction with the credentials known now."""
    token = _current.set(current)
    try:
        yield
    finally:
        _current.reset(token)


def without_credentials(text: str) -> str:
    """The text without the credentials of the present attempt; unchanged outside of attempts."""
    current = _current.get()
    return current().text(text) if current else text


def cut(text: object, limit: int) -> str:
    """At most `limit` characters of a text, on one line, printable, without the credentials of the present attempt."""
    words, current = str(text), _current.get()
    known = current() if current else None
    words = words[: MARGIN * limit + 8 * (known.longest if known else 0)]
    return printable(known.text(words) if known else words)[:limit]


def printable(text: str) -> str:
    """The text on one line, with each run of whitespace as one space. Escapes characters that a terminal or log would
    obey, and those that are invalid in UTF-8."""
    if text.isprintable():
        return text
    return shown(" ".join(text.split()) if any(map(str.isspace, text)) else text)


def shown(text: str) -> str:
    """The text with all its characters, escaped if a terminal or log would obey them, or they are invalid in UTF-8."""
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
    """Yields a credential in base64, as in Basic authentication: also without password, and with both parts encoded."""
    first, colon, rest = secret.partition(":")
    texts = [secret, f"{secret}:", f"{quote_plus(first)}:{quote_plus(rest)}" if colon else secret]
    for text in dict.fromkeys(texts):
        yield from dict.fromkeys(each(text.encode()).decode() for each in (b64encode, urlsafe_b64encode))


def _core(secret: str) -> str:
    """The longest part of a credential that no encoding changes: without it, a text does not contain the credential."""
    return max(re.findall("[A-Za-z0-9]+", secret), key=len, default="")
