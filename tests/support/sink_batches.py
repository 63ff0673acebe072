"""Batches of records as a worker makes them, and records as handlers yield them, for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crawlerd.core.jsontext import nesting
from crawlerd.core.lenient_json import encoded, parsed
from crawlerd.core.outcome import DEEP
from crawlerd.sink import Batch
from crawlerd.source import Record, Records

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from crawlerd.source import Output


def batch_of(
    stream: str, rows: Sequence[tuple[str, Mapping[str, Any] | bytes | None]], fields: Iterable[str] | None = None
) -> Batch:
    """data: fields, or JSON as it is written."""
    if fields is None:
        fields = dict.fromkeys(str(name) for _, data in rows if data and not isinstance(data, bytes) for name in data)
    data = [each if each is None or isinstance(each, bytes) else encoded(each) for _, each in rows]
    deep = [place for place, each in enumerate(data) if each and nesting(each, DEEP) > DEEP]
    size = sum(len(each or b"") for each in data)
    return Batch(stream, len(rows), [key for key, _ in rows], data, list(fields), deep, size)


def one_by_one(output: Output) -> list[Output]:
    """Records as a Record each."""
    if not isinstance(output, Records):
        return [output]
    return [
        Record(output.stream, str(key), parsed(text)) for key, text in zip(output.keys, output.objects, strict=True)
    ]
