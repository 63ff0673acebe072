"""The rule of groups, without a database: what becomes of what waits for one, and what comes back with a letter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from crawlerd.frontier.change import Change, Counts, Members
from crawlerd.frontier.figures import StageCounts
from crawlerd.frontier.group_end import Counted, Letter, bring_back, end_groups

if TYPE_CHECKING:
    from crawlerd.core.output import IfDead


def group(*, parent: int = 0, opened: int = 0, dead: int = 0, if_dead: IfDead = "run") -> Counted:
    return Counted(7, 1, parent, opened, dead, if_dead, 3, 5, 2, '"then"', "shop.then")


def test_a_group_in_which_something_is_open_goes_on() -> None:
    change = Change(0.0)
    assert end_groups(change, [group(opened=1, dead=3, if_dead="fail")]) == []
    assert (change.runs, change.groups, change.dead, change.arrived) == ({}, {}, [], {})


@pytest.mark.parametrize(("dead", "if_dead"), [(0, "run"), (2, "run"), (0, "fail"), (0, "skip")])
def test_what_waits_becomes_ready_in_the_group_around_it(dead: int, if_dead: IfDead) -> None:
    change = Change(0.0)
    assert end_groups(change, [group(parent=4, dead=dead, if_dead=if_dead)]) == [(7, 4)]
    assert change.grouped == [(3, 1, 5, 7, 2, 0, '"then"', 4)]
    assert change.runs == {1: Counts(waiting=-1)}
    assert change.groups == ({4: Members(dead=dead)} if dead else {})


def test_what_waits_for_a_group_that_failed_is_a_dead_letter_and_the_group_stays() -> None:
    change = Change(9.0)
    assert end_groups(change, [group(parent=4, dead=2, if_dead="fail")]) == []
    error = "not run: 2 dead letters in its group; it waits for those retried"
    assert change.dead == [(7, 1, 3, 5, 2, 1, False, "then", error, '"then"', 9.0, 4, False, 0, "shop.then")]
    assert change.figures.stages[1, group().kind_name, 0] == StageCounts(open=-1, dead=1)
    assert change.runs == {1: Counts(open=-1, waiting=-1, dead=1)}
    assert change.groups == {4: Members(open=-1, dead=1)}
    assert change.arrived == {}


def test_what_waits_may_be_left_out() -> None:
    change = Change(0.0)
    assert end_groups(change, [group(parent=4, dead=2, if_dead="skip")]) == [(7, 4)]
    assert (change.grouped, change.ready, change.dead) == ([], [], [])
    assert change.runs == {1: Counts(open=-1, waiting=-1)}
    assert change.groups == {4: Members(open=-1, dead=2)}


def test_dead_letters_come_back_ready_and_what_follows_their_group_waits() -> None:
    change = Change(0.0)
    task = Letter(3, 5, 8, 1, 2, '"a"', 7, follows=False, chain=9, kind_name="page")
    then = Letter(3, 5, 7, 1, 2, '"then"', 4, follows=True, chain=0, kind_name="then")
    bring_back(change, [task, then])
    assert change.rare == [(3, 1, 5, 8, 2, 0, '"a"', 7, 0, 9)]
    assert change.figures.stages == {
        (1, "page", 8): StageCounts(open=1, dead=-1),
        (1, "then", 0): StageCounts(open=1, dead=-1),
    }
    assert change.runs == {1: Counts(open=2, waiting=1, dead=-2)}
    assert change.groups == {7: Members(open=1, dead=-1), 4: Members(open=1, dead=-1)}
