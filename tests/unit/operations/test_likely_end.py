"""When an estimate of the end of a run is shown, and when not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from crawlerd.core.estimate import RunFlow, Stage
from crawlerd.core.reasons import Reason, Waiting
from crawlerd.operations.likely_end import likely_end

if TYPE_CHECKING:
    from crawlerd.frontier.reader_contract import FrontierReader
    from crawlerd.operations.likely_end import LikelyEnd

NOW = 1_000_000.0


def end(waits: Waiting, *, left: int = 500, last_at: float = NOW) -> LikelyEnd | None:
    """Of a run that does 10 tasks a second."""
    flow = RunFlow({("page", 1): Stage(left, 500, 0, 1)}, {}, {("page", 1): 500}, {1: 10.0}, {"page": 0.1}, last_at)
    reader = SimpleNamespace(full_before=lambda run: None, flow=lambda run: flow)
    return likely_end(cast("FrontierReader", reader), 1, [waits], NOW)


def waiting(reason: Reason, seconds: float | None = None) -> Waiting:
    return Waiting(who="account acme", reason=reason, text="", until=None if seconds is None else NOW + seconds)


@pytest.mark.parametrize(
    "waits", [waiting(Reason.IMPORTING), waiting(Reason.LIMIT, 0.3), waiting(Reason.THROTTLED, 20.0)]
)
def test_an_account_that_goes_on_before_the_end_changes_nothing(waits: Waiting) -> None:
    found = end(waits)
    assert found
    assert found.seconds == pytest.approx(50.0)


def test_the_estimate_stays_until_the_end() -> None:
    assert end(waiting(Reason.LIMIT, 0.3), left=1, last_at=NOW - 0.5)


@pytest.mark.parametrize(
    "waits",
    [
        waiting(Reason.REFUSED),
        waiting(Reason.QUOTA, 20.0),
        waiting(Reason.THROTTLED),
        waiting(Reason.THROTTLED, 3_600.0),
        waiting(Reason.RETRY, 3_600.0),
    ],
)
def test_nobody_knows_the_end_of_what_is_held_up(waits: Waiting) -> None:
    assert end(waits) is None


def test_nobody_knows_the_end_of_what_stands_still() -> None:
    assert end(waiting(Reason.IMPORTING), left=1, last_at=NOW - 60) is None
