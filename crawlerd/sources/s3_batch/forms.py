"""What objects may look like: known by their names, read piece by piece. Pure."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

Form = Literal["json", "lines", "csv"]
FORMS: dict[str, Form] = {".json": "json", ".jsonl": "lines", ".ndjson": "lines", ".csv": "csv"}
PACKED = ".gz"
MOST_RECORDS = 100_000  # of a piece: they take more memory than their text

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
    """What an object's name says.

    batch: the name without its endings, which is the batch's id.
    """

    batch: str
    form: Form


def named(name: str) -> Named | None:
    """None for the name of an object that is no batch. Capital letters in endings are as good as small ones."""
    stem = name[: -len(PACKED)] if name.lower().endswith(PACKED) else name
    dot = stem.rfind(".")
    form = FORMS.get(stem[dot:].lower()) if dot > 0 else None
    return form and Named(stem[:dot], form)


class NoText(ValueError):
    """What begins an object is no text in UTF-8."""


class Short(Exception):
    """The piece ends before what was begun does."""


class Read(NamedTuple):
    """What a piece holds.

    records: their JSON as it stands there, or is made of it; what it is, where that cannot be.
    ends: where each one's successor begins.
    phase, used: what comes next in the object, and where in the piece that begins.
    problem: why there is no going on, else "".
    faults: what is wrong with single records, by their positions in `records`.
    names: of the fields, where a header gives them.
    """

    records: list[bytes]
    ends: list[int]
    phase: str
    used: int
    problem: str = ""
    faults: Mapping[int, str] = NO_FAULTS
    names: tuple[str, ...] = ()


def start(piece: bytes, *, final: bool) -> int:
    """Where the text of an object begins: behind a byte order mark. NoText when there is none in UTF-8."""
    if len(piece) < 4 and not final:
        raise Short
    for mark, problem in _MARKS.items():
        if piece.startswith(mark):
            raise NoText(problem)
    if final and not piece:
        raise NoText("the object is empty")
    return len(_UTF8) if piece.startswith(_UTF8) else 0
