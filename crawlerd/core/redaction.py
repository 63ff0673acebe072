"""What a credential looks like wherever an API may repeat it, and texts without it. Pure.

`cut` is how every text that is made in an attempt is shortened: without the credentials of that attempt, which half a
credential would no longer be known as, and without control characters, which belong to whoever reads it.
"""

from __future__ import annotations

import re
from base64 import b64encode, urlsafe_b64encode
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

SHORTEST = 4  # characters of a credential, and of what is behind a ":" in it
SHORTEST_NAME = 8  # of what is before the ":", which is often a mere name of a user
SHORTEST_HIDDEN = 8  # of one that is taken out of arguments: a shorter one may be a word that means something else
SHORTEST_BEGINNING = 6  # of a credential that somebody else has cut
LONG_BEGINNING = 10  # of one that is known as such wherever it stands
MARGIN = 16  # times the limit are looked at before a text is cut
GONE = "***"

# A payload that has had credentials taken out begins with a space, which JSON ignores and our encoder never writes; so
# nothing that an API says can make us put one in.
_HIDDEN = " "
_FIELD = re.compile(r"\{crawlerd:([^{}]*)\}")
_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_NAMED = {'"': "quot", "&": "amp", "'": "apos", "<": "lt", ">": "gt"}


class Redaction:
    """The credentials of an account: what they may look like in a text of the API's, and how to take them out."""

    def __init__(self, secrets: Iterable[str]) -> None:
        """secrets: such as "key", "user:password", "id:secret:token", and the words of the headers that carry them."""
        wholes = [each for each in dict.fromkeys(secrets) if len(each) >= SHORTEST]
        parts = [part for whole in wholes for part in _parts(whole)]
        packed = [text for whole in wholes for text in _packed(whole)]
        self._values: dict[str, str] = {}  # by the names of fields
        for kind, texts in (("w", wholes), ("p", parts), ("b", packed)):
            for number, text in enumerate(texts):
                encoded = {"": text, "q": quote(text), "s": quote(text, safe=""), "f": quote_plus(text)}
                for coding, value in encoded.items():
                    self._values.setdefault(f"{kind}{number}{coding}", value)
        self._names = {value: name for name, value in reversed(self._values.items())}
        self._plain = [*wholes, *parts, *packed]
        self._cores = {_core(each) for each in self._plain}
        groups = {each: _pattern(each) for each in (*wholes, *parts)}
        groups |= {(bare := each.rstrip("=")): _pattern(bare, packed=True) + "={0,2}" for each in packed}
        ordered = [groups[each] for each in sorted(groups, key=len, reverse=True)]
        self._any = re.compile("|".join(ordered)) if ordered else None
        long = [groups[each] for each in sorted(groups, key=len, reverse=True) if len(each) >= SHORTEST_HIDDEN]
        self._hidden = re.compile("|".join(long)) if long else None
        self.longest = max(map(len, self._plain), default=0)

    def found(self, text: str) -> bool:
        """Whether a credential may be in it; quickly no, as nearly always."""
        return self._any is not None and any(core in text for core in self._cores) and bool(self._any.search(text))

    def text(self, text: str) -> str:
        """Without credentials, and without the beginning of one that somebody has cut, as at the text's end."""
        if self._any is None:
            return text
        if any(core in text for core in self._cores):
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

    def hidden(self, payload: str) -> str:
        """JSON of arguments that may be kept: a field in the place of each credential; `restored` reads it."""
        if self._hidden is None or not self._hidden.search(payload):
            return payload
        marked = payload.replace("{crawlerd:", "{crawlerd:=}")
        return _HIDDEN + self._hidden.sub(lambda each: f"{{crawlerd:{self._name(each[0])}}}", marked)

    def restored(self, payload: str) -> str:
        """What `hidden` has made, with the credentials of now."""
        return _FIELD.sub(lambda each: self._value(each[1], each[0]), payload[1:])

    def _name(self, match: str) -> str:
        """Of the field for a match: exactly as it was written, or else encoded as a value in a URL's query."""
        plain = re.sub(r'\\(["\\/])', r"\1", match)  # as JSON escapes them
        if plain in self._names:
            return self._names[plain]
        for each in self._plain:
            if re.fullmatch(_pattern(each.rstrip("="), packed=True) + "={0,2}", match):
                return self._names[quote(each, safe="")]
        return "w0s"

    def _value(self, name: str, otherwise: str) -> str:
        if name == "=":
            return "{crawlerd:"
        value = self._values.get(name)
        return otherwise if value is None else value.replace("\\", "\\\\").replace('"', '\\"')


def is_hidden(payload: str) -> bool:
    """Whether credentials were taken out of it."""
    return payload.startswith(_HIDDEN)


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


def _pattern(secret: str, *, packed: bool = False) -> str:
    return "".join(_one(char, packed=packed) for char in secret)


def _one(char: str, *, packed: bool) -> str:
    """A character as it is, or as URLs, JSON and HTML write it."""
    if char.isalnum():
        return char
    number = ord(char)
    forms = [  # the longer ones first
        f"%(?:25){{0,3}}(?i:{number:02x})",
        rf"\\{{1,8}}u00(?i:{number:02x})",
        rf"\\{{1,8}}{re.escape(char)}",
        f"&#(?:{number}|[xX](?i:{number:02x}));",
    ]
    if char in _NAMED:
        forms.append(f"&{_NAMED[char]};")
    alike = {"+": "[ +-]", "-": "[ +-]", "/": "[/_]", "_": "[/_]"} if packed else {}
    forms.append(alike.get(char, re.escape(char)))
    return f"(?:{'|'.join(forms)})"
