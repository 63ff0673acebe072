"""Fingerprints of dead letters: a hash of source, kind, error class, status, and the fixed words of the message.
Letters with the same fingerprint are the same failure. Pure.

A fingerprint stays the same after restarts and with other versions of Python, so that a group keeps its name.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

from crawlerd.core.outcome import ERROR_LIMIT

WORDS = 160  # characters of the fixed words that count; a longer message may have been cut, at different words
GAP = "*"  # replaces a part that differs between messages

# The text that crawlerd itself puts before the error of the last attempt.
_GAVE_UP = re.compile(r"gave up after \d+ attempts?[^:]*: |unexpected (?=\w+(?:\.\w+)*(?::|$))")
_CLASS = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)(?:: |:?$)")
_STATUS = re.compile(r"HTTP (\d{3})(?!\d)[:,]? ?")
# A quotation: its opening quote does not follow a word. Its end may be missing. Quotes inside it may be escaped.
_QUOTED = re.compile(
    r"""(?<!\w)(?:"(?:[^"\\]|\\.)*(?:"|$)|'(?:[^'\\]|\\.|'(?=\w))*(?:'|$)|`[^`]*(?:`|$))"""
    r"""|[\u201c\u201e\u00ab][^\u201c\u201d\u00bb]*(?:[\u201c\u201d\u00bb]|$)|(?<!\w)\u2018[^\u2019]*(?:\u2019|$)"""
)
_TOKEN = re.compile(r"""\w+://[^\s<>"'`(){}*]+|[^\s,;()\[\]{}<>=|*"'`]+=*""")
_ENDS = ".:!?"  # ends of a sentence, which are not part of the token before them
_HEX = re.compile(r"[0-9a-fA-F]{8,}|[0-9a-fA-F]+(?:-[0-9a-fA-F]+)+")
_HUMP = re.compile(r"[a-z][A-Z]")
_LETTERS = re.compile(r"[A-Za-z]+")
_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun|Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*,?"
_DATE = re.compile(rf"(?:\b{_DAY} )+(?=\*)|(?<=\* ){_DAY}(?= \*|$)|(?<=\* )(?:UTC|GMT|AM|PM)\b")
_GAPS = re.compile(r"[#+\-$]?\*(?:[\s,;:/.|&+\-]*\*)*")
_PLURAL = re.compile(r"(?<=\* )([a-z]{2,}[a-rt-z])s\b")  # "1 record", "2 records"


class Failure(NamedTuple):
    """The parts of an error text that are the same in all errors of a kind."""

    # the class of the exception; "" when none was raised
    error_class: str
    # the HTTP status; None when the text has none
    status: int | None
    # the fixed words
    message: str


def failure(error: str) -> Failure:
    """Parses the error text of a dead letter.

    error: such as "gave up after 8 attempts: Transient: HTTP 500: no such charge: 'ch_1'".
    """
    text = error
    while found := _GAVE_UP.match(text):
        text = text[found.end() :]
    name = _CLASS.match(text)
    if name:
        text = text[name.end() :]
    status = _STATUS.search(text)
    if status:
        text = text[: status.start()] + text[status.end() :]
    return Failure(name[1] if name else "", int(status[1]) if status else None, words(text, len(error) >= ERROR_LIMIT))


def words(text: str, cut: bool = False) -> str:
    """A message with `GAP` in place of digits, ids and quotations. cut: its end is missing."""
    if cut:
        text = text.rpartition(" ")[0] or text
    text = _QUOTED.sub(GAP, text)
    text = _TOKEN.sub(_word, text)
    text = _DATE.sub(GAP, " ".join(text.split()))
    text = _PLURAL.sub(r"\1", _GAPS.sub(GAP, text))
    return text.strip(" .,:;!?")[:WORDS].rstrip()


def fingerprint(source: str, kind: str, found: Failure) -> str:
    """The fingerprint of a failure: 12 hex digits."""
    parts = (source, kind, found.error_class, str(found.status or ""), found.message)
    return hashlib.blake2b("\0".join(parts).encode(errors="replace"), digest_size=6).hexdigest()


def _word(token: re.Match[str]) -> str:
    whole = token[0]
    bare = whole.rstrip(_ENDS)
    return (GAP if _is_id(bare) else bare) + whole[len(bare) :]


def _is_id(token: str) -> bool:
    """Whether a word identifies an object: it has a digit, is an address, is hexadecimal, or has capitals in places
    where words have none, like random letters."""
    if "@" in token or "://" in token or any(map(str.isdigit, token)) or _HEX.fullmatch(token):
        return True
    *_, last = token.split("_")
    if last != token and _is_mixed(last):
        return True
    return any(len(each) > 9 and len(_HUMP.findall(each)) * 5 > len(each) for each in _LETTERS.findall(token))


def _is_mixed(text: str) -> bool:
    return text != text.lower() and text != text.upper() and not text.istitle()
