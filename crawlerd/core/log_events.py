"""The events of the log: a closed set, each with its level and its fields.

`tell` logs an event. The reference lists the same set, and a test compares the two.
"""

from __future__ import annotations

import logging
from enum import Enum
from logging import CRITICAL, ERROR, INFO, WARNING
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger("crawlerd.events")

ONCE, OFTEN = False, True  # whether an event may come many times a minute
OTHER = "log"  # the event name of lines without an event
IMPORT = "import_name"  # the argument of `tell` for the field `import`, which is a keyword in Python


class Event(Enum):
    """All events. The name in the log is that of the member, in lower case.

    level: the level in `logging`.
    folds: when it comes again from the same subject within a minute, it is counted instead of logged.
    subject: the fields that identify the subject.
    fields: further fields.
    """

    level: int
    folds: bool
    subject: tuple[str, ...]
    fields: tuple[str, ...]

    def __new__(cls, level: int, folds: bool, subject: str = "", fields: str = "") -> Self:
        member = object.__new__(cls)
        member._value_ = len(cls.__members__)  # distinct, since members with equal values would be the same member
        member.level, member.folds = level, folds
        member.subject, member.fields = tuple(subject.split()), tuple(fields.split())
        return member

    @property
    def topic(self) -> str:
        """The topic, which is the same for events that belong together, such as the beginning and end of a trouble."""
        return self.name.rpartition("_")[0] or self.name

    @property
    def all_fields(self) -> tuple[str, ...]:
        return *self.subject, *self.fields

    # the daemon
    STARTED = INFO, ONCE, "", "version pid imports"
    DRAINING = INFO, ONCE, "", "tasks seconds"
    STOPPED = INFO, ONCE
    FAILED = CRITICAL, ONCE, "", "error"

    # runs; that a run is not complete is a warning
    RUN_STARTED = INFO, ONCE, "run import"
    RUN_RESUMED = INFO, ONCE, "run import"
    RUN_FULL = INFO, ONCE, "run import", "reason"
    RUN_ENDED = INFO, ONCE, "run import", "account state records tasks dead seconds"
    RUN_EXPIRED = ERROR, ONCE, "run import", "seconds"
    RUN_GROWS = WARNING, ONCE, "run import", "tasks usual"
    START_REFUSED = ERROR, OFTEN, "import", "reason"
    STARTS_AGAIN = WARNING, OFTEN
    START_MISSED = WARNING, OFTEN, "import"
    DEAD_LETTER = WARNING, ONCE, "run import group", "account kind task stream error"

    # accounts
    ACCOUNT_REFUSED = ERROR, OFTEN, "account", "reason"
    ACCOUNT_ACCEPTED = INFO, OFTEN, "account"
    CHECK_FAILED = WARNING, OFTEN, "account", "attempt error"
    KEY_RENEWED = INFO, OFTEN, "account"
    KEY_KEPT = WARNING, OFTEN, "account", "reason"
    PAUSED = WARNING, ONCE, "import account bucket source", "by reason"
    RESUMED = WARNING, ONCE, "import account bucket source", "by"
    THROTTLED = WARNING, OFTEN, "account bucket", "run kind seconds error"
    TASK_THROTTLED = WARNING, OFTEN, "account", "run kind task seconds error"
    LIMIT_LEARNED = INFO, OFTEN, "account bucket", "rate concurrency"
    LIMIT_LOWERED = WARNING, ONCE, "account bucket", "by reason"
    LIMIT_RESTORED = WARNING, ONCE, "account bucket", "by"
    OUTAGE_BEGAN = WARNING, OFTEN, "origin account", "error seconds"
    OUTAGE_ENDED = WARNING, OFTEN, "origin account", "seconds"

    # where things are kept
    SINK_HELD = ERROR, OFTEN, "sink", "error"
    SINK_RELEASED = WARNING, OFTEN, "sink", "error"
    SINK_REPLACED = WARNING, OFTEN, "sink", "reason"
    FRONTIER_HELD = ERROR, OFTEN, "", "error"
    FRONTIER_RELEASED = WARNING, OFTEN, "", "error"
    QUEUE_HELD = ERROR, OFTEN, "queue", "error"
    QUEUE_RELEASED = WARNING, OFTEN, "queue", "error"
    TASK_REJECTED = WARNING, OFTEN, "import", "item reason"
    SHARED_LIMITS_HELD = ERROR, OFTEN, "", "error"
    SHARED_LIMITS_RELEASED = WARNING, OFTEN, "", "error"

    # worker processes
    WORKER_GREW = WARNING, OFTEN, "", "pid megabytes"
    WORKER_REPLACED = INFO, OFTEN, "", "pid reason"
    WORKER_LOST = ERROR, OFTEN, "", "pid exit_code tasks reason"
    WORKERS_FAIL = ERROR, OFTEN, "", "working reason"
    WORKERS_START = WARNING, OFTEN

    # the configuration
    RELOADED = INFO, ONCE, "", "applied"
    RELOAD_FAILED = ERROR, ONCE, "", "reason"
    RESTART_NEEDED = WARNING, ONCE, "", "keys"

    # messages to people
    HOOK_FAILS = WARNING, OFTEN, "hook", "error"
    HOOK_WORKS = WARNING, OFTEN, "hook"

    # what people do to many dead letters
    OPERATION_BEGAN = INFO, ONCE, "operation", "act letters by"
    OPERATION_ENDED = INFO, ONCE, "operation", "act state done"
    OPERATION_HELD = WARNING, OFTEN, "", "error"


class Told(NamedTuple):
    """The attribute `told` of a log record with an event.

    fields: by their names in the log.
    topic: the same for events of one subject that belong together.
    """

    event: Event
    fields: dict[str, object]

    @property
    def topic(self) -> tuple[object, ...]:
        return self.event.topic, *((name, self.fields.get(name)) for name in self.event.subject)


# Called with each event, its text and its fields, on any thread and at any log level. They must not block or raise.
listeners: list[Callable[[Event, str, dict[str, object]], None]] = []


def tell(
    event: Event,
    text: str,
    *args: object,
    level: int | None = None,
    cause: BaseException | None = None,
    **fields: object,
) -> None:
    """Logs an event as one line.

    text: for people, with arguments like those of `logging`.
    level: replaces the event's usual level.
    cause: the exception whose traceback is logged.
    fields: the fields of the event; one that is None or empty text is left out.
    """
    known = {"import" if name == IMPORT else name: value for name, value in fields.items()}
    told = Told(event, {name: value for name, value in known.items() if value is not None and value != ""})
    if listeners:
        said = text % args if args else text
        for listener in tuple(listeners):
            listener(event, said, told.fields)
    log.log(event.level if level is None else level, text, *args, exc_info=cause, extra={"told": told})


def told_by(record: logging.LogRecord) -> Told | None:
    """The event of a log record, if it has one."""
    told = getattr(record, "told", None)
    return told if isinstance(told, Told) else None
