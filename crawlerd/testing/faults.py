"""The errors that tasks are tested with, and what may become of each."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from crawlerd.core.outcome import Bury, Complete, Defer, Pause, Retry
from crawlerd.source import ClientCredentials, Denied, NotFound, Throttled, Transient, Unauthorized

if TYPE_CHECKING:
    from collections.abc import Callable

    from crawlerd.core.errors import CrawlerdError
    from crawlerd.core.outcome import Outcome
    from crawlerd.source import Response, Source

MADE = "made by crawlerd.testing"  # the message of the errors


class Fault(NamedTuple):
    """An error; what may become of it, also in words; how it is made from the right answer; and what a call to AWS
    raises for it."""

    name: str
    wanted: str
    allowed: Callable[[Source, Outcome], bool]
    make: Callable[[Response], Response]
    error: Callable[[], CrawlerdError]


def _status(status: int, **headers: str) -> Callable[[Response], Response]:
    body = msgspec.json.encode({"error": {"message": MADE}})
    named = {"content-type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return lambda response: replace(response, status=status, headers=named, body=body)


def _unauthorized(source: Source, outcome: Outcome) -> bool:
    """An access token may have expired: the next attempt gets another one."""
    return isinstance(outcome, Pause) or (isinstance(source.auth, ClientCredentials) and isinstance(outcome, Retry))


def _denied(source: Source, outcome: Outcome) -> bool:
    return outcome.denied if isinstance(outcome, Bury) else isinstance(outcome, Complete | Defer | Pause)


def _missing(source: Source, outcome: Outcome) -> bool:
    return isinstance(outcome, Complete) or (isinstance(outcome, Bury) and not outcome.error.startswith("unexpected"))


def _transient(source: Source, outcome: Outcome) -> bool:
    return isinstance(outcome, Retry)


FAULTS = (
    Fault("401", "the account must be paused (Unauthorized)", _unauthorized, _status(401), lambda: Unauthorized(MADE)),
    Fault("403", "the stream must be denied (Denied), or throttled", _denied, _status(403), lambda: Denied(MADE)),
    Fault("404", "it must be a dead letter (Permanent), or handled", _missing, _status(404), lambda: NotFound(MADE)),
    Fault(
        "429",
        "it must be throttled (Throttled)",
        lambda _, outcome: isinstance(outcome, Defer),
        _status(429),
        lambda: Throttled(MADE),
    ),
    Fault(
        "429 with Retry-After: 7",
        "it must be throttled (Throttled) for 7 s",
        lambda _, outcome: isinstance(outcome, Defer) and outcome.retry_after == 7,
        _status(429, retry_after="7"),
        lambda: Throttled(MADE, retry_after=7),
    ),
    Fault("500", "it must be tried again (Transient)", _transient, _status(500), lambda: Transient(MADE)),
    Fault(
        "a body that is cut off",
        "it must be tried again (Transient)",
        _transient,
        lambda response: replace(response, body=response.body[: len(response.body) // 2]),
        lambda: Transient(MADE),
    ),
)
