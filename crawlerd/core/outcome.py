"""What an attempt led to, and the pure decision from an error to an outcome."""

from __future__ import annotations

from typing import Literal

import msgspec

from crawlerd.core.backoff import backoff
from crawlerd.core.errors import About, Denied, Fault, Permanent, Throttled, Transient, Unauthorized
from crawlerd.core.hiding import with_field
from crawlerd.core.redaction import cut
from crawlerd.core.task import NewGather, NewTask

ATTEMPTS = 8  # of a task, by default
ERROR_LIMIT = 500  # characters of an error text that are kept
UNEXPECTED = "unexpected "  # begins the error of an exception that is a bug in a handler
DEEP = 500  # levels of nesting, half of what the usual readers of JSON can take


class Batch(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Records of one stream, serialized once, by the worker.

    count: how many.
    keys: of each.
    data: of each its JSON, compact, in UTF-8, or None for a tombstone; no more than 1,000 levels deep.
    fields: the top-level names in them.
    deep: places of those that are more than DEEP levels deep.
    size: bytes of the data.
    parents: of each what it lies below, "" where that is not known; none where no record has one.
    """

    stream: str
    count: int
    keys: list[str]
    data: list[bytes | None]
    fields: list[str] = []
    deep: list[int] = []
    size: int = 0
    parents: list[str] = []


class Skipped(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A record that is set aside, or could not be serialized; its page goes on.

    note: nothing was, the reason alone is for the report.
    """

    stream: str
    key: str
    reason: str
    note: bool = False


class Marked(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How many records of a page have a mark; see `crawlerd.source.Marks`.

    found: there is one, of this run or an earlier one.
    """

    stream: str
    found: bool
    unread: int
    why: str


class Comparison(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a run has written of a stream, compared with what the sink has: see `crawlerd.source.Sweep`, and `Orphans`.

    then: follows when something is missing.
    fills: its arguments have a field `missing`.
    parent: only what lies below it is compared; all where it is "".
    """

    stream: str
    prefix: str
    after: str
    then: NewTask
    fills: bool
    parent: str = ""

    def following(self, missing: list[str]) -> NewTask:
        """What follows when these keys are missing."""
        if not self.fills:
            return self.then
        return msgspec.structs.replace(self.then, payload=with_field(self.then.payload, "missing", missing))


class Portion(msgspec.Struct, frozen=True, array_like=True, tag="portion", gc=False):
    """A piece of an outcome that is too large for one message, sent before the rest. It says nothing of the task's end.

    token: of the lease that the task is worked on under.
    entries: tasks and groups, a few at a time: how many, and the JSON of a list of `Entry`, which nobody decodes before
        its turn.
    first: the place of the first of them in the outcome.
    """

    token: int
    batches: list[Batch] = []
    skipped: list[Skipped] = []
    entries: list[tuple[int, str]] = []
    first: int = 0


class Sent(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The parts of an outcome that went ahead in portions. All of these are durable.

    token: of the lease.
    count: entries.
    own: those of them in the task's own group, or in none.
    records: how many, by stream.
    skipped: how many, by stream, with what is reported of the last one.
    notes: by stream, for the run's report.
    priority: of all entries, where the run's import wants one; said by the store.
    kinds: of all entries, the kind, the length of the chain before it (see `Task`), and how many.
    """

    token: int
    count: int = 0
    own: int = 0
    records: list[tuple[str, int]] = []
    skipped: list[tuple[str, int, str]] = []
    notes: list[tuple[str, str]] = []
    priority: int | None = None
    kinds: list[tuple[str, int, int]] = []


class Complete(msgspec.Struct, frozen=True, array_like=True, tag="complete", gc=False):
    """The task is done.

    identity: who the credentials belong to, from a guard.
    sweeps: streams with the beginnings of keys, see `crawlerd.source.Sweep`.
    greatest: cursors; a run keeps the greatest.
    comparisons: sweeps that tombstone nothing, but lead to a task.
    parents: list, hash of a parent, and whether that was read to the list's end, see `crawlerd.source.ParentRead`.
    full: of what a run begins with, see `crawlerd.source.Full`.
    counted: said by the store: streams that were read in full, with what the run has seen of each, and whether a sweep
        was held back.
    sent: what went ahead of it.
    errands: said by the store: further tasks of the run, in no group.
    orphans: streams with parents that are gone, see `crawlerd.source.Orphans`.
    """

    batches: list[Batch] = []
    children: list[NewTask] = []
    cursors: list[tuple[str, str]] = []
    skipped: list[Skipped] = []
    identity: str | None = None
    gathers: list[NewGather] = []
    sweeps: list[tuple[str, str]] = []
    greatest: list[tuple[str, str]] = []
    comparisons: list[Comparison] = []
    parents: list[tuple[str, str, bool]] = []
    full: list[tuple[str, list[str]]] = []
    counted: list[tuple[str, int, bool]] = []
    marked: list[Marked] = []
    sent: Sent | None = None
    errands: list[NewTask] = []
    orphans: list[tuple[str, str]] = []


DONE = Complete()  # of the many tasks from which nothing comes, so that it can be known by its identity


class Tried(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The request of an attempt that has failed.

    method: of HTTP, or the operation of a service.
    url: where it went, without credentials.
    status: of HTTP, 0 when there was no answer.
    seconds: from the moment it left until its answer was complete, or it was given up.
    """

    method: str
    url: str
    status: int
    seconds: float


class Retry(msgspec.Struct, frozen=True, array_like=True, tag="retry", gc=False):
    """Try again after `delay` seconds.

    attempts: after how many the task is a dead letter; the main process decides that, see `charge`.
    fault: who may be to blame.
    stream: what a dead letter is reported under.
    charged: attempts that this one uses up; said by the main process.
    about: of the dead letter, see `crawlerd.core.errors.Permanent`.
    tried: its request, if there was one.
    """

    delay: float
    error: str
    attempts: int = ATTEMPTS
    fault: Fault = "task"
    stream: str = ""
    charged: int = 1
    about: About = ""
    tried: Tried | None = None


class Defer(msgspec.Struct, frozen=True, array_like=True, tag="defer", gc=False):
    """Refused by a limit: try again later. It slows the bucket or account, and costs an attempt only where others of
    the bucket pass meanwhile.

    retry_after: seconds, if the API says.
    scope: what is over its limit: the bucket, the whole account, or only what this task asks for.
    concurrency: too many requests at once were the reason.
    least: seconds to wait at least, twice as many after each further refusal; 0 for none.
    attempts: after how many the task is a dead letter; the main process decides that.
    stream: what a dead letter is reported under.
    delay: seconds until the task is ready again; said by the main process.
    charged: attempts that this one uses up; said by the main process.
    tried: its request, if there was one.
    """

    error: str
    retry_after: float | None = None
    scope: Literal["task", "bucket", "account"] = "bucket"
    concurrency: bool = False
    least: float = 0.0
    attempts: int = ATTEMPTS
    stream: str = ""
    delay: float = 0.0
    charged: int = 0
    tried: Tried | None = None


class Bury(msgspec.Struct, frozen=True, array_like=True, tag="bury", gc=False):
    """A dead letter.

    denied: the credentials may not read this.
    stream: what it is reported under.
    charged: attempts that this one uses up.
    about, fault: see `crawlerd.core.errors.Permanent`.
    kept: said by the store: nothing that was read is lost with it, so sync points hold all the same.
    errands: said by the store: further tasks of the run, in no group.
    tried: its request, if there was one.
    """

    error: str
    denied: bool = False
    stream: str = ""
    charged: int = 1
    about: About = ""
    kept: bool = False
    errands: list[NewTask] = []
    fault: Fault = "task"
    tried: Tried | None = None


class Pause(msgspec.Struct, frozen=True, array_like=True, tag="pause", gc=False):
    """The account's credentials do not work: the task waits, and so does the whole account."""

    error: str


class Crash(msgspec.Struct, frozen=True, array_like=True, tag="crash", gc=False):
    """The worker process died, or hung and was killed, while it held the task. Said by the dispatcher."""

    error: str


Outcome = Complete | Retry | Defer | Bury | Pause | Crash

POISON = "its worker process died"  # begins the error of a task that was set aside for it
CRASHES = 3  # worker processes that a task may take down before it is set aside


def charge(retry: Retry, attempt: int, count: int = 1) -> Retry | Bury:
    """What becomes of a task whose failure uses up `count` attempts. attempt: those that were used up before it."""
    if not count or attempt + count < retry.attempts:
        return msgspec.structs.replace(retry, charged=count)
    then = ", the next run goes on" if retry.about == "later" else ""
    error = f"gave up after {attempt + count} attempts{then}: {retry.error}"[:ERROR_LIMIT]
    return Bury(error, stream=retry.stream, charged=count, about=retry.about, tried=retry.tried)


def after_crash(crashes: int, crash: Crash) -> Crash | Bury:
    """What becomes of a task that has now taken down `crashes` worker processes."""
    if crashes < CRASHES:
        return crash
    return Bury(f"{POISON} {crashes} times while it ran; the last time: {crash.error}"[:ERROR_LIMIT])


class Made(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What an attempt cost.

    seconds: from the request's start to its answer's end; without a request, of the handler's work.
    status: of the answer; 0 when no complete one came, NO_REQUEST when none was asked for.
    received: bytes of the answer's body, as it was after decompression.
    """

    seconds: float
    status: int = 0
    received: int = 0


NO_REQUEST = -1
LONG_WORK = 0.05  # seconds from which the work of a handler without a request is worth telling


class Result(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One attempt's outcome with its lease token; None stands for DONE.

    sent_at, done_at: monotonic seconds (one clock for all processes of a machine) at which its request left and its
    response was complete; both 0 when no request was made.
    origin: where the request went, or should have gone; "" for the account's usual one.
    unsent: it was too late to start; the task was not performed.
    made: what it cost; None for next to nothing, without a request.
    begun: monotonic seconds at which a thread began with it; 0 when it was unsent.
    """

    token: int
    outcome: Outcome | None
    sent_at: float = 0.0
    done_at: float = 0.0
    origin: str = ""
    unsent: bool = False
    made: Made | None = None
    begun: float = 0.0


class RetryPolicy(msgspec.Struct, frozen=True):
    """When a failed task is tried again.

    attempts: tries before a task is buried.
    base, cap: seconds, see `backoff`.
    give_up_after: seconds that an outage may last before its failures count as attempts.
    max_wait: seconds that an API may ask for, at most.
    """

    attempts: int = ATTEMPTS
    base: float = 0.5
    cap: float = 300.0
    give_up_after: float = 86_400.0
    max_wait: float = 3600.0


def decide(error: Exception, *, attempt: int, policy: RetryPolicy, jitter: float) -> Outcome:
    """The one place where an error becomes an outcome.

    attempt: failed attempts before this one.
    jitter: a uniform draw in [0, 1).
    An exception that is not crawlerd's own is a bug in a handler: buried with its type, since the same input would meet
    the same bug. Whether a task is tried too often is not decided here: see `charge`.
    """
    text = cut(f"{type(error).__name__}: {_message(error)}", ERROR_LIMIT)
    match error:
        case Throttled():
            # "Retry-After: 0" is no advice that every worker could follow at once and for ever.
            wait = error.retry_after if error.retry_after and error.retry_after > 0 else None
            if wait is not None and wait > policy.max_wait:
                said = error.said or f"to wait {wait:g} s"
                text = f"{text}; the API said {said}, cut to max_wait, {policy.max_wait:g} s"[:ERROR_LIMIT]
                wait = policy.max_wait
            return Defer(text, wait, error.scope, error.concurrency, error.least, policy.attempts)
        case Unauthorized():
            return Pause(text)
        case Transient():
            delay = error.delay
            if delay is None:
                delay = backoff(attempt + 1, base=policy.base, cap=policy.cap, jitter=jitter)
            return Retry(delay, text, error.attempts or policy.attempts, error.fault, about=error.about)
        case Permanent():
            return Bury(text, denied=isinstance(error, Denied), about=error.about, fault=error.fault)
        case _:
            return Bury(f"{UNEXPECTED}{text}"[:ERROR_LIMIT])


def _message(error: Exception) -> str:
    try:
        return str(error)
    except Exception as worse:  # noqa: BLE001 - a handler's own exception class may fail here as well
        return f"(its message raised {type(worse).__name__})"
