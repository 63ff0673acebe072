"""The end of a group: decides what happens to the task that waits for it, and restores it with retried dead letters.

An inner group counts as one open task of the outer group until it has ended, so inner groups end first. Its dead
letters then count in the outer group. A follow-up task that died because its group had dead letters is restored when
one of those is retried, and so are the follow-up tasks of all outer groups. It cannot be retried on its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from crawlerd.core.hiding import with_field
from crawlerd.core.outcome import Bury
from crawlerd.core.task import Task
from crawlerd.core.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crawlerd.core.output import IfDead
    from crawlerd.frontier.change import Change

LETTERS = "dead_letters"  # the argument of a follow-up task that gets the group's dead letters
NOT_RUN = "not run:"  # the error of a follow-up task whose group has failed begins with this


class Counted(NamedTuple):
    """A group with its present counters, and its follow-up task, which has the group's number."""

    id: int
    run: int
    parent: int  # the outer group, 0 for none
    open: int  # tasks and inner groups that have not ended
    dead: int  # dead letters
    if_dead: IfDead  # what happens to the follow-up task when there are dead letters
    bucket: int
    priority: int
    kind: int
    payload: str
    kind_name: str
    endless: int = 0  # 1: it has no follow-up task, and its run may add tasks to it

    @property
    def tells(self) -> bool:
        """Whether the follow-up task gets the dead letters as an argument, see `crawlerd.source.Gather`."""
        return (
            bool(self.dead)
            and not self.open
            and not self.endless
            and self.if_dead == "run"
            and f'"{LETTERS}":' in self.payload
        )

    def telling(self, letters: list[str]) -> Counted:
        """The group, with the dead letters in the arguments of its follow-up task.

        letters: kinds and errors of the first dead letters.
        """
        return self._replace(payload=with_field(self.payload, LETTERS, letters))


class Letter(NamedTuple):
    """A dead letter that is retried."""

    bucket: int
    priority: int
    seq: int
    run: int
    kind: int
    payload: str
    group: int
    follows: bool  # it is a follow-up task, and waits for its group again
    chain: int
    kind_name: str


def end_groups(change: Change, groups: Iterable[Counted]) -> list[tuple[int, int]]:
    """Ends the groups in which nothing is open: their follow-up tasks become ready or dead, or are left out. Returns
    (group, outer group) of those that have ended. A failed group has not ended, since its dead letters may be retried.
    """
    over: list[tuple[int, int]] = []
    for group in groups:
        if group.open or group.endless:
            continue
        counts = change.runs[group.run]
        counts.waiting -= 1
        ready = not group.dead or group.if_dead == "run"
        if not ready:
            counts.open -= 1
            change.figures.stage(group.run, group.kind_name, 0).open -= 1
            if group.parent:
                change.groups[group.parent].open -= 1
        if not ready and group.if_dead == "fail":
            then = Task(
                *(group.id, group.bucket, group.priority, group.run, group.kind_name, 0, group.payload),
                group=group.parent,
            )
            error = f"{NOT_RUN} {counted(group.dead, 'dead letter')} in its group; it waits for those retried"
            change.bury(then, group.kind, Bury(error))
            continue
        if ready:
            change.enqueued[group.run] += 1
            change.make_ready(
                group.bucket, group.priority, group.id, group.run, group.kind, 0, group.payload, group.parent
            )
        if group.parent and group.dead:
            change.groups[group.parent].dead += group.dead
        over.append((group.id, group.parent))
    return over


def bring_back(change: Change, letters: Iterable[Letter]) -> None:
    """Makes dead letters ready again, with all their attempts, or lets them wait for their group again."""
    for letter in letters:
        counts = change.runs[letter.run]
        if letter.follows:
            counts.waiting += 1
        else:
            change.make_ready(
                *(letter.bucket, letter.priority, letter.seq, letter.run, letter.kind, 0, letter.payload, letter.group),
                chain=letter.chain,
            )
        stage = change.figures.stage(letter.run, letter.kind_name, letter.chain)
        stage.open += 1
        stage.dead -= 1
        counts.open += 1
        counts.dead -= 1
        if letter.group:
            change.groups[letter.group].open += 1
            change.groups[letter.group].dead -= 1
