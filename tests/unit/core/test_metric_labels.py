"""Closed sets of labels: each status and each failure counts under exactly one value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlerd.core.bounded_counts import BoundedCounts
from crawlerd.core.errors import Denied, NotFound, Permanent, Throttled, Transient, Unauthorized
from crawlerd.core.metric_labels import (
    AttemptError,
    RequestStatus,
    ThrottleReason,
    error_of,
    status_of,
    throttle_of,
)
from crawlerd.core.outcome import DONE, NO_REQUEST, Complete, Crash, Defer, RetryPolicy, charge, decide


@pytest.mark.parametrize(
    ("status", "label"),
    [
        (200, "2xx"),
        (204, "2xx"),
        (304, "3xx"),
        (400, "4xx"),
        (401, "401"),
        (403, "403"),
        (404, "404"),
        (422, "4xx"),
        (429, "429"),
        (500, "5xx"),
        (503, "5xx"),
        (599, "5xx"),
        (0, "none"),
        (101, "none"),
        (999, "none"),
    ],
)
def test_a_status_that_means_something_of_its_own_counts_alone(status: int, label: str) -> None:
    assert status_of(status) == label


def test_what_made_no_request_has_no_status() -> None:
    assert status_of(NO_REQUEST) is None


@given(st.integers(0, 10_000))
def test_every_status_has_one_label(status: int) -> None:
    assert status_of(status) in list(RequestStatus)


@pytest.mark.parametrize(
    ("error", "label"),
    [
        (Transient("no route", fault="connection"), AttemptError.CONNECTION),
        (Permanent("no route", fault="connection"), AttemptError.CONNECTION),
        (Transient("HTTP 502", fault="answer"), AttemptError.SERVER),
        (Transient("not yet"), AttemptError.TRANSIENT),
        (Throttled("HTTP 429"), AttemptError.THROTTLED),
        (Unauthorized("HTTP 401"), AttemptError.CREDENTIALS),
        (Denied("HTTP 403"), AttemptError.DENIED),
        (NotFound("HTTP 404"), AttemptError.PERMANENT),
        (Permanent("HTTP 400"), AttemptError.PERMANENT),
        (KeyError("id"), AttemptError.HANDLER),
    ],
)
def test_each_failure_has_a_class(error: Exception, label: AttemptError) -> None:
    assert error_of(decide(error, attempt=0, policy=RetryPolicy(), jitter=0.5)) is label


def test_a_crash_is_a_failure_and_what_is_complete_is_none() -> None:
    assert error_of(Crash("worker died")) is AttemptError.CRASH
    assert error_of(DONE) is error_of(Complete(cursors=[("a", "b")])) is None


def test_what_is_given_up_counts_as_what_it_was() -> None:
    """The worker's word is classified, not what the main process makes of it."""
    said = decide(Transient("HTTP 502", fault="answer"), attempt=7, policy=RetryPolicy(), jitter=0.5)
    assert error_of(said) is AttemptError.SERVER
    assert error_of(charge(said, 7)) is AttemptError.PERMANENT  # type: ignore[arg-type]


@pytest.mark.parametrize("scope", ["bucket", "account", "task"])
def test_a_throttle_says_what_is_over_its_limit(scope: str) -> None:
    assert throttle_of(Defer("slow", scope=scope)) == scope  # type: ignore[arg-type]
    assert throttle_of(Defer("slow", scope=scope, concurrency=True)) is ThrottleReason.CONCURRENCY  # type: ignore[arg-type]


@given(st.lists(st.floats(0, 100)))
def test_counts_are_cumulative_and_the_last_one_is_all(numbers: list[float]) -> None:
    counts = BoundedCounts((0.5, 1.0, 10.0))
    for number in numbers:
        counts.add(number)
    below = [sum(number <= bound for number in numbers) for bound in counts.bounds]
    assert counts.cumulative() == [*below, len(numbers)]
    assert counts.sum == pytest.approx(sum(numbers))
