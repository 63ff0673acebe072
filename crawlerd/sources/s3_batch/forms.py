"""The formats of objects: known from their names, read in pieces. Pure."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

Form = Literal["json", "lines", "csv"]
FORMS: dict[str, Form] = {".json": "json", ".jsonl": "lines", ".ndjson": "lines", ".csv": "csv"}
PACKED = ".gz"
MOST_RECORDS = 100_000  # of a piece, since they take more memory than their text

_MARKS = {
    b"\xff\xfe": "the text is UTF-16, and must be UTF-8",
    b"\xfe\xff": "the text is UTF-16, and must be UTF-8",
    b"\x1f\x8b": "it is gzip within gzip",
    b"\x28\xb5\x2f\xfd": "it is packed with zstd; only gzip can be read",
    b"PK\x03\x04": "it is a ZIP file; only gzip can be read",
}
NO_FAULTS: Mapping[int, str] = MappingProxyType({})
_UTF8 = b"\xef\xbb\xbf"


class Named(NamedTuple):
    """What an object's name shows.

    batch: the name without suffixes, which is the batch's id.
    """

    batch: str
    form: Form


def named(name: str) -> Named | None:
    """The format of an object; None if its name is not a batch's. Suffixes may be in upper case."""
    stem = name[: -len(PACKED)] if name.lower().endswith(PACKED) else name
    dot = stem.rfind(".")
    form = FORMS.get(stem[dot:].lower()) if dot > 0 else None
    return form and Named(stem[:dot], form)


class NoText(ValueError):
    """The beginning of an object is not UTF-8 text."""


class Short(Exception):
    """The piece ends in the middle of something."""


class Read(NamedTuple):
    """The content of a piece.

    records: their JSON as it is in the piece, or is made from it; for an invalid one, its text.
    ends: for each record, where the next one begins.
    phase, used: what comes next in the object, and where in the piece it begins.
    problem: why reading cannot go on, otherwise "".
    faults: what is wrong with single records, by their indexes in `records`.
    names: of the fields, if there is a header.
    """

    records: list[bytes]
    ends: list[int]
    phase: str
    used: int
    problem: str = ""
    faults: Mapping[int, str] = NO_FAULTS
    names: tuple[str, ...] = ()


def start(piece: bytes, *, final: bool) -> int:
    """Where the text of an object begins: after a byte order mark, if there is one. Raises NoText if it is not
    UTF-8."""
    if len(piece) < 4 and not final:
        raise Short
    for mark, problem in _MARKS.items():
        if piece.startswith(mark):
            raise NoText(problem)
    if final and not piece:
        raise NoText("the object is empty")
    return len(_UTF8) if piece.startswith(_UTF8) else 0
