"""The pure decisions: when to try again, what an error leads to, when an import is due, what makes a task the same."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlerd.core.backoff import backoff
from crawlerd.core.durations import parse_duration
from crawlerd.core.errors import CrawlerdError, Denied, Permanent, Throttled, Transient, Unauthorized
from crawlerd.core.outcome import (
    CRASHES,
    ERROR_LIMIT,
    Batch,
    Bury,
    Complete,
    Crash,
    Defer,
    Outcome,
    Pause,
    Result,
    Retry,
    RetryPolicy,
    Skipped,
    after_crash,
    charge,
    decide,
)
from crawlerd.core.task import NewTask

POLICY = RetryPolicy(attempts=3, base=1.0, cap=60.0)
JITTER = st.floats(0, 1, exclude_max=True)


def test_backoff_doubles_up_to_its_cap() -> None:
    waits = [backoff(attempt, base=0.5, cap=5.0, jitter=0.5) for attempt in range(1, 7)]
    assert waits == [0.25, 0.5, 1.0, 2.0, 2.5, 2.5]


@given(attempt=st.integers(1, 10**6), base=st.floats(0.001, 60), cap=st.floats(0.001, 86400), jitter=JITTER)
def test_backoff_is_a_share_of_a_bounded_wait(attempt: int, base: float, cap: float, jitter: float) -> None:
    wait = backoff(attempt, base=base, cap=cap, jitter=jitter)
    assert 0 <= wait <= cap
    assert wait <= base * 2.0 ** min(attempt - 1, 62)
    assert backoff(attempt, base=base, cap=cap, jitter=0.0) == 0


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (Transient("reset", fault="connection"), Retry(0.5, "Transient: reset", 3, "connection")),
        (Throttled("slow"), Defer("Throttled: slow", attempts=3)),
        (
            Throttled("slow", retry_after=7, scope="account", concurrency=True),
            Defer("Throttled: slow", 7, "account", True, attempts=3),
        ),
        (Unauthorized("no"), Pause("Unauthorized: no")),
        (Permanent("gone"), Bury("Permanent: gone")),
        (Denied("not yours"), Bury("Denied: not yours", denied=True)),
        (ZeroDivisionError("division by zero"), Bury("unexpected ZeroDivisionError: division by zero")),
    ],
)
def test_each_error_has_one_outcome(error: Exception, outcome: Outcome) -> None:
    assert decide(error, attempt=0, policy=POLICY, jitter=0.5) == outcome


def test_a_task_is_buried_at_its_last_attempt_and_says_how_many_there_were() -> None:
    retries = [decide(Transient("reset"), attempt=failed, policy=POLICY, jitter=0.5) for failed in range(3)]
    assert [charge(each, failed) for failed, each in enumerate(retries) if isinstance(each, Retry)] == [
        Retry(0.5, "Transient: reset", 3),
        Retry(1.0, "Transient: reset", 3),
        Bury("gave up after 3 attempts: Transient: reset"),
    ]


@pytest.mark.parametrize(
    ("attempt", "count", "attempts"),
    [(7, 0, None), (50, 0, None), (5, 2, None), (6, 2, 8), (7, 1, 8), (7, 3, 10)],
)
def test_a_task_is_buried_for_what_it_is_charged_alone(attempt: int, count: int, attempts: int | None) -> None:
    outcome = charge(Retry(1.0, "reset", stream="items"), attempt, count)
    assert outcome.charged == count
    if attempts is None:
        assert isinstance(outcome, Retry)
    else:
        assert outcome == Bury(f"gave up after {attempts} attempts: reset", stream="items", charged=count)


@given(attempt=st.integers(0, 10**6), jitter=JITTER)
def test_throttling_is_not_failure_however_often_it_comes(attempt: int, jitter: float) -> None:
    assert isinstance(decide(Throttled("slow"), attempt=attempt, policy=POLICY, jitter=jitter), Defer)


@pytest.mark.parametrize("kind", [Transient, Throttled, Unauthorized, Permanent, Denied, CrawlerdError, ValueError])
@pytest.mark.parametrize("attempt", [0, 99])
def test_an_error_text_is_bounded(kind: type[Exception], attempt: int) -> None:
    outcome = decide(kind("x" * 100_000), attempt=attempt, policy=POLICY, jitter=0.5)
    assert not isinstance(outcome, Complete)
    assert len(outcome.error) == ERROR_LIMIT


def test_poison_is_set_aside_after_three_crashes() -> None:
    crash = Crash("killed by SIGKILL")
    assert [after_crash(crashes, crash) for crashes in range(1, CRASHES)] == [crash, crash]
    assert after_crash(CRASHES, crash) == Bury(
        "its worker process died 3 times while it ran; the last time: killed by SIGKILL"
    )


@pytest.mark.parametrize(
    "outcome",
    [
        Complete(
            [Batch("charges", 2, ["ch_1", "ch_2"], [b"{}", None], ["id"], [0], 2)],
            [NewTask("stripe.charges", "charges", 3, "{}")],
            [("charges", "7")],
            [Skipped("charges", "ch_2", "not JSON")],
            "acct_1",
        ),
        Complete(),
        Retry(1.5, "error"),
        Defer("error", None, "account", True, 60.0, 3, "charges", 1.5, 1),
        Bury("error", True),
        Pause("error"),
        Crash("error"),
    ],
)
def test_an_outcome_survives_its_way_through_a_pipe(outcome: Outcome) -> None:
    result = Result(7, outcome, 1.0, 2.0)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(result), type=Result) == result


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("15m", 900), ("1h30m", 5400), ("1d", 86400), ("2w", 1209600), ("500ms", 0.5), ("1.5h", 5400)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "30", "s", "1 h", "-1s", "1h!", "hourly", "1h 30m", "1e3s", "1H"])
def test_what_is_no_duration_is_named_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r'is not a duration; write for example "30s"'):
        parse_duration(text)


@pytest.mark.parametrize("text", ["0s", "0h0m", "0.0d"])
def test_no_duration_is_zero(text: str) -> None:
    with pytest.raises(ValueError, match=f'"{text}" is too short; a duration is longer than zero'):
        parse_duration(text)


@given(hours=st.integers(0, 1000), minutes=st.integers(0, 1000), seconds=st.integers(1, 1000))
def test_the_parts_of_a_duration_add_up(hours: int, minutes: int, seconds: int) -> None:
    assert parse_duration(f"{hours}h{minutes}m{seconds}s") == hours * 3600 + minutes * 60 + seconds


def test_a_task_is_the_same_by_kind_and_payload_alone() -> None:
    task = NewTask("stripe.charges", "charges", 5, '{"since":1}')
    assert task.key() == NewTask("stripe.charges", "other", 3, '{"since":1}', unique=True).key()
    assert len(task.key()) == 32


@given(st.lists(st.tuples(st.text("ab", max_size=3), st.text("ab\0", max_size=3)), min_size=2))
def test_different_tasks_have_different_keys(tasks: list[tuple[str, str]]) -> None:
    assert len({NewTask(kind, "", 5, payload).key() for kind, payload in tasks}) == len(set(tasks))
