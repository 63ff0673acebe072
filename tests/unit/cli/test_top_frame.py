"""What `top` draws, on screens of any size; and the keys that a terminal sends."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from crawlerd.cli.full_screen import keys_in
from crawlerd.cli.top_frame import View, bar, counts, frame, moved
from crawlerd.core.reasons import Reason, Waiting
from crawlerd.frontier.reports import DeadGroup, RunReport
from crawlerd.operations.status_report import RunLine, StatusReport
from crawlerd.operations.top_report import BusyAccount, TopReport, nothing_yet, verdict
from crawlerd.operations.troubles import Trouble

NOW = 1_790_000_000.0


def waiting(reason: Reason) -> Waiting:
    return Waiting(who="account acme", reason=reason, text="the API has asked to wait for a moment")


def account(number: int, rate: float | None = 20.0, limit: float | None = 25.0) -> BusyAccount:
    waits = waiting(Reason.IMPORTING)
    return BusyAccount(name=f"shop-{number}", source="stripe", ready=9 * number, rate=rate, limit=limit, waits=waits)


def run_line(number: int, reason: Reason = Reason.IMPORTING, ends_at: float | None = NOW + 90) -> RunLine:
    facts: dict[str, Any] = dict.fromkeys(("delayed", "waiting", "done", "dead", "retried", "throttled", "records"), 3)
    run = RunReport(
        **facts, id=number, import_name=f"import-{number}", account="acme", full=True, state="running",
        started_at=NOW - 60, ended_at=None, ready=7, complete=False,
    )  # fmt: skip
    return RunLine(run=run, waits=waiting(reason), rate=2.0, limit=25.0, ends_at=ends_at)


def group(number: int, message: str = "no such charge: 日本語") -> DeadGroup:
    return DeadGroup(f"{number:06x}", "stripe", "stripe.charges", "Permanent", 404, message, 12, 1, 1, NOW, NOW, number)


def status(runs: list[RunLine], grave: int = 0) -> StatusReport:
    troubles = [Trouble(who=f"import {n}", text="it failed " * 20, grave=True) for n in range(grave)]
    return StatusReport(
        ready=1, delayed=2, waiting=3, dead=4, troubles=troubles, running=runs, running_count=len(runs), imports=[],
        import_count=0, accounts={}, account_count=0,
    )  # fmt: skip


def report(accounts: int, runs: int, errors: int, grave: int = 0) -> TopReport:
    found = status([run_line(number) for number in range(runs)], grave)
    return TopReport(
        at=NOW, alive=True, verdict=verdict(found, 0.8, alive=True), rate=1234.5, status=found,
        accounts=[account(number) for number in range(accounts)], errors=[group(number) for number in range(errors)],
    )  # fmt: skip


def plain(found: TopReport, view: View, width: int = 80, height: int = 24) -> list[str]:
    return [line.plain for line in frame(found, view, width, height)]


def test_all_of_it_is_on_a_screen_of_80_by_24() -> None:
    lines = plain(report(60, 20, 10, grave=2), View())
    assert len(lines) == 24
    text = "\n".join(lines)
    assert "importing at 80% of what the limits permit; 2 things need a look" in text
    assert "20 runs, 1,234.5 requests/s" in text
    assert "shop-0" in text
    assert "████████░░  20     25" in text
    assert "import-0" in text
    assert "1:30" in text
    assert "HTTP 404: no such charge" in text
    assert "Permanent" not in text
    assert lines[-1].startswith("q quit")


@given(
    st.integers(1, 200), st.integers(0, 60), *([st.integers(0, 60)] * 3), st.integers(0, 3), st.integers(0, 2),
    st.tuples(*[st.integers(0, 99)] * 3),
)  # fmt: skip
def test_it_fits_every_screen(
    width: int, height: int, accounts: int, runs: int, errors: int, grave: int, section: int, offsets: Any
) -> None:
    lines = frame(report(accounts, runs, errors, grave), View(section, offsets), width, height, trouble="no answer")
    assert len(lines) <= height
    assert all(cell_len(line.plain) <= width for line in lines)


def test_a_tall_screen_shows_all() -> None:
    text = "\n".join(plain(report(60, 20, 10), View(), height=110))
    assert all(f"shop-{number} " in text for number in range(60))
    assert all(f"import-{number} " in text for number in range(20))


def test_keys_scroll_one_list_and_never_past_its_end() -> None:
    found, view = report(60, 20, 10), View()
    view = moved(view, "page down", counts(found), 6)
    assert "shop-6 " in "\n".join(plain(found, view))
    assert "shop-5 " not in "\n".join(plain(found, view))
    view = moved(moved(view, "end", counts(found), 6), "down", counts(found), 6)
    assert view.offsets == (59, 0, 0)
    assert "shop-59 " in "\n".join(plain(found, view))
    view = moved(moved(moved(view, "home", counts(found), 6), "tab", counts(found), 6), "down", counts(found), 6)
    assert (view.section, view.offsets) == (1, (0, 1, 0))
    assert "import-0 " not in "\n".join(plain(found, view))
    assert moved(view, "x", counts(found), 6) == view
    assert moved(view, "space", counts(found), 6).held


@pytest.mark.parametrize(
    ("rate", "limit", "cells"),
    [(None, 25.0, ""), (5.0, None, ""), (0.0, 25.0, "░" * 10), (25.0, 25.0, "█" * 10), (12.5, 25.0, "█████░░░░░")],
)
def test_a_bar_is_the_share_of_the_limit(rate: float | None, limit: float | None, cells: str) -> None:
    assert bar(rate, limit) == cells
    assert bar(30.0, 25.0) == "█" * 10


def test_the_verdict_says_the_gravest_first() -> None:
    assert verdict(status([]), None, alive=False) == "no crawlerd is running"
    assert verdict(status([], grave=1), None, alive=True) == "idle: no run is under way; 1 thing needs a look"
    stuck = status([run_line(1, Reason.REFUSED), run_line(2, Reason.PAUSED)])
    assert verdict(stuck, None, alive=True) == "standing still: all 2 runs wait: refused, paused"
    some = status([run_line(1, Reason.REFUSED), run_line(2, Reason.LIMIT)])
    assert verdict(some, 0.974, alive=True) == "importing at 97% of what the limits permit"
    assert nothing_yet(NOW, alive=False).verdict == "nothing has been imported yet"


@pytest.mark.parametrize(
    ("typed", "keys"),
    [
        (b"q", ["q"]),
        (b"\x1b[A\x1b[B\x1bOA", ["up", "down", "up"]),
        (b"\x1b[5~\x1b[6~\x1b[H\x1b[4~", ["page up", "page down", "home", "end"]),
        (b"\t xq", ["tab", "space", "q"]),
        (b"\x1b", []),
        ("é".encode(), []),
        (b"", []),
    ],
)
def test_keys_are_known(typed: bytes, keys: list[str]) -> None:
    assert keys_in(typed) == keys


@given(st.binary(max_size=40))
def test_whatever_a_terminal_sends_is_read(typed: bytes) -> None:
    keys_in(typed)
