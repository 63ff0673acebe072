"""What an outcome weighs, and how one is cut: nothing is lost, and no piece is larger than it must be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlerd.core.errors import Permanent
from crawlerd.core.outcome import DONE, Batch, Complete, Marked, Portion, Retry, Skipped
from crawlerd.core.task import Entry, NewGather, NewTask
from crawlerd.engine import portions as cutting
from crawlerd.engine.portions import MOST_ARGUMENTS, MOST_ENTRIES, RECORD, SKIP, TASK, WHOLE, is_large, portions, weight

if TYPE_CHECKING:
    from collections.abc import Sequence

TASKS = st.builds(lambda size: NewTask("s.page", "page", 5, "x" * size), st.integers(0, 2000))
BATCHES = st.builds(
    lambda sizes, deep: Batch(
        "items",
        len(sizes),
        [f"key {n}" for n in range(len(sizes))],
        [b"x" * size if size else None for size in sizes],
        ["a", "b"],
        sorted({place for place in deep if place < len(sizes)}),
        sum(sizes),
        [f"parent {n % 3}" for n in range(len(sizes))] if deep else [],
    ),
    st.lists(st.integers(0, 2000), min_size=1, max_size=30),
    st.lists(st.integers(0, 40), max_size=4),
)
SKIPS = st.builds(Skipped, st.sampled_from("ab"), st.text(max_size=9), st.text(max_size=9), st.booleans())
OUTCOMES = st.builds(
    Complete,
    st.lists(BATCHES, max_size=3),
    st.lists(TASKS, max_size=30),
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("123")), max_size=4),
    st.lists(SKIPS, max_size=30),
    st.none(),
    st.lists(st.builds(NewGather, st.lists(TASKS, max_size=5), TASKS), max_size=5),
)
_entries = msgspec.json.Decoder(list[Entry]).decode


def pieces(outcome: Complete, most: int) -> tuple[list[Portion], Complete]:
    *before, last = portions(outcome, 7, most=most)
    assert isinstance(last, Complete)
    assert all(isinstance(each, Portion) and each.token == 7 for each in before)
    return [each for each in before if isinstance(each, Portion)], last


@given(outcome=OUTCOMES, most=st.sampled_from([1, 500, 5_000, 10**6]))
def test_all_of_it_is_in_one_piece_or_another(outcome: Complete, most: int) -> None:
    before, last = pieces(outcome, most)
    found = [batch for portion in before for batch in portion.batches]
    assert [key for batch in found for key in batch.keys] == [key for batch in outcome.batches for key in batch.keys]
    assert [each for batch in found for each in batch.data] == [each for b in outcome.batches for each in b.data]
    assert [each for batch in found for each in batch.parents] == [each for b in outcome.batches for each in b.parents]
    assert all(len(batch.parents) in (0, batch.count) for batch in found)
    deep = [batch.keys[place] for batch in found for place in batch.deep]
    assert deep == [batch.keys[place] for batch in outcome.batches for place in batch.deep]
    assert all(batch.count == len(batch.keys) == len(batch.data) for batch in found)
    assert sum(batch.size for batch in found) == sum(batch.size for batch in outcome.batches)
    assert [batch.fields for batch in found if batch.fields] == [["a", "b"] for _ in outcome.batches]
    assert [each for portion in before for each in portion.skipped] == outcome.skipped
    entries: list[Entry] = []
    for portion in before:
        if portion.entries:
            assert portion.first == len(entries)
        for count, text in portion.entries:
            entries += (these := _entries(text))
            assert len(these) == count <= MOST_ENTRIES
    groups = [place for place, entry in enumerate(entries, 1) if entry.members >= 0]
    own = [entry.task for entry in entries if entry.members < 0 and not entry.group]
    assert own == outcome.children
    for place, gather in zip(groups, outcome.gathers, strict=True):
        assert entries[place - 1] == Entry(gather.then, 0, len(gather.tasks), gather.if_dead)
        assert [entry.task for entry in entries if entry.group == place] == gather.tasks
    sent = last.sent
    assert sent
    assert (sent.token, sent.count, sent.own) == (7, len(entries), len(outcome.children) + len(outcome.gathers))
    assert sum(count for _, count in sent.records) == sum(batch.count for batch in outcome.batches)
    assert sum(count for _, count, _ in sent.skipped) == sum(not each.note for each in outcome.skipped)
    assert dict(last.cursors) == dict(outcome.cursors)
    assert [last.batches, last.children, last.skipped, last.gathers] == [[], [], [], []]


@given(outcome=OUTCOMES, most=st.sampled_from([1, 500, 5_000, 10**6]))
def test_no_piece_is_larger_than_it_must_be(outcome: Complete, most: int) -> None:
    for portion in pieces(outcome, most)[0]:
        entries = [entry for _, text in portion.entries for entry in _entries(text)]
        things = len(portion.skipped) + len(entries) + sum(batch.count for batch in portion.batches)
        sizes = sum(RECORD * batch.count + batch.size + sum(map(len, batch.keys)) for batch in portion.batches)
        sizes += sum(SKIP + len(each.key) + len(each.reason) for each in portion.skipped)
        sizes += sum(TASK + len(each.task.payload) for each in entries)
        assert things == 1 or sizes <= most


def test_many_tasks_become_ready_few_at_a_time_however_small_they_are() -> None:
    (portion,), _ = pieces(Complete(children=[PAGE] * (3 * MOST_ENTRIES + 1)), 1 << 30)
    assert [count for count, _ in portion.entries] == [MOST_ENTRIES] * 3 + [1]


PAGE = NewTask("s.page", "page", 5, "{}")
HEAVY = {
    "records": Complete([Batch("items", 1, ["k"], [b"x" * WHOLE], [], [], WHOLE)]),
    "keys": Complete([Batch("items", 1, ["k" * WHOLE], [b"{}"], [], [], 2)]),
    "small records": Complete([Batch("items", 50_000, ["k"] * 50_000, [b"{}"] * 50_000, [], [], 100_000)]),
    "skips": Complete(skipped=[Skipped("items", "k", "odd")] * 20_000),
    "children": Complete(children=[NewTask("s.page", "page", 5, "{}")] * 20_000),
    "arguments": Complete(children=[NewTask("s.page", "page", 5, "x" * WHOLE)]),
    "groups": Complete(gathers=[NewGather([], NewTask("s.page", "page", 5, "{}"))] * 20_000),
    "members": Complete(
        gathers=[NewGather([NewTask("s.p", "p", 5, "{}")] * 20_000, NewTask("s.page", "page", 5, "{}"))]
    ),
    "cursors": Complete(cursors=[("items", "1")] * 50_000),
    "greatest": Complete(greatest=[("items", "1")] * 50_000),
    "parents": Complete(parents=[("items", "ab", True)] * 50_000),
    "marks": Complete(marked=[Marked("items", True, 1, "")] * 50_000),
}


@pytest.mark.parametrize("name", HEAVY)
def test_everything_of_an_outcome_weighs(name: str) -> None:
    assert is_large(HEAVY[name])
    assert all(weight(each) < 2 * WHOLE for each in pieces(HEAVY[name], WHOLE)[1:])


def test_other_outcomes_weigh_nothing() -> None:
    assert weight(DONE) == weight(Retry(1.0, "reset")) == 0


def test_what_is_said_again_and_again_is_said_once() -> None:
    outcome = Complete(
        cursors=[("a", "1"), ("b", "2"), ("a", "3")],
        greatest=[("a", "1"), ("a", "3"), ("a", "2")],
        parents=[("l", "p", True), ("l", "p", False)],
        marked=[Marked("a", False, 1, "no"), Marked("a", True, 2, "")],
    )
    _, last = pieces(outcome, 1)
    assert (last.cursors, last.greatest) == ([("a", "3"), ("b", "2")], [("a", "3")])
    assert (last.parents, last.marked) == ([("l", "p", False)], [Marked("a", True, 3, "no")])


def bounds(monkeypatch: pytest.MonkeyPatch) -> Sequence[tuple[Complete, str]]:
    monkeypatch.setattr(cutting, "MOST_TASKS", 10)
    task = NewTask("s.page", "page", 5, "{}")
    long = NewTask("s.page", "page", 5, "x" * MOST_ARGUMENTS)
    return [
        (Complete(children=[task] * 11), "it yields 11 tasks; one task may yield at most 10"),
        (Complete(gathers=[NewGather([task] * 10, task)]), "it yields 11 tasks"),
        (Complete(children=[long]), "a task of kind s.page with arguments of 8 MB; at most 8 MB are kept"),
        (Complete(cursors=[("a", "x" * WHOLE)]), "it yields 4 MB of cursors and the like; at most 4 MB of one task"),
    ]


def test_what_no_portion_can_hold_is_refused_by_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    for outcome, words in bounds(monkeypatch):
        with pytest.raises(Permanent, match=words):
            pieces(outcome, 1000)
