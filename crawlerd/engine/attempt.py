"""One attempt at one task: perform, gather what it yields, serialize it, and turn any error into an outcome."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from crawlerd.core.outcome import DONE, Complete, Marked, Skipped, decide
from crawlerd.core.redaction import redacting as cutting_without
from crawlerd.core.task import parent_hash
from crawlerd.engine import kinds, outgoing, redacting, subscribers
from crawlerd.engine.batches import StreamRows, shortened, skip
from crawlerd.source import (
    STREAM_NAME,
    Cursor,
    ForAccount,
    ForParent,
    ForPart,
    Gather,
    Identity,
    Marks,
    Note,
    Orphans,
    ParentRead,
    Permanent,
    Record,
    Records,
    Skip,
    Source,
    Sweep,
    TaskArgs,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from crawlerd.core.configuration import AccountSpec
    from crawlerd.core.outcome import Batch, Comparison, Outcome
    from crawlerd.core.redaction import Redaction
    from crawlerd.core.task import NewGather, NewTask, Task
    from crawlerd.engine.kinds import SourceOf
    from crawlerd.engine.private_records import Private
    from crawlerd.source import Output, RunPlan

Heard = Callable[[Any, bool], None]  # an answer, and whether it is an error
MOST_ROUNDS = 10  # of subscribers that are told of what others have yielded
OUTPUTS = (
    "Record, Records, TaskArgs, ForAccount, ForPart, ForParent, ParentRead, Gather, Cursor, Skip, Note, Marks, "
    "Identity or Sweep"
)


class AttemptApi(Protocol):
    """What a handler gets. It knows when its one request left and the response was complete (monotonic, 0: none), where
    it went ("": to the account's usual origin), the status and the bytes of the response (0: none), and what was asked
    for: method, URL, and the status again."""

    @property
    def sent_at(self) -> float: ...
    @property
    def done_at(self) -> float: ...
    @property
    def origin(self) -> str: ...
    @property
    def asked(self) -> tuple[str, str, int] | None: ...
    @property
    def status(self) -> int: ...
    @property
    def received(self) -> int: ...

    heard: Heard | None  # is told of what was answered, if set

    def secrets(self) -> Sequence[str]:
        """See `crawlerd.engine.redacting.Secretive`."""
        ...

    def authenticate(self) -> None: ...


class NoRequest:
    """What a task whose kind has cost 0 gets for an API: no limit has counted it."""

    sent_at = done_at = 0.0
    status = received = 0
    origin = ""
    asked = None

    def __init__(self, opened: Callable[[], AttemptApi] | None = None) -> None:
        """opened: asked when the task's arguments need the credentials that requests have."""
        self._opened = opened
        self._secrets: Sequence[str] = ()
        self.heard: Heard | None = None

    def secrets(self) -> Sequence[str]:
        return self._secrets

    def authenticate(self) -> None:
        if self._opened is not None:
            api = self._opened()
            api.authenticate()
            self._secrets = api.secrets()

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"a task whose kind has cost 0 makes no request, and has no {name}")


class OpenedWhenUsed:
    """What a handler gets for an API while its worker has no client yet. To import one takes 0.1 s and more, and some
    handlers make no request."""

    def __init__(self, opened: Callable[[], AttemptApi]) -> None:
        """opened: called once at most."""
        self._opened = opened
        self._api: AttemptApi | None = None
        self.heard: Heard | None = None

    @property
    def sent_at(self) -> float:
        return self._api.sent_at if self._api else 0.0

    @property
    def done_at(self) -> float:
        return self._api.done_at if self._api else 0.0

    @property
    def origin(self) -> str:
        return self._api.origin if self._api else ""

    @property
    def asked(self) -> tuple[str, str, int] | None:
        return self._api.asked if self._api else None

    @property
    def status(self) -> int:
        return self._api.status if self._api else 0

    @property
    def received(self) -> int:
        return self._api.received if self._api else 0

    def secrets(self) -> Sequence[str]:
        return self._api.secrets() if self._api else ()

    def authenticate(self) -> None:
        self._now().authenticate()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._now(), name)

    def _now(self) -> AttemptApi:
        if self._api is None:
            self._api = self._opened()
            self._api.heard = self.heard
        return self._api


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
    source_of: SourceOf = kinds.no_accounts,
    added: Collection[str] = (),
    private: Private | None = None,
) -> Outcome:
    """Runs the task's handler to its end, and subscribers with its records. A raise discards all that was yielded.
    Never raises itself.

    source_of: an account's source by the account's name, None when it is not configured.
    added: the streams of extensions that the task's run asks for.
    private: of the fields that the run drops or hashes, if it does; subscribers are not told of those either.
    """

    def secrets() -> Redaction:
        return redacting.of(account, api, private)

    def secrets_of_records() -> Redaction:
        return redacting.of(account, api, private, answers=False)

    with cutting_without(secrets):
        outcome: Outcome
        try:
            payload = outgoing.filled(task.kind, redacting.restored(task.payload, account, api))
            if payload is None:
                return DONE
            outcome = _collect(source, kinds.perform(source, api, task.kind, payload), source_of, task, private)
            if source.subscriptions and outcome.batches:
                outcome = _with_subscribers(source, outcome, source_of, task, added, private)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a handler raises becomes an outcome, here only
            if isinstance(error, SystemExit):
                error = Permanent("the handler called sys.exit()")
            elif not isinstance(error, Exception):
                error = Permanent(f"the handler raised {type(error).__name__}")
            outcome = decide(error, attempt=task.attempt, policy=account.retry, jitter=jitter)
    if outcome is DONE:
        return outcome
    quotes = not isinstance(outcome, Complete) or outcome.skipped or outcome.marked
    return redacting.redacted(outcome, secrets if quotes else secrets_of_records)


