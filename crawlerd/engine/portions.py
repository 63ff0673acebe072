"""Splits outcomes that are too large for one message into portions, and estimates the memory of outcomes. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, TypeVar

import msgspec

from crawlerd.core.errors import Permanent
from crawlerd.core.outcome import Complete, Marked, Portion, Sent
from crawlerd.core.task import Entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from crawlerd.core.outcome import Batch, Outcome
    from crawlerd.core.task import NewTask

Thing = TypeVar("Thing")

WHOLE = 4 << 20  # bytes; an outcome up to this size is one message
PORTION = 256 << 10  # bytes of a portion, unless a single record or task in it is larger
MOST_ENTRIES = 100  # tasks in one row; they become ready together, and all other tasks wait meanwhile
MOST_TASKS = 5_000_000  # most tasks that one task may yield
MOST_ARGUMENTS = 8 << 20  # bytes of one task's arguments; the main process holds several copies of them
# Bytes of memory that the main process needs for each, in addition to its texts.
RECORD, SKIP, TASK, NOTE = 120, 250, 350, 200


def weight(outcome: Outcome) -> int:
    """About how many bytes of memory an outcome takes in the main process."""
    if type(outcome) is not Complete:
        return 0
    size = 0
    for batch in outcome.batches:
        size += batch.size + RECORD * batch.count + sum(map(len, batch.keys)) + sum(map(len, batch.parents))
    if outcome.skipped:
        size += sum(SKIP + len(each.key) + len(each.reason) for each in outcome.skipped)
    if outcome.children:
        size += sum(map(_task, outcome.children))
    if outcome.gathers:
        size += sum(_task(each.then) + sum(map(_task, each.tasks)) for each in outcome.gathers)
    return size + _noted(outcome) if outcome.cursors or outcome.greatest or outcome.parents or outcome.marked else size


def is_large(outcome: Outcome) -> bool:
    """Whether an outcome must be sent to the main process in portions."""
    return weight(outcome) > WHOLE


def portions(outcome: Complete, token: int, *, most: int = PORTION) -> Iterator[Portion | Complete]:
    """Yields the outcome of a lease in portions of about `most` bytes, and at last the rest as a `Complete`. May raise
    Permanent at any portion when a task or the rest is too large; the message names the limit."""
    records: Counter[str] = Counter()
    kinds: Counter[tuple[str, int]] = Counter()
    skipped: dict[str, tuple[int, str]] = {}
    notes: dict[str, str] = {}
    for batch in outcome.batches:
        records[batch.stream] += batch.count
        for part in _cut(batch, most):
            yield Portion(token, [part])
    for each in outcome.skipped:
        if each.note:
            notes.setdefault(each.stream, each.reason)
        else:
            skipped[each.stream] = skipped.get(each.stream, (0, ""))[0] + 1, f"{each.key}: {each.reason}"
    for skips in _sliced(outcome.skipped, [SKIP + len(each.key) + len(each.reason) for each in outcome.skipped], most):
        yield Portion(token, skipped=list(skips))
    place = 0
    for some in _batched(_entries(outcome), most):
        texts = [some[at : at + MOST_ENTRIES] for at in range(0, len(some), MOST_ENTRIES)]
        entries = [(len(each), msgspec.json.encode(each).decode()) for each in texts]
        yield Portion(token, entries=entries, first=place)
        kinds.update((each.task.kind, each.task.chain) for each in some)
        place += len(some)
    rest = _rest(outcome)
    if (noted := _noted(rest)) > WHOLE:
        raise Permanent(f"it yields {_mb(noted)} of cursors and the like; at most {_mb(WHOLE)} of one task are kept")
    sent = Sent(
        token,
        place,
        len(outcome.children) + len(outcome.gathers),
        list(records.items()),
        [(stream, count, text) for stream, (count, text) in skipped.items()],
        list(notes.items()),
        kinds=[(kind, chain, count) for (kind, chain), count in kinds.items()],
    )
    yield msgspec.structs.replace(rest, batches=[], children=[], skipped=[], gathers=[], sent=sent)


def _rest(outcome: Complete) -> Complete:
    """The outcome without repetitions: one cursor, one mark and one parent of each kind."""
    greatest: dict[str, str] = {}
    for stream, value in outcome.greatest:
        greatest[stream] = max(value, greatest.get(stream, value))
    marked: dict[str, Marked] = {}
    for each in outcome.marked:
        known = marked.get(each.stream, Marked(each.stream, False, 0, ""))
        found, unread = known.found or each.found, known.unread + each.unread
        marked[each.stream] = Marked(each.stream, found, unread, each.why or known.why)
    return msgspec.structs.replace(
        outcome,
        cursors=list(dict(outcome.cursors).items()),
        greatest=list(greatest.items()),
        parents=[(*key, whole) for key, whole in {(of, key): whole for of, key, whole in outcome.parents}.items()],
        marked=list(marked.values()),
    )


def _cut(batch: Batch, most: int) -> Iterator[Batch]:
    """Splits a batch. Its records keep their order; the first part has the names of all fields."""
    sizes = [len(key) + len(data or b"") for key, data in zip(batch.keys, batch.data, strict=True)]
    deep = set(batch.deep)
    fields = batch.fields
    start = 0
    for keys in _sliced(batch.keys, [RECORD + size for size in sizes], most):
        end = start + len(keys)
        data = batch.data[start:end]
        theirs = [place - start for place in range(start, end) if place in deep] if deep else []
        size = sum(len(each) for each in data if each is not None)
        parents = batch.parents[start:end]
        yield type(batch)(batch.stream, len(data), list(keys), data, fields, theirs, size, parents)
        start, fields = end, []


def _entries(outcome: Complete) -> Iterator[Entry]:
    """Yields groups with their tasks, then the other tasks."""
    count = len(outcome.children) + sum(1 + len(each.tasks) for each in outcome.gathers)
    if count > MOST_TASKS:
        raise Permanent(f"it yields {count:,} tasks; one task may yield at most {MOST_TASKS:,}")
    place = 0
    for gather in outcome.gathers:
        place += 1
        group = place
        yield Entry(gather.then, 0, len(gather.tasks), gather.if_dead)
        for task in gather.tasks:
            place += 1
            yield Entry(task, group)
    for task in outcome.children:
        yield Entry(task)


def _batched(entries: Iterable[Entry], most: int) -> Iterator[list[Entry]]:
    some: list[Entry] = []
    size = 0
    for entry in entries:
        its = _task(entry.task)
        if its > MOST_ARGUMENTS:
            raise Permanent(
                f"a task of kind {entry.task.kind} with arguments of {_mb(its)}; at most {_mb(MOST_ARGUMENTS)} are kept"
            )
        if some and size + its > most:
            yield some
            some, size = [], 0
        some.append(entry)
        size += its
    if some:
        yield some


def _sliced(things: Sequence[Thing], sizes: Sequence[int], most: int) -> Iterator[Sequence[Thing]]:
    """Slices in the given order, each with a total size of at most `most`, or with a single element."""
    start = size = 0
    for place, its in enumerate(sizes):
        if place > start and size + its > most:
            yield things[start:place]
            start, size = place, 0
        size += its
    if start < len(things):
        yield things[start:]


def _task(task: NewTask) -> int:
    size = TASK + len(task.payload)
    return size if task.if_new is None else size + _task(task.if_new.task)


def _noted(outcome: Complete) -> int:
    """The bytes of those parts that must be in the last message, such as cursors."""
    texts = [*outcome.cursors, *outcome.greatest]
    size = sum(NOTE + len(stream) + len(value) for stream, value in texts)
    size += sum(NOTE + len(of) + len(key) for of, key, _ in outcome.parents)
    return size + sum(NOTE + len(each.stream) + len(each.why) for each in outcome.marked)


def _mb(size: int) -> str:
    return f"{size / (1 << 20):,.0f} MB"
