"""Where values of metrics come from: quotas, log lines, processes, states of imports, and what is read seldom."""

from __future__ import annotations

import logging
import os
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from crawlerd.core.configuration import LimitSpec
from crawlerd.frontier.metric_contract import ImportFigures
from crawlerd.ratelimit.limiter import parse_limits
from crawlerd.ratelimit.quota import KEPT, Window, window_of
from crawlerd.service.import_metrics import state
from crawlerd.service.log_counts import LogCounts
from crawlerd.service.machine_metrics import size, usage
from crawlerd.service.metric_families import DEPRECATED, FAMILIES, Scrape
from crawlerd.service.metrics import Metrics
from crawlerd.service.quota_metrics import FULLEST, fullest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

NOW = 1_000_000.0


@pytest.mark.parametrize(
    ("key", "limit", "window"),
    [
        ("7", "10000/day", Window(7, 0, 10_000, 1, "day")),
        ("7/31", "500/hour", Window(7, 31, 500, 1, "hour")),
        ("7", "100/2 hours", Window(7, 0, 100, 2, "hour")),
    ],
)
def test_a_window_is_read_from_its_key(key: str, limit: str, window: Window) -> None:
    (item,) = parse_limits([limit])
    assert window_of(item.key_for(key)) == window
    assert window.text == limit


@pytest.mark.parametrize("key", ["LIMITER/7/lowered/10/1/day", "LIMITER/x/10/1/day", "LIMITER/7", "else"])
def test_what_is_no_configured_window_is_none(key: str) -> None:
    assert window_of(key) is None


class Charged:
    """A reader of quotas."""

    def __init__(self, used: Mapping[str, int]) -> None:
        self._used = used
        self.since: dict[str, float] = {}

    def quota_keys(self) -> list[str]:
        return list(self._used)

    def bucket_names(self, numbers: object) -> dict[int, str]:
        return {31: "orders"}

    def charged(self, since: dict[str, float]) -> dict[str, int]:
        self.since = since
        return {key: self._used[key] for key in since}


def quotas(used: Mapping[str, int], **limits: LimitSpec) -> tuple[list[tuple[str, str, float]], Charged]:
    names = {1: "acme", 2: "initech", 3: "acme/part"}
    insight = SimpleNamespace(account_name=lambda number: names.get(number, str(number)))
    engine: Any = SimpleNamespace(settings=SimpleNamespace(limits=limits), insight=insight)
    reader: Any = Charged(used)
    return fullest(engine, reader, NOW), reader


DAY = LimitSpec(limits=("100/day", "5/minute"), by_bucket={"orders": ("50/hour",)})


def test_the_fullest_windows_come_first_with_their_bucket() -> None:
    used = {
        "LIMITER/1/100/1/day": 40,
        "LIMITER/1/31/50/1/hour": 45,
        "LIMITER/3/100/1/day": 120,  # of a part; after a lower limit came into force
        "LIMITER/1/5/1/minute": 5,  # too short
        "LIMITER/1/99/1/day": 99,  # not configured any more
        "LIMITER/2/100/1/day": 99,  # its account is not
    }
    found, reader = quotas(used, acme=DAY)
    assert found == [("acme/part", "100/day", 1.0), ("acme", "orders 50/hour", 0.9), ("acme", "100/day", 0.4)]
    assert reader.since["LIMITER/1/31/50/1/hour"] == NOW - 3600 * KEPT


def test_a_bounded_number_of_windows_has_a_series() -> None:
    limits = {str(number): DAY for number in range(100, 200)}
    used = {f"LIMITER/{number}/100/1/day": number - 100 for number in range(100, 200)}
    found, _ = quotas(used, **limits)
    assert [share for _, _, share in found] == [number / 100 for number in range(99, 99 - FULLEST, -1)]


@pytest.mark.parametrize(
    ("figures", "paused", "refused", "expected"),
    [
        (ImportFigures(None, None, None, 0, 3, 0, None), True, True, "paused"),
        (ImportFigures(None, None, "failed", 1, 0, 0, None), False, True, "running"),
        (ImportFigures(None, None, "failed", 1, None, 0, None), False, True, "refused"),
        (ImportFigures(None, None, None, 0, None, None, None), False, False, "never"),
        (ImportFigures(None, 5.0, "failed", 1, None, 0, None), False, False, "failed"),
        (ImportFigures(None, 5.0, "cancelled", 1, None, 0, None), False, False, "idle"),
        (ImportFigures(NOW, 5.0, "completed", 0, None, 0, 7), False, False, "idle"),
    ],
)
def test_an_import_is_in_one_state(figures: ImportFigures, paused: bool, refused: bool, expected: str) -> None:
    assert state("a", figures, ["a"] * paused, ["a"] * refused) == expected


def test_lines_that_somebody_should_read_are_counted() -> None:
    counts, log = LogCounts(), logging.getLogger("test of counts")
    log.propagate = False
    log.setLevel(logging.DEBUG)
    log.addHandler(counts)
    for level in (logging.INFO, logging.WARNING, logging.WARNING, logging.ERROR, logging.CRITICAL):
        log.log(level, "x")
    assert dict(counts.lines) == {"warning": 2, "error": 1, "critical": 1}
    assert counts.lock is None


def test_what_a_process_uses_is_read_from_the_system() -> None:
    seconds, resident = usage(os.getpid())
    times = psutil.Process().cpu_times()
    assert seconds == pytest.approx(times.user + times.system, abs=0.5)
    assert resident == pytest.approx(psutil.Process().memory_info().rss, rel=0.2)


def test_the_size_of_what_is_not_there_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert size(tmp_path / "a") == 5
    assert size(tmp_path / "b") is None


def test_an_unknown_value_has_no_series() -> None:
    scrape = Scrape()
    scrape.set("leases", None)
    scrape.set("workers", 2)
    assert {each.name: len(each.samples) for each in scrape.collect() if each.samples} == {"crawlerd_workers": 1}


def test_names_follow_the_conventions() -> None:
    for family in FAMILIES + DEPRECATED:
        assert family.name.startswith("crawlerd_")
        assert family.help.endswith(".")
        assert not family.name.endswith("_total")
        assert family.of_import == ("import" in family.labels)
    of_accounts = {family.name for family in FAMILIES if "account" in family.labels}
    assert of_accounts == {"crawlerd_account_backlog_tasks", "crawlerd_quota_used_ratio"}
    assert not any({"task", "run", "url", "key"} & set(family.labels) for family in FAMILIES)


@pytest.fixture
def seldom() -> Callable[..., int]:
    metrics = Metrics(SimpleNamespace())  # type: ignore[arg-type]  # none of it is asked
    metrics.close()
    reads: list[float] = []

    def read(seconds: float) -> int:
        def count() -> int:
            reads.append(seconds)
            return len(reads)

        return metrics._seldom("x", count, lambda _: seconds)

    return read


def test_what_costs_little_is_read_each_time(seldom: Callable[..., int]) -> None:
    assert [seldom(0.0) for _ in range(3)] == [1, 2, 3]


def test_what_costs_much_is_not_read_again_at_once(seldom: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr("time.monotonic", lambda: now)
    assert [seldom(3.0) for _ in range(3)] == [1, 1, 1]
    now += 59
    assert seldom(3.0) == 1
    now += 2
    assert seldom(3.0) == 2
