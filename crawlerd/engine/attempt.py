"""One attempt at one task: calls its handler, collects and serializes what it yields, and turns any error into an
outcome."""

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

Heard = Callable[[Any, bool], None]  # called with an answer, and whether it is an error
MOST_ROUNDS = 10  # most rounds in which subscribers get the records that other subscribers have yielded
OUTPUTS = (
    "Record, Records, TaskArgs, ForAccount, ForPart, ForParent, ParentRead, Gather, Cursor, Skip, Note, Marks, "
    "Identity or Sweep"
)


class AttemptApi(Protocol):
    """The API that a handler gets. It remembers its one request: when it was sent and when the response was complete
    (monotonic seconds, 0 for never), its origin ("" for the account's usual one), the status and the bytes of the
    response (0 for none), and the method and URL with the status again."""

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

    heard: Heard | None  # called with each answer, if set

    def secrets(self) -> Sequence[str]:
        """See `crawlerd.engine.redacting.Secretive`."""
        ...

    def authenticate(self) -> None: ...


class NoRequest:
    """The API of a task whose kind has cost 0: it refuses requests, since no limit has counted one."""

    sent_at = done_at = 0.0
    status = received = 0
    origin = ""
    asked = None

    def __init__(self, opened: Callable[[], AttemptApi] | None = None) -> None:
        """opened: opens the real API, when the task's arguments need the credentials of requests."""
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
    """An API that opens the client of its worker when it is first used. Importing a client takes 0.1 s and more, and
    some handlers make no request."""

    def __init__(self, opened: Callable[[], AttemptApi]) -> None:
        """opened: opens the real API; called once at most."""
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
    """Runs the task's handler to its end, and then the subscribers of its records. If one of them raises, everything
    that was yielded is discarded. Never raises itself.

    jitter: a random number from 0 to 1, for the delay of a retry.
    source_of: returns the source of an account, by the account's name; None when it is not configured.
    added: the streams of extensions that the task's run reads.
    private: drops or hashes fields, if the run does so; subscribers do not get such fields either.
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
        except BaseException as error:  # noqa: BLE001 - every error of a handler becomes an outcome
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
    """The first tasks of a run, as an outcome that yields them. Raises Permanent for every error of the source."""
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
    """The outcome of a handler's outputs. records: gets the records that it yields, by stream."""
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
        if isinstance(output, Record):  # first, since by far most outputs are records
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
    """Adds what the subscribers yield to the outcome. They also get the records that other subscribers have yielded."""
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
    raise ValueError(
        f"subscribers of the source {source.name} call each other without end: each yields records that another gets"
    )


def _child(task: NewTask, of: Task) -> NewTask:
    """A new task as a child of the task that has yielded it."""
    _texts(task)
    task = task.following(of)
    # Only a page that yields itself again is a repeated cursor: a list that another kind of task yields twice is not.
    if any(form.sequential and form.kind != of.kind for form in task.forms()):
        return task.unsequential()
    return task


def _texts(task: NewTask) -> None:
    """Raises TypeError when the task cannot be sent to the main process, because a field is not text."""
    for form in task.forms():
        _text(form.bucket)
    if task.if_new is not None:
        _text(task.if_new.list)


def _text(value: str) -> str:
    """Returns `value`. Raises TypeError when an untyped handler has yielded something else than text, which cannot be
    sent to the main process."""
    if not isinstance(value, str):
        raise TypeError(f"a cursor, an identity, a bucket and a prefix are text, not {type(value).__name__}")
    value.encode()
    return value


def _stream(name: str) -> str:
    """Returns `name`. Raises ValueError when no table or file could have this name."""
    if not STREAM_NAME.fullmatch(name) or name.endswith("_view"):
        raise ValueError(
            f"{name!r} is not a stream name: use lower-case letters, digits and _, at most 63, and no ending _view"
        )
    return name
