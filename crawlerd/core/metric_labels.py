"""The closed sets of values that labels of metrics have, and which value an attempt or a request counts under. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from crawlerd.core.outcome import NO_REQUEST, UNEXPECTED, Bury, Complete, Crash, Defer, Pause, Retry

if TYPE_CHECKING:
    from crawlerd.core.outcome import Outcome


class AttemptOutcome(StrEnum):
    """What an attempt led to."""

    COMPLETE = "complete"
    RETRY = "retry"
    DEFER = "defer"  # throttled
    BURY = "bury"  # a dead letter
    PAUSE = "pause"  # the credentials do not work
    CRASH = "crash"  # the worker process died
    LATE = "late"  # fenced off: wrote nothing
    UNSENT = "unsent"  # its turn had passed before a worker could start it


class AttemptError(StrEnum):
    """Why an attempt failed, as its worker saw it."""

    CONNECTION = "connection"  # no answer at all
    SERVER = "server"  # HTTP 5xx, or no answer in time
    THROTTLED = "throttled"  # the API asked to slow down
    CREDENTIALS = "credentials"  # the API does not accept them
    DENIED = "denied"  # they may not read this
    TRANSIENT = "transient"  # another error that may pass
    PERMANENT = "permanent"  # an error that will not pass
    HANDLER = "handler"  # an unexpected exception in the source's code
    CRASH = "crash"  # the worker process died


class RequestStatus(StrEnum):
    """Status of an HTTP answer: one by itself where it means something of its own, else its class."""

    OK = "2xx"
    REDIRECT = "3xx"
    UNAUTHORIZED = "401"
    FORBIDDEN = "403"
    NOT_FOUND = "404"
    TOO_MANY = "429"
    CLIENT_ERROR = "4xx"  # the others
    SERVER_ERROR = "5xx"
    NONE = "none"  # no complete answer came


class ThrottleReason(StrEnum):
    """What an answer that said "slower" says is over its limit."""

    BUCKET = "bucket"
    ACCOUNT = "account"
    TASK = "task"  # only what this task asks for
    CONCURRENCY = "concurrency"  # requests at once


class AttemptStage(StrEnum):
    """Where an attempt spends its time, in this order."""

    WORKER = "worker"  # waits for a thread of a worker
    REQUEST = "request"  # from the first byte out to the last byte in
    HANDLER = "handler"  # the source's code, and the way of its outcome to the main process
    SINK = "sink"  # the records of its group are written, or wait for a sink that refuses
    STORE = "store"  # waits for the commit of its outcome


class RecordChange(StrEnum):
    """What a sink did with a record; each key of a run counts once."""

    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    TOMBSTONED = "tombstoned"


class RunResult(StrEnum):
    """How a run ended."""

    COMPLETED = "completed"
    DEAD_LETTERS = "completed_with_dead_letters"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ImportState(StrEnum):
    """What a configured import does; the first that applies."""

    PAUSED = "paused"  # by an operator
    RUNNING = "running"
    REFUSED = "refused"  # it could not start when that was last tried
    NEVER = "never"  # it has had no run
    FAILED = "failed"  # its last run has
    IDLE = "idle"  # until its next start


class WorkerLoss(StrEnum):
    """Why a worker process was replaced."""

    DIED = "died"
    HUNG = "hung"
    EXPIRED = "expired"  # it held a task for longer than a lease lasts
    GREW = "grew"  # beyond max_worker_memory_mb
    RELOAD = "reload"  # another configuration


class Loop(StrEnum):
    """A core loop; one that makes no progress for 30 seconds is stuck, the main loop after 60."""

    DISPATCHER = "dispatcher"
    STORE = "store"
    MAIN = "main"


class LogLevel(StrEnum):
    """Of a log line that somebody should read."""

    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class TaskState(StrEnum):
    """Where a task of the frontier lies."""

    READY = "ready"  # or leased
    DELAYED = "delayed"
    WAITING = "waiting"  # for the end of a group of others
    DEAD = "dead"


STATUSES = {
    status: found
    for status in range(100, 600)
    for found in RequestStatus
    if found == str(status) or (found == f"{status // 100}xx" and str(status) not in list(RequestStatus))
}


def status_of(status: int) -> RequestStatus | None:
    """What the answer of a request counts under. None when none was asked for. status: see `Made`."""
    return None if status == NO_REQUEST else STATUSES.get(status, RequestStatus.NONE)


def error_of(outcome: Outcome) -> AttemptError | None:
    """The class of a failed attempt; None for one that is complete. outcome: as its worker said it."""
    match outcome:
        case Complete():
            return None
        case Defer():
            return AttemptError.THROTTLED
        case Pause():
            return AttemptError.CREDENTIALS
        case Crash():
            return AttemptError.CRASH
        case Bury(denied=True):
            return AttemptError.DENIED
        case Retry(fault="connection") | Bury(fault="connection"):
            return AttemptError.CONNECTION
        case Retry(fault="answer") | Bury(fault="answer"):
            return AttemptError.SERVER
        case Retry():
            return AttemptError.TRANSIENT
        case Bury():
            return AttemptError.HANDLER if outcome.error.startswith(UNEXPECTED) else AttemptError.PERMANENT


def throttle_of(outcome: Defer) -> ThrottleReason:
    """What was over its limit."""
    return ThrottleReason.CONCURRENCY if outcome.concurrency else ThrottleReason(outcome.scope)
