"""The frontier: the durable priority queue of tasks on disk, and the runs, cursors and dead letters around it.

This module opens, checks, backs up and restores it; `crawlerd.frontier.contract` lists its operations. A frontier is
found by its state directory, which every command knows without reading the rest of the configuration. The modules of
a database are imported when they are used.

contract: all operations of a frontier, independent of the database.
letter_contract: the operations on dead letters.
schedule_contract: the operations on schedules.
sink_contract: the operations on sinks.
submission_contract: the operations on tasks that other programs have submitted.
sync_point_contract: the operations on sync points, for people who change them.
waiting_contract: the operations on waiting tasks, by queue.
acts_contract: the audit of what people do, and the stored answers to their requests.
reader_contract: what other threads and processes can read.
metric_contract: what only metrics read.
quota_contract: where quotas are charged; `crawlerd.ratelimit.quota` does the charging.
reports: the values that commands show: state, reports of runs, dead letters.
letter_filter: selects dead letters.
wait_index: which accounts wait for what, at one moment.
change: what a group of outcomes changes: tasks, counters, cursors.
figures: what a group of outcomes adds to the figures of runs.
figure_reports: the figures of runs, for people.
group_end: closes a group; its `then` becomes ready, or dead.
lock: lets one crawlerd use a state directory.
moving: copies a frontier from a file into PostgreSQL, or back.
backup_note: when the last backup was made.
access: which users may read the files.
sql: all of the frontier that is SQL, whichever the database.
postgresql: the frontier on PostgreSQL.
sqlite: the frontier on SQLite.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from crawlerd.core.driver import NEEDED, has_driver
from crawlerd.core.errors import ConfigurationError, FrontierError
from crawlerd.frontier.reports import BackedUp, Checked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from crawlerd.frontier.contract import Frontier
    from crawlerd.frontier.postgresql.session import Place
    from crawlerd.frontier.reader_contract import FrontierReader


MARK = "frontier.id"  # a file: says that there was a frontier, and which one
_urls: dict[Path, Callable[[], str]] = {}


def locate(state_dir: Path, url: Callable[[], str]) -> None:
    """Sets which database the frontier of a state directory is in, as the configuration says. Call it first.

    url: returns the URL of a PostgreSQL database; "" for a file in the state directory. Called when it is needed: who
        asks the daemon alone need not know it.
    """
    _urls[state_dir] = url


def _server(state_dir: Path) -> Place | None:
    """None for a frontier in a file. Raises ConfigurationError if the driver for PostgreSQL is not installed."""
    locating = _urls.get(state_dir)
    url = locating() if locating else ""
    if not url:
        return None
    if not has_driver():
        raise ConfigurationError([f"the frontier is in PostgreSQL: {NEEDED}"])
    from crawlerd.frontier.postgresql.session import Place

    return Place(url)


def open_frontier(state_dir: Path, *, now: float) -> Frontier:
    """Opens the frontier for writing, and creates or migrates it as needed. There must be one writer: hold the lock of
    the state directory (`crawlerd.frontier.lock.StateLock`).

    now: Unix seconds; due times and charges too far after it come from a wrong clock, and are corrected.

    Raises FrontierTooNew for a frontier of a newer crawlerd, which is not changed; FrontierRefused when it is not the
    one that was used here, or is gone; StorageFailed and FrontierError for the rest.
    """
    if place := _server(state_dir):
        from crawlerd.frontier.postgresql.frontier import PostgresFrontier

        return PostgresFrontier(place, now=now, mark=state_dir / MARK)
    from crawlerd.frontier.sqlite.frontier import SqliteFrontier

    return SqliteFrontier(state_dir, now=now)


def open_reader(state_dir: Path) -> FrontierReader | None:
    """Opens the frontier for reading, also while a daemon uses it. None when there is no frontier there yet.

    Raises FrontierError for a frontier of an older crawlerd, FrontierTooNew for one of a newer.
    """
    if place := _server(state_dir):
        from crawlerd.frontier.postgresql.reader import PostgresReader

        return PostgresReader.open(place)
    from crawlerd.frontier.sqlite.reader import SqliteReader

    return SqliteReader.open(state_dir)


def database_version() -> str:
    """Returns the version of the SQLite library."""
    from crawlerd.frontier.sqlite.database import library_version

    return library_version()


def database_name(state_dir: Path) -> str:
    """Returns what the frontier is in, for people."""
    place = _server(state_dir)
    return f"SQLite {database_version()}" if place is None else str(place)


def files(state_dir: Path) -> dict[str, Path]:
    """The files whose size a metric shows: `frontier`, the database, and `frontier_wal`, its write-ahead log."""
    if _server(state_dir):
        return {}
    from crawlerd.frontier.sqlite.database import FILE_NAME

    return {"frontier": state_dir / FILE_NAME, "frontier_wal": state_dir / f"{FILE_NAME}-wal"}


def check(state_dir: Path, *, full: bool = False) -> Checked:
    """Checks every invariant of the frontier. Changes nothing, and works while a daemon runs.

    full: also compare every index with its table.
    Raises FrontierError when there is no frontier, or it cannot be read at all.
    """
    if place := _server(state_dir):
        from crawlerd.frontier.postgresql.check import check as check_server

        return Checked(str(place), check_server(place))
    from crawlerd.frontier.sqlite.database import FILE_NAME

    return check_file(state_dir / FILE_NAME, full=full)


def check_file(file: Path, *, full: bool = False) -> Checked:
    """Like `check`, for a file that `backup` has made."""
    from crawlerd.frontier.sqlite import check as checking

    return Checked(str(file), checking.check(file, full=full))


def vacuum(state_dir: Path) -> tuple[int, int]:
    """Gives the space of finished tasks back to the disk. Returns the size before and after, in bytes.

    Raises FrontierLocked while a daemon runs, and StorageFailed when the disk lacks the space for the copy that is
    made meanwhile. Nothing has changed then.
    """
    if place := _server(state_dir):
        from crawlerd.frontier.postgresql import maintenance

        return maintenance.vacuum(place, state_dir)
    from crawlerd.frontier.sqlite import vacuum as vacuuming

    return vacuuming.vacuum(state_dir)


def backup(state_dir: Path, target: Path, *, force: bool = False) -> int:
    """Copies the frontier as it is at this moment into a file, also while a daemon runs. Returns its size in bytes.

    force: replace an existing file.
    The file appears whole and durable, or not at all. Raises FrontierError when the target is not allowed, such as an
    existing file without `force`, and StorageFailed on a full disk.
    """
    if place := _server(state_dir):
        from crawlerd.frontier.postgresql.maintenance import refuse_backup

        refuse_backup(place)
    from crawlerd.frontier.sqlite import backup as copying

    return copying.backup(state_dir, target, force=force)


def note_backup(state_dir: Path) -> None:
    """Notes that a backup was made now: of the frontier alone, or of all, once it is whole and checked."""
    from crawlerd.frontier.backup_note import note

    note(state_dir)


def copy(state_dir: Path, *, to_server: bool) -> int:
    """Copies the frontier from its file into PostgreSQL, or back. Returns how many rows. The source stays as it is.

    Raises FrontierLocked while a daemon runs; FrontierError without a URL, where the target has a frontier already, and
    where the source or the copy breaks an invariant: nothing has changed then.
    """
    place = _server(state_dir)
    if place is None:
        raise FrontierError('set daemon.frontier first: frontier = { env = "FRONTIER_URL" }')
    from crawlerd.frontier import moving

    return (moving.to_server if to_server else moving.to_file)(state_dir, place)


def last_backup(state_dir: Path) -> float | None:
    """When the last backup was made, in Unix seconds; None when there was none yet."""
    from crawlerd.frontier.backup_note import noted

    return noted(state_dir)


def restore(state_dir: Path, file: Path) -> Path | None:
    """Replaces the frontier by a copy of a backup. Returns the file to which the old frontier was moved, if any.

    When it is killed, it can be repeated. Raises FrontierLocked while a daemon runs, FrontierError for a file that is
    damaged or not a frontier, and StorageFailed on a full disk. Nothing has changed then.
    """
    _refuse_restore(state_dir)
    from crawlerd.frontier.sqlite import restore as restoring

    return restoring.restore(state_dir, file)


def backed_up(file: Path) -> BackedUp:
    """Describes the content of a file that `backup` has made. Raises FrontierError when it cannot be read or was made
    by an older crawlerd, FrontierTooNew when it was made by a newer one."""
    from crawlerd.frontier.sqlite import backup as copying

    return copying.backed_up(file)


def _refuse_restore(state_dir: Path) -> None:
    if place := _server(state_dir):
        from crawlerd.frontier.postgresql.maintenance import refuse_restore

        refuse_restore(place)


@contextmanager
def restoring(state_dir: Path, source: Path, file: Path) -> Iterator[bool]:
    """A block in which the caller puts the sinks of a backup in place; at its end, the frontier of the backup is put in
    place as well. In the block the lock is held, and nothing can be started in the state directory, even after a crash.
    An error that leaves the block changes nothing.

    source: the whole backup, named in messages.
    file: the frontier in it.
    Yields whether an earlier restore of the same backup was interrupted here, so that a part of it is in place already.
    Raises FrontierLocked while a daemon runs, and FrontierError when there is a frontier, or a part of another backup.
    """
    _refuse_restore(state_dir)
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
                f"{there} exists, and a restore does not replace an existing frontier: move {state_dir} away"
            )
        putting.begin_restoring(state_dir, source)
        try:
            yield before is not None
            putting.put_in_place(state_dir, file)
        except Exception:
            putting.take_away(state_dir)
            raise
        putting.end_restoring(state_dir)


def begin_new(state_dir: Path, *, force: bool = False) -> Path | str | None:
    """Makes the next start begin with an empty frontier. Returns the file to which the old frontier was moved, if any.

    force: also when the old frontier is usable.
    Raises FrontierLocked while a daemon runs, and FrontierError when the old frontier is usable and `force` is not set.
    """
    if place := _server(state_dir):
        from crawlerd.frontier.postgresql import maintenance

        return maintenance.begin_new(place, state_dir, state_dir / MARK, force=force)
    from crawlerd.frontier.sqlite import restore as restoring

    return restoring.begin_new(state_dir, force=force)
