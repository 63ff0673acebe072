"""Every exception of crawlerd: the root, those that a handler raises, and those of the daemon.

CrawlerdError
├── Transient            the same request may succeed later: retried with backoff; costs an attempt, except in an outage
├── Throttled            the API asks us to slow down: deferred, costs no attempt unless others pass meanwhile
├── Permanent            the same request will never succeed: a dead letter
│   ├── Denied           … because the key may not read this stream
│   └── NotFound         … because there is no such object
├── Unauthorized         the credentials do not work at all: the account is paused
├── ConfigurationError   exit 78
├── WorkersFailed        no worker process can start
├── FrontierError        DaemonUnavailable (exit 69) · StorageFailed (exit 74) · FrontierLocked (exit 75)
│   └── …                FrontierTooNew, FrontierRefused, FrontierUnusable (exit 78)
└── SinkError            StorageFailed as well when the disk is the reason
    ├── Refused          … because of the data of one delivery: its task becomes a dead letter
    └── SinkReplaced     … because the opened file is not there any more
"""

from __future__ import annotations

import math
from typing import Literal

# The possible cause of a failed attempt. "task": this request alone. "answer" (a 5xx, or no answer in time): the
# origin, if other tasks fail as well. "connection" (no answer at all): the origin, unless other tasks get answers.
Fault = Literal["task", "answer", "connection"]
About = Literal["", "data", "later"]  # see `Permanent`


class CrawlerdError(Exception):
    """Root of everything that crawlerd raises on purpose."""


class Transient(CrawlerdError):
    """The same request may succeed later. Costs an attempt, unless the whole origin fails.

    attempts: tries before the task becomes a dead letter; None for the account's policy.
    delay: seconds between two tries; None for the account's policy.
    fault: the possible cause, see `Fault`.
    about: for the dead letter, when all attempts are used up, see `Permanent`.
    """

    attempts: int | None = None
    delay: float | None = None
    fault: Fault = "task"
    about: About = ""

    def __init__(
        self,
        *message: object,
        attempts: int | None = None,
        delay: float | None = None,
        fault: Fault = "task",
        about: About = "",
    ) -> None:
        super().__init__(*message)
        self.attempts = attempts
        self.delay = delay
        self.fault = fault
        self.about = about


class Throttled(CrawlerdError):
    """The API asks us to slow down. Costs no attempt, unless others of the bucket pass meanwhile.

    retry_after: the seconds that the API asks us to wait, None when it does not say.
    scope: what has exceeded its limit: the task's bucket, the whole account, or only the object of this task.
    concurrency: True when the reason is the number of concurrent requests, not their rate.
    least: least seconds to wait, doubled after each further refusal.
    said: what the API said about the time to wait, for people.
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        scope: Literal["task", "bucket", "account"] = "bucket",
        concurrency: bool = False,
        least: float = 0.0,
        said: str = "",
    ) -> None:
        super().__init__(message)
        if retry_after is not None and not math.isfinite(retry_after):
            raise ValueError(f"retry_after is a number of seconds, not {retry_after}")
        self.retry_after = retry_after
        self.scope = scope
        self.concurrency = concurrency
        self.least = least
        self.said = said


class Permanent(CrawlerdError):
    """The same request will never succeed.

    about: what the receiver of a delivery does not accept: "data" for these records, "later" for any records now, so
        that a later run delivers them; "" for this request.
    fault: see `Transient`; for an error that follows from repeated failures.
    """

    about: About = ""
    fault: Fault = "task"

    def __init__(self, *message: object, about: About = "", fault: Fault = "task") -> None:
        super().__init__(*message)
        self.about = about
        self.fault = fault


class Denied(Permanent):
    """The credentials may not read this; the run's report lists the stream as denied."""


class NotFound(Permanent):
    """The requested object does not exist."""


class Unauthorized(CrawlerdError):
    """The credentials do not work at all; the account is paused with this reason, its tasks wait."""


class ConfigurationError(CrawlerdError):
    """The configuration cannot be used.

    problems: one line each, with file and key.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class WorkersFailed(CrawlerdError):
    """No worker process can start: nothing is done."""


class FrontierError(CrawlerdError):
    """The frontier database cannot be used."""


class TaskNotReady(FrontierError):
    """A task that was worked on is not in the queue. A group of outcomes is written as a whole, so nothing was."""

    def __init__(self, frontier: str) -> None:
        super().__init__(f"{frontier}: a task that was worked on is not in `ready`; nothing was written")


class DaemonUnavailable(FrontierError):
    """No daemon runs where one is needed, or it does not answer."""


class FrontierLocked(FrontierError):
    """Another crawlerd owns the state directory."""


class FrontierTooNew(FrontierError):
    """The database was written by a newer crawlerd; it was not touched."""


class FrontierRefused(FrontierError):
    """The database is not the one that was used here, or it is an older copy; a person must decide what to do."""


class FrontierUnusable(FrontierError):
    """The state directory or a file in it is damaged, not a directory, read-only, or belongs to another user: another
    start would fail in the same way. The message names the file, its owner, and what to do."""


class SinkError(CrawlerdError):
    """A sink cannot take records; nothing was acknowledged."""


class Refused(SinkError):
    """A sink can never store the records of this task; nothing was written.

    task: the number of the task.
    """

    def __init__(self, message: str, task: int) -> None:
        super().__init__(message)
        self.task = task


class SinkReplaced(SinkError):
    """The file that the sink has open was deleted, moved or replaced: records written to it may be lost."""


class StorageFailed(FrontierError, SinkError):
    """The disk is full or failing.

    full: True when freeing space is enough to continue.
    """

    def __init__(self, message: str, *, full: bool) -> None:
        super().__init__(message)
        self.full = full


class SyncFailed(StorageFailed):
    """The system could not make a file's contents durable. The process must end: the kernel now counts the pages as
    written, so a second sync would succeed and prove nothing."""

    def __init__(self, message: str) -> None:
        super().__init__(message, full=False)


class StartAgain(SyncFailed):
    """What a database server has is not what was written to it, or is not known. The process must end; the next one
    reads what is there and goes on. The message says what to do."""


class ReaderGone(SyncFailed):
    """The reader of a sink's output is gone. The process must end, since the next reader has none of the records that
    were written."""
