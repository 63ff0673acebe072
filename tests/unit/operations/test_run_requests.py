"""What people ask of an import while a run of it is under way."""

from __future__ import annotations

from typing import Any

import pytest

from crawlerd.frontier.reports import RunReport
from crawlerd.operations.run_history import RunRequest
from crawlerd.operations.run_requests import OtherRun, agree


def under_way(**facts: Any) -> list[RunReport]:
    counts = ("ready", "delayed", "waiting", "done", "dead", "retried", "throttled", "records")
    known: dict[str, Any] = dict.fromkeys(counts, 0) | {"ended_at": None, "complete": False}
    known |= {"id": 7, "import_name": "shop", "account": "acme", "state": "running", "full": False}
    return [RunReport(**{**known, "started_at": 1.0, **facts})]


@pytest.mark.parametrize(
    ("request_", "facts"),
    [
        (RunRequest(), {}),
        (RunRequest(), {"ad_hoc": "the first 5 records of each stream"}),
        (RunRequest(allow_shrink=True), {}),
        (RunRequest(full=True), {"full": True}),
    ],
)
def test_a_run_that_is_as_it_was_asked_for_is_the_answer(request_: RunRequest, facts: dict[str, Any]) -> None:
    agree(request_, under_way(**facts))


@pytest.mark.parametrize(
    ("request_", "facts"),
    [
        (RunRequest(full=True), {}),
        (RunRequest(full=True), {"full": True, "part": "orders"}),
        (RunRequest(full=True), {"full": True, "ad_hoc": "the first 5 records of each stream"}),
        (RunRequest(full=True, streams=["orders"]), {"full": True}),
        (RunRequest(since=5.0), {}),
        (RunRequest(sample=5), {"ad_hoc": "the first 9 records of each stream"}),
    ],
)
def test_another_one_is_refused_with_its_number(request_: RunRequest, facts: dict[str, Any]) -> None:
    with pytest.raises(OtherRun, match=r"run 7 of import shop is under way.*`crawlerd run cancel 7`"):
        agree(request_, under_way(**facts))
