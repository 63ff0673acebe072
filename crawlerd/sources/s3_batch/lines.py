"""Records of JSON Lines, read from pieces of an object of any size. Pure."""

from __future__ import annotations

import re

from crawlerd.sources.s3_batch.forms import MOST_RECORDS, NoText, Read, Short, start

_BLANK = re.compile(rb"[ \t\r\n]*")


def read_lines(piece: bytes, phase: str, *, final: bool) -> Read:
    """Reads a piece, which begins at a line.

    final: the object ends with the piece.

    Each line that is not blank is a record. A piece that is not final and has no complete line is used up to 0.
    """
    records: list[bytes] = []
    ends: list[int] = []
    at = 0
    try:
        if phase == "head":
            at, phase = start(piece, final=final), "next"
    except Short:
        return Read([], [], phase, 0)
    except NoText as error:
        return Read([], [], phase, 0, str(error))
    while (at := _end_of_blanks(piece, at)) < len(piece):
        if len(records) == MOST_RECORDS:
            return Read(records, ends, phase, at)
        end = piece.find(b"\n", at)
        if end < 0:
            if not final:
                return Read(records, ends, phase, at)
            end = len(piece)
        records.append(piece[at:end].rstrip(b" \t\r"))
        at = min(end + 1, len(piece))
        ends.append(at)
    return Read(records, ends, "done" if final else phase, at)


def _end_of_blanks(piece: bytes, at: int) -> int:
    return _BLANK.match(piece, at).end()  # type: ignore[union-attr]  # it matches anything
