"""The outcomes of an attempt, and the pure decision that turns an error into an outcome."""

from __future__ import annotations

from typing import Literal

import msgspec

from crawlerd.core.backoff import backoff
from crawlerd.core.errors import About, Denied, Fault, Permanent, Throttled, Transient, Unauthorized
from crawlerd.core.hiding import with_field
from crawlerd.core.redaction import cut
from crawlerd.core.task import NewGather, NewTask

ATTEMPTS = 8  # default number of attempts of a task
ERROR_LIMIT = 500  # characters of an error text that are kept
UNEXPECTED = "unexpected "  # the error of an exception that is a bug in a handler begins with this
DEEP = 500  # levels of nesting: half of what the usual JSON parsers accept


class Batch(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Records of one stream, serialized once, by the worker.

    count: how many records.
    keys: the key of each record.
    data: the JSON of each record, compact, in UTF-8, at most 1,000 levels deep; None for a tombstone.
    fields: the names of the top-level fields of all records.
    deep: the indexes of records that are more than DEEP levels deep.
    size: bytes of the data.
    parents: the parent of each record, "" when unknown; empty when no record has a parent.
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
    """A record that was skipped, or could not be serialized, while the rest of its page is imported.

    note: no record was skipped; the reason is a note for the report.
    """

    stream: str
    key: str
    reason: str
    note: bool = False


class Marked(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How many records of a page have a mark; see `crawlerd.source.Marks`.

    found: a mark was found, in this run or an earlier one.
    """

    stream: str
    found: bool
    unread: int
    why: str


class Comparison(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A request to compare the records that a run has written of a stream with those in the sink: see
    `crawlerd.source.Sweep` and `Orphans`.

    then: the task that follows when records are missing.
    fills: the arguments of that task have a field `missing`.
    parent: only records below this parent are compared; "" for all.
    """

    stream: str
    prefix: str
    after: str
    then: NewTask
    fills: bool
    parent: str = ""

    def following(self, missing: list[str]) -> NewTask:
        """The task that follows when these keys are missing."""
        if not self.fills:
            return self.then
        return msgspec.structs.replace(self.then, payload=with_field(self.then.payload, "missing", missing))


class Portion(msgspec.Struct, frozen=True, array_like=True, tag="portion", gc=False):
    """A piece of an outcome that is too large for one message. It is sent while the task is still leased.

    token: the token of the task's lease.
    entries: tasks and groups, as (how many, JSON of a list of `Entry`); the JSON is decoded when they become ready.
    first: the index of the first of them among all entries of the outcome.
    """

    token: int
    batches: list[Batch] = []
    skipped: list[Skipped] = []
    entries: list[tuple[int, str]] = []
    first: int = 0


class Sent(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Counts of the parts of an outcome that were sent ahead in portions, and are durable.

    token: the token of the lease.
    count: how many entries.
    own: how many of them are in the task's own group, or in no group.
    records: (stream, how many).
    skipped: (stream, how many, text about the last one).
    notes: (stream, note for the run's report).
    priority: the priority of all entries, if the run's import sets one; filled in by the store.
    kinds: (kind, length of the chain before it (see `Task`), how many) of all entries.
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
    sweeps: (stream, beginning of keys), see `crawlerd.source.Sweep`.
    greatest: cursors; a run keeps only the greatest of each stream.
    comparisons: sweeps that tombstone no records, but lead to a task.
    parents: (list, hash of a parent, whether the list was read to its end), see `crawlerd.source.ParentRead`.
    full: for the first outcome of a run, see `crawlerd.source.Full`.
    counted: filled in by the store: (stream read in full, records seen by the run, whether a sweep was held back).
    sent: the parts that were sent ahead.
    errands: filled in by the store: further tasks of the run, in no group.
    orphans: (stream, parent that is gone), see `crawlerd.source.Orphans`.
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


DONE = Complete()  # shared empty outcome; compare with `is`


class Tried(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The request of a failed attempt.

    method: the HTTP method, or the operation of an AWS service.
    url: the URL of the request, without credentials.
    status: the HTTP status, 0 without a response.
    seconds: the time from sending it until its response was complete, or it was given up.
    """

    method: str
    url: str
    status: int
    seconds: float


class Retry(msgspec.Struct, frozen=True, array_like=True, tag="retry", gc=False):
    """Try again after `delay` seconds.

    attempts: after this many attempts the task becomes a dead letter; the main process decides that, see `charge`.
    fault: the possible cause, see `crawlerd.core.errors.Fault`.
    stream: the stream under which a dead letter is reported.
    charged: how many attempts this one costs; filled in by the main process.
    about: for the dead letter, see `crawlerd.core.errors.Permanent`.
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
    """Refused because of a limit: try again later. It slows the bucket or account down, and costs an attempt only if
    other tasks of the bucket pass meanwhile.

    retry_after: the seconds that the API asks us to wait, if it does.
    scope: what has exceeded its limit: the bucket, the whole account, or only the object of this task.
    concurrency: the reason is the number of concurrent requests.
    least: least seconds to wait, doubled after each further refusal; 0 for none.
    attempts: after this many attempts the task becomes a dead letter; the main process decides that.
    stream: the stream under which a dead letter is reported.
    delay: seconds until the task is ready again; filled in by the main process.
    charged: how many attempts this one costs; filled in by the main process.
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
    stream: the stream under which it is reported.
    charged: how many attempts this one costs.
    about, fault: see `crawlerd.core.errors.Permanent`.
    kept: filled in by the store: no record is lost with it, so that sync points stay valid.
    errands: filled in by the store: further tasks of the run, in no group.
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
    """The worker process died, or hung and was killed, while it had the task. Made by the dispatcher."""

    error: str


Outcome = Complete | Retry | Defer | Bury | Pause | Crash

POISON = "its worker process died"  # the error of a task that is buried for this reason begins with this
CRASHES = 3  # after this many crashed worker processes, a task becomes a dead letter


def charge(retry: Retry, attempt: int, count: int = 1) -> Retry | Bury:
    """The outcome of a task whose failure costs `count` attempts. attempt: the attempts that it has cost before."""
    if not count or attempt + count < retry.attempts:
        return msgspec.structs.replace(retry, charged=count)
    then = ", the next run goes on" if retry.about == "later" else ""
    error = f"gave up after {attempt + count} attempts{then}: {retry.error}"[:ERROR_LIMIT]
    return Bury(error, stream=retry.stream, charged=count, about=retry.about, tried=retry.tried)


def after_crash(crashes: int, crash: Crash) -> Crash | Bury:
    """The outcome of a task with which `crashes` worker processes have died so far."""
    if crashes < CRASHES:
        return crash
    return Bury(f"{POISON} {crashes} times while it ran; the last time: {crash.error}"[:ERROR_LIMIT])


class Made(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The cost of an attempt.

    seconds: from the start of the request to the end of the response; without a request, those of the handler.
    status: the status of the response; 0 when no complete one came, NO_REQUEST when there was no request.
    received: bytes of the response body after decompression.
    """

    seconds: float
    status: int = 0
    received: int = 0


NO_REQUEST = -1
LONG_WORK = 0.05  # seconds from which the work of a handler without a request is reported


class Result(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The outcome of one attempt, with its lease token; None stands for DONE. Times are monotonic seconds, which are
    the same in all processes of a machine.

    sent_at, done_at: when its request was sent, and when the response was complete; both 0 without a request.
    origin: the origin of the request, even if it was not sent; "" for the account's usual one.
    unsent: it was too late to start, so the task was not performed.
    made: its cost; None for a very small cost without a request.
    begun: when a thread began with it; 0 when it was unsent.
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
    give_up_after: after an outage of this many seconds, failures count as attempts.
    max_wait: most seconds that an API may ask us to wait.
    """

    attempts: int = ATTEMPTS
    base: float = 0.5
    cap: float = 300.0
    give_up_after: float = 86_400.0
    max_wait: float = 3600.0


def decide(error: Exception, *, attempt: int, policy: RetryPolicy, jitter: float) -> Outcome:
    """Turns an error into an outcome; the only place that does. Whether the task has no attempts left is decided later,
    see `charge`.

    error: an exception that is not crawlerd's own is a bug in a handler: its task is buried, since the same input would
        lead to the same bug.
    attempt: failed attempts before this one.
    jitter: a uniform random number in [0, 1).
    """
    text = cut(f"{type(error).__name__}: {_message(error)}", ERROR_LIMIT)
    match error:
        case Throttled():
            # "Retry-After: 0" is ignored: all workers would otherwise retry at once, without end.
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
    except Exception as worse:  # noqa: BLE001 - the __str__ of a handler's own exception class may fail
        return f"(its message raised {type(worse).__name__})"
