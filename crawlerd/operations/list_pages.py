"""Lists in pages. The `next` of each page is the `after` of the page that follows; None on the last page."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from crawlerd.core.pauses import PauseNote
from crawlerd.frontier.figure_reports import KindFigures, SlowTask
from crawlerd.frontier.reports import Act, DeadGroup, LetterPage, OperationReport
from crawlerd.operations import run_history, schedules
from crawlerd.operations.problem import Refused
from crawlerd.operations.run_history import StreamLine
from crawlerd.operations.schedules import ScheduleReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from crawlerd.core.configuration import ImportSpec
    from crawlerd.frontier.letter_filter import LetterFilter
    from crawlerd.frontier.reader_contract import FrontierReader

T = TypeVar("T")


class Groups(msgspec.Struct, frozen=True, kw_only=True):
    """A page of groups of dead letters.

    groups: the largest first.
    next: COUNT-GROUP of the last one.
    """

    groups: list[DeadGroup]
    next: str | None = None


class Operations(msgspec.Struct, frozen=True, kw_only=True):
    """A page of operations on dead letters.

    operations: the newest first.
    next: the number of the last one.
    """

    operations: list[OperationReport]
    next: int | None = None


class Acts(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the audit.

    acts: the newest first.
    next: the number of the last one.
    """

    acts: list[Act]
    next: int | None = None


class Pauses(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the pauses in force.

    pauses: by kind and name.
    next: KIND/NAME of the last one.
    """

    pauses: list[PauseNote]
    next: str | None = None


class Schedules(msgspec.Struct, frozen=True, kw_only=True):
    """A page of schedules.

    schedules: by the name of their import.
    next: the name of the last one.
    """

    schedules: list[ScheduleReport]
    next: str | None = None


class Streams(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the streams of a run.

    streams: by name.
    next: the name of the last one.
    """

    streams: list[StreamLine]
    next: str | None = None


class Kinds(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the kinds of tasks of a run.

    kinds: by name.
    next: the name of the last one.
    """

    kinds: list[KindFigures]
    next: str | None = None


class SlowTasks(msgspec.Struct, frozen=True, kw_only=True):
    """The slowest tasks of a run. There is only one page, since a run keeps 20 of them.

    tasks: the slowest first.
    """

    tasks: list[SlowTask]
    next: None = None


def letters(reader: FrontierReader, which: LetterFilter, after: int, limit: int) -> LetterPage:
    """The letters that match, in the order of their numbers; several of the same task are one."""
    found = reader.dead_letters(which, after=after, limit=limit + 1, one_each=True)
    return LetterPage(found[:limit], found[limit - 1].id if len(found) > limit else None)


def groups(reader: FrontierReader, import_name: str | None, run: int | None, after: str, limit: int) -> Groups:
    """Raises Refused if `after` is not the `next` of a page."""
    found = reader.dead_groups(import_name=import_name, run=run, limit=limit + 1, after=_place_of(after))
    last = found[limit - 1] if len(found) > limit else None
    return Groups(groups=found[:limit], next=f"{last.letters}-{last.group}" if last else None)


def operations(reader: FrontierReader, after: int | None, limit: int) -> Operations:
    found = reader.operations(before=after, limit=limit + 1)
    return Operations(operations=found[:limit], next=found[limit - 1].id if len(found) > limit else None)


def audit(reader: FrontierReader, since: float, after: int | None, limit: int, by: str, act: str) -> Acts:
    """since: only acts since then, in Unix seconds.
    by, act: only acts of this person, and of this kind; "" for all.
    """
    found = reader.audit(since=since, limit=limit + 1, before=after, by=by, act=act)[::-1]
    return Acts(acts=found[:limit], next=found[limit - 1].id if len(found) > limit else None)


def pauses(reader: FrontierReader, after: str, limit: int) -> Pauses:
    found, following = _cut(reader.pauses(), lambda note: f"{note.kind}/{note.name}", after, limit)
    return Pauses(pauses=found, next=following)


def schedule(
    imports: Mapping[str, ImportSpec],
    reader: FrontierReader | None,
    now: float,
    names: Iterable[str],
    count: int,
    after: str,
    limit: int,
) -> Schedules:
    """The schedules of these imports. Raises Unknown for an unknown name. See `schedules.schedules`."""
    shown, following = _cut(names, str, after, limit)
    found = schedules.schedules(imports, reader, now, names=shown, count=count)
    return Schedules(schedules=sorted(found, key=lambda each: each.import_name), next=following)


def streams(reader: FrontierReader, run: int, after: str, limit: int) -> Streams:
    """Raises Unknown if there is no such run, or it was forgotten."""
    found, following = _cut(run_history.streams(reader, run), lambda line: line.stream, after, limit)
    return Streams(streams=found, next=following)


def kinds(reader: FrontierReader, run: int, after: str, limit: int) -> Kinds:
    """Raises Unknown if there is no such run, or it was forgotten."""
    found, following = _cut(run_history.figures(reader, run).kinds, lambda each: each.kind, after, limit)
    return Kinds(kinds=found, next=following)


def slowest(reader: FrontierReader, run: int, limit: int) -> SlowTasks:
    """Raises Unknown if there is no such run, or it was forgotten."""
    return SlowTasks(tasks=run_history.figures(reader, run).slowest[:limit])


def _cut(items: Iterable[T], name_of: Callable[[T], str], after: str, limit: int) -> tuple[list[T], str | None]:
    """A page of items in the order of their names, and the name after which the next one begins."""
    left = sorted((each for each in items if name_of(each) > after), key=name_of)
    return left[:limit], name_of(left[limit - 1]) if len(left) > limit else None


def _place_of(after: str) -> tuple[int, str] | None:
    count, _, group = after.partition("-")
    if not after:
        return None
    if not (count.isascii() and count.isdecimal() and len(count) <= 18 and group.isascii() and group.isalnum()):
        raise Refused(f"after: {after[:80]!r} is not the `next` of a page of groups")
    return int(count), group
