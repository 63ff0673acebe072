"""The end of a group: what becomes of the task that waits for it, and what comes back with a dead letter.

An inner group counts as open in the one around it until it is over, so that they end from within. What is dead in a
group that is over counts in the one around it. The task that follows a group that has failed comes back with any of the
group's other dead letters, in all groups around it; not by itself, since its group is still not what it needs.
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

LETTERS = "dead_letters"  # the field of what follows that names them
NOT_RUN = "not run:"  # begins the error of what follows a group that has failed; the others say why


class Counted(NamedTuple):
    """A group, as its counters are now, and the task that follows it, which has the group's number."""

    id: int
    run: int
    parent: int  # the group around it, 0 for none
    open: int  # tasks and inner groups that are not over
    dead: int  # dead letters
    if_dead: IfDead  # what becomes of the task that follows when there are some
    bucket: int
    priority: int
    kind: int
    payload: str
    kind_name: str
    endless: int = 0  # 1: nothing follows it, and its run may get more of its tasks

    @property
    def tells(self) -> bool:
        """Whether what follows now is told of the dead letters, see `crawlerd.source.Gather`."""
        return (
            bool(self.dead)
            and not self.open
            and not self.endless
            and self.if_dead == "run"
            and f'"{LETTERS}":' in self.payload
        )

    def telling(self, letters: list[str]) -> Counted:
        """letters: kinds and errors of the first dead letters."""
        return self._replace(payload=with_field(self.payload, LETTERS, letters))


class Letter(NamedTuple):
    """A dead letter that comes back."""

    bucket: int
    priority: int
    seq: int
    run: int
    kind: int
    payload: str
    group: int
    follows: bool  # it follows a group, and waits for it
    chain: int
    kind_name: str


def end_groups(change: Change, groups: Iterable[Counted]) -> list[tuple[int, int]]:
    """Where nothing is open any more, the task that waited becomes ready or dead, or is left out. Returns (group, group
    around it) of those that are over; one that has failed is not, since its dead letters may be retried."""
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
    """Dead letters become ready again with all their attempts, or wait again for their group."""
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
