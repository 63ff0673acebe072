"""Finds private values in texts, and removes them. Pure."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

from crawlerd.core.private_fields import SHORTEST
from crawlerd.core.redaction import GONE
from crawlerd.core.spellings import pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_WORDS = re.compile(r"[A-Za-z0-9]+")
_ENCODED = re.compile(r"%(?:25)*[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}")  # digits and letters of escapes, not of words

_BEFORE = r"(?:(?<![^\W_])|(?<=%[0-9A-Fa-f]{2})|(?<=\\u[0-9A-Fa-f]{4}))"


class Traces:
    """Finds some values in texts, also as URLs, JSON and HTML write them. A part of a longer word does not count."""

    def __init__(self, values: Iterable[str]) -> None:
        self._by_word: defaultdict[str, list[str]] = defaultdict(list)  # values by a part that no spelling changes
        for each in values:
            self._by_word[max(_WORDS.findall(each), key=len, default="")].append(each)

    def found(self, text: str) -> str | None:
        """One of the values that a text contains, or None."""
        return next((each for each in self._likely(text) if re.search(_spellings(each), text)), None)

    def text(self, text: str) -> str:
        """The text without the values."""
        for each in sorted(self._likely(text), key=len, reverse=True):
            text = re.sub(_spellings(each), GONE, text)
        return text

    def _likely(self, text: str) -> list[str]:
        """The values that the text may contain. There may be thousands: the time does not grow with their number."""
        words = {"", *_WORDS.findall(text)}
        if "%" in text or "\\u" in text:
            words.update(_WORDS.findall(_ENCODED.sub(" ", text)))
        by_word = self._by_word
        common = words & by_word.keys() if len(words) < len(by_word) else by_word.keys() & words
        return [each for word in common for each in by_word[word] if len(each) <= len(text)]  # spellings are longer


def mentioning(key: str) -> Callable[[str], bool]:
    """A function that returns whether a text contains the key. Without a key, every text does. A short key counts only
    if it is the whole text."""
    if not key:
        return lambda text: True
    if len(key) >= SHORTEST:
        traces = Traces([key])
        return lambda text: traces.found(text) is not None
    quoted = json.dumps(key, ensure_ascii=False)
    twice = json.dumps(quoted, ensure_ascii=False)[1:-1]  # encoded twice: JSON in a string of JSON
    return lambda text: text == key or quoted in text or twice in text


def without_key(text: str, key: str) -> str:
    """The text without the key."""
    if len(key) >= SHORTEST:
        return Traces([key]).text(text)
    return GONE if text == key else text.replace(json.dumps(key, ensure_ascii=False), f'"{GONE}"')


def _spellings(value: str) -> str:
    forms = [pattern(value)]
    if not value.isascii():
        forms += [re.escape(json.dumps(value)[1:-1]), *map(pattern, _quoted(value))]
    before = _BEFORE if value[0].isalnum() else ""
    after = r"(?![^\W_])" if value[-1].isalnum() else ""
    return f"{before}(?:{'|'.join(forms)}){after}"


def _quoted(value: str) -> list[str]:
    data = value.encode(errors="surrogatepass")
    return [quote(data), quote_plus(data)]
