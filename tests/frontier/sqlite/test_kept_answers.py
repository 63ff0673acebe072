"""The answer to an act is kept in its transaction: with it or not at all, for a day."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from crawlerd.core.lowered import LimitNote
from crawlerd.core.pauses import PauseNote
from crawlerd.frontier import open_frontier, open_reader
from crawlerd.frontier.acts_contract import KEPT_SECONDS, KeptAnswer, Promise
from crawlerd.frontier.reports import Act

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from crawlerd.frontier.contract import Frontier
    from crawlerd.frontier.reader_contract import FrontierReader

PAUSE = PauseNote(kind="import", name="orders", reason="stock", by="ana", since=1.0)
LOWER = LimitNote(account="acme", limits=["5/second"], reason="theirs", by="ana", since=1.0)


@pytest.fixture
def frontier(tmp_path: Path) -> Iterator[Frontier]:
    frontier = open_frontier(tmp_path, now=0.0)
    yield frontier
    frontier.close()


@pytest.fixture
def reader(frontier: Frontier, tmp_path: Path) -> Iterator[FrontierReader]:
    reader = open_reader(tmp_path)
    assert reader
    yield reader
    reader.close()


def start(frontier: Frontier) -> object:
    return frontier.start_run("orders", frontier.account("acme", "shop"), [], full=True, now=1.0)


ACTS: dict[str, Callable[[Frontier], object]] = {
    "pause": lambda frontier: frontier.pause(PAUSE),
    "lower": lambda frontier: frontier.lower(LOWER),
    "start_run": start,
}


def fail(result: Any) -> bytes:
    raise RuntimeError("no answer")


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_an_act_and_its_answer_are_written_together(
    frontier: Frontier, reader: FrontierReader, act: Callable[[Frontier], object]
) -> None:
    with pytest.raises(RuntimeError, match="no answer"), frontier.answering(Promise("k", "d", 1.0, fail)):
        act(frontier)
    assert (frontier.pauses(), frontier.lowered(), reader.status().runs, reader.audit()) == ([], [], [], [])
    with frontier.answering(Promise("k", "d", 1.0, lambda result: b"done")):
        act(frontier)
    assert frontier.pauses() or frontier.lowered() or reader.status().runs
    assert reader.kept_answer("k", 1.0) == KeptAnswer("d", b"done")


def test_what_did_nothing_keeps_no_answer(frontier: Frontier, reader: FrontierReader) -> None:
    promise = Promise("k", "d", 1.0, lambda result: b"done")
    with frontier.answering(promise):
        assert frontier.lift("import", "orders", "ana", 1.0) is None
        assert not frontier.end_lowered("acme", "", "ana", 1.0)
        assert not frontier.cancel_run(7, Act(1.0, "ana", "cancel", "run 7", "", 1))
    assert reader.kept_answer("k", 1.0) is None
    frontier.pause(PAUSE)  # nobody is promised anything by now
    assert reader.kept_answer("k", 1.0) is None


def test_an_answer_is_kept_for_a_day(frontier: Frontier, reader: FrontierReader) -> None:
    for key, at in (("a", 1.0), ("b", 100.0)):
        frontier.keep(Promise(key, "d", at, lambda result: b"done"), None)
    assert reader.kept_answer("a", KEPT_SECONDS)
    assert reader.kept_answer("a", KEPT_SECONDS + 1.0) is None
    frontier.keep(Promise("c", "d", KEPT_SECONDS + 50.0, lambda result: b"done"), None)
    assert reader.kept_answer("a", 1.0) is None  # gone
    assert reader.kept_answer("b", 100.0)
