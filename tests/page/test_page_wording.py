"""Numbers, times and texts of the page; texts of others are harmless."""

from __future__ import annotations

from datetime import UTC
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as some

from crawlerd.service.page import page_texts

if TYPE_CHECKING:
    from crawlerd.frontier.reports import RunReport

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.21, "210 ms"), (1.94, "1.9 s"), (42, "42 s"), (71 * 60, "1 h 11 min"), (90, "1 min 30 s"), (3_600, "1 h"),
     (86_400 * 9 + 3_600 * 20, "9 d 20 h"), (None, page_texts.NOTHING)],
)  # fmt: skip
def test_a_duration_has_two_units_at_most(seconds: float | None, text: str) -> None:
    assert page_texts.duration(seconds) == text


@pytest.mark.parametrize(("value", "text"), [(71.83, "71.8"), (0.1234, "0.12"), (6904.4, "6,904"), (25.0, "25")])
def test_a_rate_has_as_many_digits_as_say_something(value: float, text: str) -> None:
    assert page_texts.rate(value) == text


def test_a_time_says_exactly_when_it_is() -> None:
    written = page_texts.time(NOW - 86_400, NOW, UTC)
    assert written == (
        '<time datetime="2023-11-13T22:13:20Z" title="Monday, 2023-11-13 22:13:20 UTC">yesterday 22:13</time>'
    )


def test_what_is_soon_is_told_as_a_time_to_wait() -> None:
    assert ">in 14 min<" in page_texts.until(NOW + 14 * 60, NOW, UTC)
    assert ">now<" in page_texts.until(NOW - 5, NOW, UTC)


@given(some.text())
def test_a_text_is_on_one_line_without_anything_that_a_browser_or_a_terminal_obeys(text: str) -> None:
    written = page_texts.safe(text)
    assert isinstance(written, str)
    assert written.isprintable()
    assert len(written) <= page_texts.MOST_TEXT


def test_a_text_that_turns_around_what_follows_it_is_shown_as_it_is_written() -> None:
    assert page_texts.cut("invoice\u202egnp.exe", 100) == "invoice\\u202egnp.exe"


def test_a_megabyte_is_cut() -> None:
    assert len(page_texts.cut("x" * 1_000_000, 80)) == 80
    assert len(str(page_texts.block("<\n" * 1_000_000))) < 100_000


def test_a_state_is_a_word_and_a_sign() -> None:
    assert page_texts.sign("refused") == '<span class="s bad"><i aria-hidden="true">✕</i> key refused</span>'
    assert "&lt;b&gt;" in page_texts.sign("<b>")


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({"ended_reason": "its sink is gone", "full_reason": "no run of it has ended clean yet"}, "its sink is gone"),
        ({"state": "failed", "dead": 2, "full_reason": "first"}, "no task of it has succeeded; see its 2 dead letters"),
        ({"full_reason": "no run of it has ended clean yet"}, "full: no run of it has ended clean yet"),
        ({"full": False}, "incremental"),
        ({"full": False, "ad_hoc": "streams orders"}, "incremental: streams orders"),
    ],
)
def test_why_a_run_was_full_is_never_read_as_why_it_failed(facts: dict[str, Any], text: str) -> None:
    run = {"state": "completed", "dead": 0, "full": True, "ended_reason": None, "full_reason": None, "ad_hoc": None}
    assert page_texts.remark(cast("RunReport", SimpleNamespace(**run | facts))) == text


@pytest.mark.parametrize(
    ("states", "told"),
    [
        (["on time"] * 3 + ["refused", "failed", "running"], ("1 failed, 1 key refused, 1 running, 3 on time", "bad")),
        (["completed with dead letters", "completed"], ("1 with dead letters, 1 completed", "warn")),
        (["running"] * 1_200 + ["something new"], ("1,200 running, 1 something new", "good")),
        ([], ("", "good")),
    ],
)
def test_states_are_counted_the_worst_first(states: list[str], told: tuple[str, str]) -> None:
    assert page_texts.by_state(states) == told
