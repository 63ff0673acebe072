"""Reads a batch, range by range, in any of its formats, and makes chunks of each range's records."""

from __future__ import annotations

from dataclasses import dataclass, replace
from io import BytesIO
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from crawlerd.source import AwsApi, Gather, Output, Permanent, TaskArgs
from crawlerd.sources.s3_batch.batch import Batch, call, s3_batch
from crawlerd.sources.s3_batch.csv_rows import read_rows
from crawlerd.sources.s3_batch.items import checked
from crawlerd.sources.s3_batch.lines import read_lines
from crawlerd.sources.s3_batch.records import read
from crawlerd.sources.s3_batch.scatter import Scattered, begun
from crawlerd.sources.s3_batch.unpacking import MAGIC, STEP, Place, Unpacked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crawlerd.sources.s3_batch.forms import Read

RANGE = 4 << 20  # bytes of text read at once; a record can be at most that long
MOST_PACKED = RANGE + 3 * STEP  # bytes of gzip read at once, for text that gzip does not make smaller
LEAST_PACKED = 64 << 10
ENCODINGS = ("br", "zstd", "compress", "deflate")  # that cannot be read
MOST_BYTES = 1 << 20  # of a chunk, since a task's arguments are in the frontier and in memory


@dataclass(frozen=True)
class Scan(TaskArgs, kind="s3_batch.scan"):
    """One range of the object. The next one is read when half of its chunks are done, so that there is always some work
    and never much.

    offset: where it begins, at a complete record or at the phase's beginning: in the object, or in the text after
        `packed`.
    index: of the next record.
    names: of the fields, from a header.
    packed: where to continue in an object that is gzip, see `unpacking`.
    ask: how many bytes of the object are read at once.
    """

    batch: Batch
    offset: int = 0
    phase: str = "head"
    index: int = 0
    names: tuple[str, ...] = ()
    packed: Place | None = None
    ask: int = RANGE


@s3_batch.handles(Scan, stream="batches", bucket="s3", sequential=True)
def scan(api: AwsApi, args: Scan) -> Iterator[Output]:
    batch = args.batch
    begin = args.packed.at if args.packed else args.offset
    try:
        answer = call(
            api,
            "s3",
            "get_object",
            Bucket=batch.job.input.bucket,
            Key=batch.key,
            IfMatch=batch.match,
            Range=f"bytes={begin}-{begin + args.ask - 1}",
        )
    except Permanent as error:
        if not begin or not str(error).startswith("InvalidRange"):
            yield Scattered(batch, args.index, _unreadable(str(error)))
            return
        answer = {"Body": BytesIO()}  # the object ended with what was read before
    total = int(answer["ContentRange"].rpartition("/")[2]) if "ContentRange" in answer else 0
    piece = answer["Body"].read()
    if encoding := next((each for each in ENCODINGS if each in answer.get("ContentEncoding", "").lower()), ""):
        yield Scattered(batch, args.index, f"its Content-Encoding is {encoding}; only gzip can be read")
        return
    text = _text(piece, args, last=begin + len(piece) >= total)
    found = _records(text, args)
    problem = found.problem or text.problem
    ended = found.phase == "done" or bool(problem)
    used, index = found.used, args.index
    chunks = _chunks(found, batch.job.chunk)
    if not ended and found.phase.endswith("next") and len(chunks) > 1:  # the last chunk is read again, and is then full
        last = chunks.pop()
        used = found.ends[last.start - 1]
    tasks = [
        [*begun(batch, [checked(index + at, found.records[at], found.faults.get(at, "")) for at in each])]
        for each in chunks
    ]
    index += chunks[-1].stop if chunks else 0
    then = _following(args, text, used, found, index)
    if ended or then is None:
        at = args.offset + (args.packed.text if args.packed else 0)
        most = f"no whole record in {RANGE >> 20} MiB: what begins at byte {at}"
        yield Scattered(batch, index, problem or ("" if ended else most))
    else:
        first = tasks[: (len(tasks) + 1) // 2]
        del tasks[: len(first)]
        yield Gather(list(chain.from_iterable(first)), then=then)
    yield from chain.from_iterable(tasks)


class Text(NamedTuple):
    """The text of a range, from the scan's place on.

    final: the text ends with it.
    unpacked: what it comes from, if the object is gzip.
    """

    piece: bytes
    final: bool
    problem: str = ""
    unpacked: Unpacked | None = None


def _text(piece: bytes, args: Scan, *, last: bool) -> Text:
    """The text of a piece.

    last: the object ends with the piece.
    """
    if args.packed is None and not (args.offset == 0 and piece.startswith(MAGIC)):
        return Text(piece, last)
    place, most = args.packed or Place(), args.batch.job.unpacked
    unpacked = Unpacked(piece, place, final=last, most=args.offset + RANGE)
    text, problem = unpacked.text, unpacked.problem
    if place.text + len(text) > most:
        problem = f"it unpacks to more than {most >> 20} MiB, the limit set by unpacked_mb"
    return Text(text[args.offset :], unpacked.ended, problem, unpacked)


def _records(text: Text, args: Scan) -> Read:
    match args.batch.form:
        case "json":
            return read(text.piece, args.phase, final=text.final)
        case "lines":
            return read_lines(text.piece, args.phase, final=text.final)
        case "csv":
            return read_rows(text.piece, args.phase, args.names, final=text.final)


def _following(args: Scan, text: Text, used: int, found: Read, index: int) -> Scan | None:
    """The scan that continues; None if this one has found no place to continue."""
    scan = Scan(args.batch, args.offset + used, found.phase, index, found.names)
    if text.unpacked is None:
        return scan if used else None
    place, offset = text.unpacked.place(args.offset + used)
    if used or place != (args.packed or Place()):
        of_text = max(1, args.offset + len(text.piece))
        ask = (RANGE + STEP) * text.unpacked.used // of_text * 5 // 4
        return replace(scan, packed=place, offset=offset, ask=min(max(ask, LEAST_PACKED), MOST_PACKED))
    if len(text.piece) >= RANGE or args.ask >= MOST_PACKED:
        return None
    return replace(args, ask=min(4 * args.ask, MOST_PACKED))


def _unreadable(error: str) -> str:
    if error.startswith("InvalidRange"):
        return "the object is empty"
    if error.startswith(("PreconditionFailed", "412")):
        return "the object was replaced while it was read"
    return f"the object cannot be read: {error}"


def _chunks(found: Read, most: int) -> list[range]:
    """The indexes of the records of each chunk."""
    chunks: list[range] = []
    start = size = 0
    for at, record in enumerate(found.records):
        if at > start and (at - start == most or size + len(record) > MOST_BYTES):
            chunks.append(range(start, at))
            start, size = at, 0
        size += len(record)
    if start < len(found.records):
        chunks.append(range(start, len(found.records)))
    return chunks
