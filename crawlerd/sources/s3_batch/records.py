"""Records of `{"records": [...]}` or `[...]`, read from pieces of an object of any size. Pure."""

from __future__ import annotations

import re
from json import JSONDecodeError, JSONDecoder
from typing import Literal

from crawlerd.sources.s3_batch.forms import MOST_RECORDS, NoText, Read, Short, start

Phase = Literal["head", "first", "next", "tail", "of list first", "of list next", "of list tail", "done"]

_SPACE = re.compile(r"[ \t\r\n]*")
_OF_NUMBER = re.compile(r"[0-9.eE+-]*")
# Only used to find where a value ends.
_value_at = JSONDecoder(parse_int=str, parse_float=str, parse_constant=str).raw_decode


def read(piece: bytes, phase: str, *, final: bool) -> Read:
    """Reads a piece of an object.

    phase: the Phase at which it begins.
    final: the object ends with the piece.

    A piece that is not final and has nothing complete is used up to 0.
    """
    text = piece.decode("latin-1")  # a character for each byte; JSON's own are the same
    records: list[bytes] = []
    ends: list[int] = []
    at = 0
    try:
        if phase == "head":
            at, phase = _head(text, start(piece, final=final))
        of = phase[: phase.rfind(" ") + 1]  # the kind of list
        while phase in (f"{of}first", f"{of}next"):
            if len(records) == MOST_RECORDS:
                return Read(records, ends, phase, at)
            begin = _skip(text, at)
            if phase == f"{of}first" and text[begin] == "]":
                at, phase = begin + 1, f"{of}tail"
                break
            end = _value(text, begin, final)
            behind = _skip(text, end)
            if text[behind] not in ",]":
                raise ValueError(f"neither , nor ] after record {len(records)} of this piece")
            at, phase = behind + 1, f"{of}next" if text[behind] == "," else f"{of}tail"
            records.append(piece[begin:end])
            ends.append(at)
        _tail(text, at, final, of)
        at, phase = len(text), "done"
    except Short:
        return Read(records, ends, phase, at, "it ends too early" if final else "")
    except NoText as error:
        return Read(records, ends, phase, at, str(error))
    except (ValueError, RecursionError) as error:
        return Read(records, ends, phase, at, f"not JSON as it should be: {error}")
    return Read(records, ends, phase, at)


def _head(text: str, at: int) -> tuple[int, Phase]:
    """Where the list of records begins, and its kind."""
    at = _skip(text, at)
    if text[at] == "[":
        return at + 1, "of list first"
    if text[at] != "{":
        raise ValueError('neither an object with a list "records" nor a list')
    at = _skip(text, at + 1)
    while text[at] != "}":
        name, at = _member(text, at)
        if name == "records":
            if text[at] != "[":
                raise ValueError('"records" is not a list')
            return at + 1, "first"
        at = _following(text, _skip(text, _value(text, at, final=False)))
    raise ValueError('there is no list "records" (the name of JSON Lines must end in .jsonl or .ndjson)')


def _tail(text: str, at: int, final: bool, of: str) -> None:
    """Checks what follows the records."""
    if not of:
        at = _following(text, _skip(text, at))
        while text[at] != "}":
            _, at = _member(text, at)
            at = _following(text, _skip(text, _value(text, at, final)))
        at += 1
    at = _SPACE.match(text, at).end()  # type: ignore[union-attr]  # it matches anything
    if at < len(text):
        raise ValueError("something follows the end")
    if not final:
        raise Short


def _member(text: str, at: int) -> tuple[str, int]:
    """The name of an object's member, and where its value begins."""
    if text[at] != '"':
        raise ValueError("a member without a name")
    try:
        name, at = _value_at(text, at)
    except JSONDecodeError:
        raise Short from None
    at = _skip(text, at)
    if text[at] != ":":
        raise ValueError("a name without a value")
    return name, _skip(text, at + 1)


def _following(text: str, at: int) -> int:
    """Where the next member of an object begins, or the object ends.

    at: the end of a value.
    """
    if text[at] == "}":
        return at
    if text[at] != ",":
        raise ValueError("neither , nor } after a value")
    at = _skip(text, at + 1)
    if text[at] == "}":
        raise ValueError("a , before }")
    return at


def _value(text: str, at: int, final: bool) -> int:
    """Where a value ends."""
    try:
        _, end = _value_at(text, at)
    except JSONDecodeError as error:
        if final:
            raise ValueError(f"{error.msg} at byte {error.pos} of this piece") from None
        raise Short from None
    if not final and _OF_NUMBER.fullmatch(text, end):
        raise Short
    return end


def _skip(text: str, at: int) -> int:
    at = _SPACE.match(text, at).end()  # type: ignore[union-attr]  # it matches anything
    if at == len(text):
        raise Short
    return at
