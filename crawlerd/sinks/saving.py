"""Copies whole sinks into a backup, and back."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from crawlerd.files.folders import sync_folder
from crawlerd.files.making import PRIVATE_FILE, make_directory, new_part
from crawlerd.sink import SinkError
from crawlerd.sinks.file_errors import directory_mode, file_failure, way_to
from crawlerd.sinks.sqlite import marks
from crawlerd.sinks.sqlite.check import check
from crawlerd.sinks.sqlite.copying import copy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import apsw

    from crawlerd.core.configuration import SinkSpec

DATABASE, FILES = "sink.db", "files"  # of a saved sink


def save(spec: SinkSpec, folder: Path) -> None:
    """Copies a sink, as it is at one moment, into an empty directory. Raises SinkError; StorageFailed if the disk is
    full."""
    copy(spec.database, folder / DATABASE, mode=PRIVATE_FILE, force=False)
    if spec.type != "jsonl":
        return
    from crawlerd.sinks.jsonl import published

    try:
        (folder / FILES).mkdir()
        for file in published(spec.path, folder / DATABASE):
            _copy_file(file, folder / FILES / file.name, PRIVATE_FILE)
    except OSError as error:
        raise file_failure(folder, error, directory=True) from None


def check_saved(folder: Path, frontier: str, noted: dict[str, int]) -> None:
    """Raises SinkError if a saved sink is damaged, or older than the frontier that was saved with it.

    frontier: its identity.
    noted: the numbers of the sinks' last commits that the frontier knows, by identity of the sink.
    """
    if found := check(folder / DATABASE):
        raise SinkError(f"{folder / DATABASE}: {found[0]}")
    identity, number = marks.mark_of(folder / DATABASE, frontier)
    if number < noted.get(identity, 0):
        raise SinkError(
            f"{folder / DATABASE} is older than the frontier of the backup: its last commit is {number:,}, "
            f"but the frontier knows of {noted[identity]:,}"
        )


def in_the_way(spec: SinkSpec) -> Iterator[Path]:
    """Files that are in the way of a sink. Raises SinkError if its directory cannot be used."""
    for suffix in ("", "-wal", "-journal"):
        file = spec.database.with_name(f"{spec.database.name}{suffix}")
        if os.path.lexists(file):
            yield file
    folder = spec.path.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        raise SinkError(f"cannot make {spec.path}: {way_to(spec.path, directory=spec.path != spec.database)}")
    if spec.path != spec.database and os.path.lexists(spec.path):
        if not spec.path.is_dir():
            yield spec.path
        else:
            yield from (each for each in spec.path.iterdir() if not each.name.startswith(spec.database.name))


def place(spec: SinkSpec, folder: Path, frontier: str, commits: int) -> None:
    """Puts a copy of a saved sink in its place, completely and durably, with its configured permissions. Raises
    SinkError; StorageFailed if the disk is full.

    frontier, commits: identity of the frontier that belongs to it, and the number of its last commit.
    """

    def fit(database: apsw.Connection) -> None:
        marks.call_back(database, frontier, commits)

    try:
        if spec.path != spec.database:
            make_directory(spec.path, directory_mode(spec.mode))
        if (folder / FILES).is_dir():
            for file in sorted((folder / FILES).iterdir()):
                _copy_file(file, spec.path / file.name, spec.mode)
            sync_folder(spec.path)
    except OSError as error:
        raise file_failure(spec.path, error, directory=True) from None
    copy(folder / DATABASE, spec.database, mode=spec.mode, force=True, change=fit)


def remove(spec: SinkSpec, folder: Path) -> None:
    """Removes what `place` has put there."""
    spec.database.unlink(missing_ok=True)
    if (folder / FILES).is_dir():
        for file in (folder / FILES).iterdir():
            (spec.path / file.name).unlink(missing_ok=True)


def _copy_file(source: Path, target: Path, mode: int) -> None:
    """Copies a file durably, completely or not at all; nothing if a program has taken the file away."""
    try:
        read = source.open("rb")
    except FileNotFoundError:
        return
    with read:
        fd, part = new_part(target, mode)
        try:
            with os.fdopen(fd, "wb") as written:
                shutil.copyfileobj(read, written, 1 << 20)
                written.flush()
                os.fsync(fd)
            part.replace(target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
