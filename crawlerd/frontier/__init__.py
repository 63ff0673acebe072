"""The frontier: the durable priority queue of tasks on disk, and the runs, cursors and dead letters around it.

Here it is opened and looked after; what it can do is said in `crawlerd.frontier.contract`. A frontier is found by its
state directory, the one thing that every command knows without reading the rest of the configuration. The databases are
imported when they are used.

contract: all that a frontier can do, on whichever database.
reports: what commands show: state, reports of runs, dead letters.
letter_contract: the part of it about dead letters.
letter_filter: which dead letters are meant.
schedule_contract: the part of it about schedules.
submission_contract: the part of it about tasks that others have submitted.
sync_point_contract: the part of it about sync points, as people change them.
waiting_contract: the part of it about tasks that wait, by queue.
acts_contract: the part of it about what people do, and the answers that they got.
reader_contract: all that other threads and processes can read of it.
metric_contract: the part of it that metrics alone read.
quota_contract: where quotas are charged; the charging itself is in `crawlerd.ratelimit.quota`.
wait_index: which accounts wait for what, as it was at one moment.
change: what a group of outcomes changes: tasks, counters, cursors.
figures, figure_reports: what a group adds to the figures of runs, and what people are told of these.
group_end: a group is closed; its `then` follows, or is dead.
lock: one crawlerd for each state directory.
backup_note: when the last backup was made.
access: who may use its files.
sqlite: the frontier on SQLite.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from crawlerd.core.errors import FrontierError
from crawlerd.frontier.reports import BackedUp, Checked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from crawlerd.frontier.contract import Frontier
    from crawlerd.frontier.reader_contract import FrontierReader


def open_frontier(state_dir: Path, *, now: float) -> Frontier:
    """The one writer; call with the lock of the state directory held (`crawlerd.frontier.lock.StateLock`).

    now: Unix seconds, by which due times and charges of a wrong clock are known.

    Made or brought up to date as needed. FrontierTooNew for one of a newer crawlerd, untouched; FrontierRefused when it
    is not the one that was used here, or is gone; StorageFailed and FrontierError for the rest.
    """
    from crawlerd.frontier.sqlite.frontier import SqliteFrontier

    return SqliteFrontier(state_dir, now=now)


def open_reader(state_dir: Path) -> FrontierReader | None:
    """A reader of it, whether it is in use or not; None when there is no frontier there yet.

    FrontierError for one of an older crawlerd, FrontierTooNew for one of a newer.
    """
    from crawlerd.frontier.sqlite.reader import SqliteReader

    return SqliteReader.open(state_dir)


def database_version() -> str:
    """Of the library that reads and writes it."""
    from crawlerd.frontier.sqlite.database import library_version

    return library_version()


def files(state_dir: Path) -> dict[str, Path]:
    """The frontier's files that grow, by what they are: `frontier`, and `frontier_wal`, its write-ahead log."""
    from crawlerd.frontier.sqlite.database import FILE_NAME

    return {"frontier": state_dir / FILE_NAME, "frontier_wal": state_dir / f"{FILE_NAME}-wal"}


def check(state_dir: Path, *, full: bool = False) -> Checked:
    """Whether every invariant holds. Changes nothing; works alongside the daemon.

    full: compares every index with its table as well.
    FrontierError when there is none, or it cannot be read at all.
    """
    from crawlerd.frontier.sqlite.database import FILE_NAME

    return check_file(state_dir / FILE_NAME, full=full)


def check_file(file: Path, *, full: bool = False) -> Checked:
    """The same for a file that `backup` has made."""
    from crawlerd.frontier.sqlite import check as checking

    return Checked(str(file), checking.check(file, full=full))


def vacuum(state_dir: Path) -> tuple[int, int]:
    """Gives the space of tasks that are done back to the disk. Its size before and after, in bytes.

    FrontierLocked alongside a daemon; StorageFailed when there is not the space that it needs meanwhile: nothing has
    changed then.
    """
    from crawlerd.frontier.sqlite import vacuum as vacuuming

    return vacuuming.vacuum(state_dir)


def backup(state_dir: Path, target: Path, *, force: bool = False) -> int:
    """Copies the frontier as it is at this moment into a file, alongside the daemon or without it. The size in bytes.

    force: replaces an existing file.
    The file appears whole and durable, or not at all. FrontierError when it may not be there, StorageFailed on a full
    disk.
    """
    from crawlerd.frontier.backup_note import note
    from crawlerd.frontier.sqlite import backup as copying

    size = copying.backup(state_dir, target, force=force)
    note(state_dir)
    return size


def last_backup(state_dir: Path) -> float | None:
    """When the last backup was made, in Unix seconds; None while there was none."""
    from crawlerd.frontier.backup_note import noted

    return noted(state_dir)


def restore(state_dir: Path, file: Path) -> Path | None:
    """Puts a copy of a backup in the frontier's place. Where the frontier that was there is now.

    Killed at any point, it can be repeated. FrontierLocked alongside a daemon; FrontierError for a file that is damaged
    or is no frontier, StorageFailed on a full disk: nothing has changed then.
    """
    from crawlerd.frontier.sqlite import restore as restoring

    return restoring.restore(state_dir, file)


def backed_up(file: Path) -> BackedUp:
    """What a file that `backup` has made holds. FrontierError when it cannot be read, or is of an older crawlerd,
    FrontierTooNew for one of a newer."""
    from crawlerd.frontier.sqlite import backup as copying

    return copying.backed_up(file)


@contextmanager
def restoring(state_dir: Path, source: Path, file: Path) -> Iterator[bool]:
    """Within this block, the lock is held, nothing can be started in the state directory, over a crash as well, and
    sinks are put in place. At its end the frontier of the backup follows, and all is well. After an error that leaves
    the block nothing is different.

    source: the whole backup, which a message names.
    file: the frontier in it.
    Gives whether a restore of the same backup was cut off here, so that what is in place is a part of it.
    FrontierLocked alongside a daemon; FrontierError where there is a frontier, or a part of another backup.
    """
    from crawlerd.frontier.lock import StateLock
    from crawlerd.frontier.sqlite import database
    from crawlerd.frontier.sqlite import restore as putting

    with StateLock(state_dir):
        before = database.being_restored(state_dir)
        if before is not None and before != str(source):
            raise FrontierError(
                f"{state_dir} holds a part of the backup {before}: finish that with `crawlerd restore {before}`, "
                "or leave it with `crawlerd frontier new`"
            )
        if before is None and (there := putting.in_use(state_dir)):
            raise FrontierError(
                f"{there} is there already, and nothing is put in the place of what is there: move {state_dir} away"
            )
        putting.begin_restoring(state_dir, source)
        try:
            yield before is not None
            putting.put_in_place(state_dir, file)
        except Exception:
            putting.take_away(state_dir)
            raise
        putting.end_restoring(state_dir)


def begin_new(state_dir: Path, *, force: bool = False) -> Path | None:
    """Lets the next start begin with an empty frontier. Where the one that was there is now.

    force: also when there is a usable one.
    FrontierLocked alongside a daemon; FrontierError when there is a usable one and it is not forced.
    """
    from crawlerd.frontier.sqlite import restore as restoring

    return restoring.begin_new(state_dir, force=force)
