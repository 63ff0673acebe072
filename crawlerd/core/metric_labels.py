"""The closed sets of values of metric labels, and the values under which an attempt or a request is counted. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from crawlerd.core.outcome import NO_REQUEST, UNEXPECTED, Bury, Complete, Crash, Defer, Pause, Retry

if TYPE_CHECKING:
    from crawlerd.core.outcome import Outcome


class AttemptOutcome(StrEnum):
    """The outcome of an attempt."""

    COMPLETE = "complete"
    RETRY = "retry"
    DEFER = "defer"  # throttled
    BURY = "bury"  # a dead letter
    PAUSE = "pause"  # the credentials do not work
    CRASH = "crash"  # the worker process died
    LATE = "late"  # fenced off: it wrote nothing
    UNSENT = "unsent"  # a worker could not start it in time


class AttemptError(StrEnum):
    """Why an attempt failed, according to its worker."""

    CONNECTION = "connection"  # no answer at all
    SERVER = "server"  # HTTP 5xx, or no answer in time
    THROTTLED = "throttled"  # the API asked us to slow down
    CREDENTIALS = "credentials"  # the API does not accept them
    DENIED = "denied"  # they may not read this
    TRANSIENT = "transient"  # another error that may pass
    PERMANENT = "permanent"  # an error that will not pass
    HANDLER = "handler"  # an unexpected exception in the source's code
    CRASH = "crash"  # the worker process died


class RequestStatus(StrEnum):
    """The status of an HTTP response: the status itself if it has a meaning of its own, or else its class."""

    OK = "2xx"
    REDIRECT = "3xx"
    UNAUTHORIZED = "401"
    FORBIDDEN = "403"
    NOT_FOUND = "404"
    TOO_MANY = "429"
    CLIENT_ERROR = "4xx"  # the others
    SERVER_ERROR = "5xx"
    NONE = "none"  # no complete response came


class ThrottleReason(StrEnum):
    """What has exceeded its limit, according to a response that asks us to slow down."""

    BUCKET = "bucket"
    ACCOUNT = "account"
    TASK = "task"  # only the object of this task
    CONCURRENCY = "concurrency"  # requests at once


class AttemptStage(StrEnum):
    """The stages of an attempt, in their order."""

    WORKER = "worker"  # it waits for a thread of a worker
    REQUEST = "request"  # from the first byte sent to the last byte received
    HANDLER = "handler"  # the source's code, and the transfer of its outcome to the main process
    SINK = "sink"  # the records of its group are written, or wait for a sink that refuses
    STORE = "store"  # it waits for the commit of its outcome


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
    """The state of a configured import; the first one that applies."""

    PAUSED = "paused"  # by a person
    RUNNING = "running"
    REFUSED = "refused"  # it could not start at the last try
    NEVER = "never"  # it has had no run
    FAILED = "failed"  # its last run has failed
    IDLE = "idle"  # it waits for its next start


class WorkerLoss(StrEnum):
    """Why a worker process was replaced."""

    DIED = "died"
    HUNG = "hung"
    EXPIRED = "expired"  # it held a task for longer than a lease lasts
    GREW = "grew"  # its memory grew beyond max_worker_memory_mb
    RELOAD = "reload"  # the configuration was changed


class Loop(StrEnum):
    """A main loop of the daemon. One without progress for 30 seconds (the main thread: 60) is stuck."""

    DISPATCHER = "dispatcher"
    STORE = "store"
    MAIN = "main"


class LogLevel(StrEnum):
    """The levels of log lines that a person should read."""

    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class TaskState(StrEnum):
    """The state of a task in the frontier."""

    READY = "ready"  # or leased
    DELAYED = "delayed"
    WAITING = "waiting"  # for the end of a group
    DEAD = "dead"


STATUSES = {
    status: found
    for status in range(100, 600)
    for found in RequestStatus
    if found == str(status) or (found == f"{status // 100}xx" and str(status) not in list(RequestStatus))
}


def status_of(status: int) -> RequestStatus | None:
    """The label for the response of a request; None without a request. status: see `Made`."""
    return None if status == NO_REQUEST else STATUSES.get(status, RequestStatus.NONE)


def error_of(outcome: Outcome) -> AttemptError | None:
    """The label for the error of an attempt; None for one that is complete. outcome: as its worker has sent it."""
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
    """The label for what has exceeded its limit."""
    return ThrottleReason.CONCURRENCY if outcome.concurrency else ThrottleReason(outcome.scope)
