"""One attempt at one task: perform, gather what it yields, serialise it, and turn any error into an outcome."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from crawlerd.core.outcome import DONE, Complete, decide
from crawlerd.engine.batches import Rows, skip
from crawlerd.source import (
    STREAM_NAME,
    Cursor,
    ForAccount,
    ForPart,
    Gather,
    Identity,
    Permanent,
    Record,
    Records,
    Skip,
    Source,
    SourceOf,
    Sweep,
    TaskArgs,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crawlerd.core.account import AccountSpec
    from crawlerd.core.outcome import Batch, Outcome, Skipped
    from crawlerd.core.task import NewGather, NewTask, Task
    from crawlerd.source import Output, RunPlan


class AttemptApi(Protocol):
    """What a handler gets. It knows when its one request left and the response was complete (monotonic, 0: none)."""

    sent_at: float
    done_at: float


class NoRequest:
    """What a task whose kind has cost 0 gets for an API: no limit has counted it."""

    sent_at = done_at = 0.0

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"a task whose kind has cost 0 makes no request, and has no {name}")


class Client(Protocol):
    """Opens one Api an attempt; shared by the threads of a worker."""

    def open(self, source: Source, account: AccountSpec) -> AttemptApi: ...


def attempt(
    source: Source,
    account: AccountSpec,
    api: object,
    task: Task,
    *,
    jitter: float,
    source_of: SourceOf = lambda _: None,
) -> Outcome:
    """Runs the task's handler to its end. A raise discards all that it yielded. Never raises itself.

    source_of: an account's source by the account's name, None when it is not configured.
    """
    try:
        return _collect(source, source.perform(api, task.kind, task.payload), source_of, task.kind)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever a handler raises becomes an outcome, here only
        if isinstance(error, SystemExit):
            error = Permanent("the handler called sys.exit()")
        elif not isinstance(error, Exception):
            error = Permanent(f"the handler raised {type(error).__name__}")
        return decide(error, attempt=task.attempt, policy=account.retry, jitter=jitter)


def begin(source: Source, plan: RunPlan, source_of: SourceOf) -> Complete:
    """What a run begins with, as if a task had yielded it. Permanent for whatever the source raises."""
    try:
        return source.first(plan, source_of)
    except (Exception, SystemExit) as error:
        raise Permanent(f"the source {source.name} cannot begin: {type(error).__name__}: {error}") from error


def _collect(source: Source, outputs: Iterable[Output], source_of: SourceOf, kind: str) -> Complete:
    records: defaultdict[str, Rows] = defaultdict(Rows)
    children: list[NewTask] = []
    gathers: list[NewGather] = []
    cursors: list[tuple[str, str]] = []
    greatest: list[tuple[str, str]] = []
    sweeps: list[tuple[str, str]] = []
    skipped: list[Skipped] = []
    identity = None
    for output in outputs:
        match output:
            case Record():
                records[output.stream].add(output)
            case Records():
                records[output.stream].add_all(output)
            case TaskArgs() | ForAccount() | ForPart():
                child = source.new_task(output, source_of)
                _text(child.bucket)
                if child.sequential and child.kind != kind:  # asked for twice, it is no cursor that repeats
                    child = msgspec.structs.replace(child, sequential=False)
                children.append(child)
            case Gather():
                gather = source.new_gather(output, source_of)
                for child in (*gather.tasks, gather.then):
                    _text(child.bucket)
                gathers.append(gather)
            case Cursor():
                (greatest if output.greatest else cursors).append((_text(output.stream), _text(output.value)))
            case Skip():
                skipped.append(skip(_stream(output.stream), output.key, output.reason))
            case Identity():
                identity = _text(output.value)
            case Sweep():
                sweeps.append((_stream(output.stream), _text(output.prefix)))
            case _:
                kinds = "Record, Records, TaskArgs, ForAccount, ForPart, Gather, Cursor, Skip, Identity or Sweep"
                raise TypeError(f"a handler yields {kinds}, not {type(output).__name__}")
    if not (records or children or gathers or cursors or greatest or sweeps or skipped or identity):
        return DONE
    batches: list[Batch] = []
    for stream, rows in records.items():
        batch = rows.batch(_stream(stream), skipped)
        if batch.count:
            batches.append(batch)
    return Complete(batches, children, cursors, skipped, identity, gathers, sweeps, greatest)


def _text(value: str) -> str:
    """Itself. Untyped handlers yield other values too, which no message to the main process can hold."""
    if not isinstance(value, str):
        raise TypeError(f"a cursor, an identity, a bucket and a prefix are text, not {type(value).__name__}")
    value.encode()
    return value


def _stream(name: str) -> str:
    """Itself. ValueError when no sink could name a table or file after it."""
    if not STREAM_NAME.fullmatch(name) or name.endswith("_view"):
        raise ValueError(f"{name!r} is not a stream name: lower-case letters, digits and _, at most 63, not …_view")
    return name