def begin(source: Source, plan: RunPlan, source_of: SourceOf = kinds.no_accounts) -> Complete:
    """What a run begins with, as if a task had yielded it. Permanent for whatever the source raises."""
    try:
        return kinds.first(source, plan, source_of)
    except (Exception, SystemExit) as error:
        raise Permanent(f"the source {source.name} cannot begin: {type(error).__name__}: {error}") from error


def _collect(
    source: Source, outputs: Iterable[Output], source_of: SourceOf, task: Task, private: Private | None
) -> Complete:
    records: defaultdict[str, StreamRows] = defaultdict(StreamRows)
    try:
        outcome = _collected(source, outputs, source_of, task, records)
    except BaseException:
        if private is not None:
            for stream, rows in records.items():
                private.see(stream, rows.texts)
        raise
    return outcome if private is None or outcome is DONE else private.applied(outcome)


def _collected(
    source: Source,
    outputs: Iterable[Output],
    source_of: SourceOf,
    task: Task,
    records: defaultdict[str, StreamRows],
) -> Complete:
    """records: gets those that are yielded."""
    children: list[NewTask] = []
    gathers: list[NewGather] = []
    cursors: list[tuple[str, str]] = []
    greatest: list[tuple[str, str]] = []
    sweeps: list[tuple[str, str]] = []
    comparisons: list[Comparison] = []
    orphans: list[tuple[str, str]] = []
    parents: list[tuple[str, str, bool]] = []
    skipped: list[Skipped] = []
    marked: list[Marked] = []
    identity = None
    for output in outputs:
        if isinstance(output, Record):  # by far the most are
            records[output.stream].add(output)
            continue
        match output:
            case Records():
                records[output.stream].add_all(output)
            case TaskArgs() | ForAccount() | ForPart() | ForParent():
                children.append(_child(kinds.new_task(source, output, source_of), task))
            case ParentRead():
                parents.append((_text(output.list), parent_hash(output.parent), bool(output.whole)))
            case Gather():
                gather = kinds.new_gather(source, output, source_of)
                for child in (*gather.tasks, gather.then):
                    _texts(child)
                tasks = [child.following(task) for child in gather.tasks]
                gathers.append(msgspec.structs.replace(gather, tasks=tasks))
            case Cursor():
                (greatest if output.greatest else cursors).append((_text(output.stream), _text(output.value)))
            case Skip():
                skipped.append(skip(_stream(output.stream), output.key, output.reason))
            case Marks():
                found = output.kept or output.read > 0
                marked.append(Marked(_stream(output.stream), found, output.unread, shortened(output.why)))
            case Note():
                skipped.append(Skipped(_stream(output.stream), "", shortened(output.text), note=True))
            case Identity():
                identity = _text(output.value)
            case Sweep(otherwise=None):
                sweeps.append((_stream(output.stream), _text(output.prefix)))
            case Orphans(otherwise=None):
                orphans.append((_stream(output.stream), _text(output.parent)))
            case Sweep() | Orphans():
                comparison = kinds.new_comparison(source, output)
                _stream(comparison.stream), _text(comparison.prefix), _text(comparison.after), _text(comparison.parent)
                then = _child(comparison.then, task)
                comparisons.append(msgspec.structs.replace(comparison, then=then))
            case _:
                raise TypeError(f"a handler yields {OUTPUTS}, not {type(output).__name__}")
    notes = cursors or greatest or parents or marked
    swept = sweeps or comparisons or orphans
    if not (records or children or gathers or notes or swept or skipped or identity):
        return DONE
    batches: list[Batch] = []
    for stream, rows in records.items():
        batch = rows.batch(_stream(stream), skipped)
        if batch.count:
            batches.append(batch)
    return Complete(
        batches,
        children,
        cursors,
        skipped,
        identity,
        gathers,
        sweeps,
        greatest,
        comparisons,
        parents,
        marked=marked,
        orphans=orphans,
    )


def _with_subscribers(
    source: Source,
    whole: Complete,
    source_of: SourceOf,
    task: Task,
    added: Collection[str],
    private: Private | None,
) -> Complete:
    """All that a task has led to: subscribers may be told of what others have yielded."""
    news = whole
    for _ in range(MOST_ROUNDS):
        told = [
            _collect(source, subscribers.outputs(each, news.batches), source_of, task, private)
            for each in source.subscriptions
            if not each.streams or not set(each.streams).isdisjoint(added)
        ]
        news = subscribers.joined(told)
        whole = subscribers.joined([whole, news])
        if not news.batches:
            return whole
    raise ValueError(f"subscribers of the source {source.name} tell each other of their records, and come to no end")


def _child(task: NewTask, of: Task) -> NewTask:
    """A task that another has led to."""
    _texts(task)
    task = task.following(of)
    if any(form.sequential and form.kind != of.kind for form in task.forms()):  # asked for twice, it is no cursor that
        return task.unsequential()  # repeats
    return task


def _texts(task: NewTask) -> None:
    """TypeError when it cannot be told to the main process."""
    for form in task.forms():
        _text(form.bucket)
    if task.if_new is not None:
        _text(task.if_new.list)


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
