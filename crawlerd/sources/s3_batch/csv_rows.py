"""Records of CSV with a header, read from pieces of an object of any size. Pure.

Python's own reader determines the rows (RFC 4180: quotes, and commas, quotes and newlines within them). It requests one
line after the other, which shows with which byte a row ends.
"""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING

import msgspec

from crawlerd.sources.s3_batch.forms import MOST_RECORDS, Read, Short, start

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MOST_NAMES = 64 << 10  # characters of all names in the header, which are in each record
MOST_BYTES = 4 << 20  # of records made at once
_BLANK, _END = re.compile(rb"[\r\n]*"), re.compile(rb"\r?\n|\r")
SHOWN = 1000  # bytes of an invalid row
csv.field_size_limit(max(csv.field_size_limit(), 1 << 24))  # longer than a piece


class _Lines:
    """The lines of a piece for a reader of rows.

    at: where the next one begins.
    ended: the reader wanted more.
    """

    def __init__(self, piece: bytes, at: int, *, final: bool) -> None:
        self.at = at
        self.ended = False
        self._piece, self._final = piece, final

    def skip(self) -> None:
        """Skips blank lines."""
        self.at = _BLANK.match(self._piece, self.at).end()  # type: ignore[union-attr]  # it matches anything

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        found = _END.search(self._piece, self.at)
        end = found.end() if found else len(self._piece)
        whole = found and (end < len(self._piece) or found[0] != b"\r")  # otherwise "\n" may follow
        if end == self.at or not (whole or self._final):
            self.ended = True
            raise StopIteration
        line = self._piece[self.at : end]
        self.at = end
        return line.decode(errors="surrogateescape")


def read_rows(piece: bytes, phase: str, names: Sequence[str], *, final: bool) -> Read:
    """Reads a piece, which begins at a row; "head" is the header.

    final: the object ends with the piece.

    A record has the header's names, with texts as values. Blank lines are left out. A piece that is not final and has
    no complete row is used up to 0.
    """
    names = tuple(names)
    records: list[bytes] = []
    ends: list[int] = []
    faults: dict[int, str] = {}
    at = size = 0
    try:
        lines = _Lines(piece, start(piece, final=final) if phase == "head" else 0, final=final)
        reader = csv.reader(lines, strict=True)
        while size < MOST_BYTES and len(records) < MOST_RECORDS:
            lines.skip()
            begin = at = lines.at
            row, fault = _row(reader)
            if lines.ended and (row is None or not final):
                break
            at = lines.at
            if phase == "head":
                if row or fault:
                    names, phase = _names(row or [], fault), "next"
                continue
            if not row and not fault:
                continue
            record, fault = _record(names, row or [], fault)
            if fault:
                faults[len(records)] = fault
            records.append(record or piece[begin:at][:SHOWN])
            ends.append(at)
            size += len(records[-1])
        else:
            whole = final and at == len(piece)
            return Read(records, ends, "done" if whole else phase, at, faults=faults, names=names)
        if final and phase == "head":
            raise ValueError("it has no header")
    except Short:
        return Read([], [], phase, 0)
    except ValueError as error:
        return Read(records, ends, phase, at, str(error), faults, names)
    return Read(records, ends, "done" if final else phase, at, faults=faults, names=names)


def _row(reader: Iterator[list[str]]) -> tuple[list[str] | None, str]:
    """The next row ([] for a blank line or an invalid row, None at the end), and what is wrong with it."""
    try:
        return next(reader, None), ""
    except csv.Error as error:
        return [], f"not CSV: {error}"


def _names(row: list[str], fault: str) -> tuple[str, ...]:
    """The names of a header. Raises ValueError if they are not valid."""
    if fault:
        raise ValueError(f"its header is {fault}")
    if not all(_is_utf8(each) for each in row):
        raise ValueError("the text is not UTF-8")
    twice = next((each for at, each in enumerate(row) if each in row[:at]), None)
    if twice is not None:
        raise ValueError(f"its header has the name {twice[:100]!r} twice")
    if sum(map(len, row)) > MOST_NAMES:
        raise ValueError(f"its header is longer than {MOST_NAMES >> 10} KiB")
    return tuple(row)


def _record(names: tuple[str, ...], row: list[str], fault: str) -> tuple[bytes, str]:
    if not fault and len(row) != len(names):
        fault = f"{len(row)} fields, but {len(names)} names in the header"
    if fault:
        return b"", fault
    try:
        return msgspec.json.encode(dict(zip(names, row, strict=True))), ""
    except UnicodeEncodeError:
        return b"", "the text is not UTF-8"


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
