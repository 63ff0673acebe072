"""Makes a backup of everything that crawlerd keeps, while it runs or not: the frontier first, then each sink.

A sink may be ahead of its frontier, as after a crash: work that is done again changes nothing in it. But records that
the frontier believes to be written, and that the sink lacks, would be missing for good. So the sinks are copied after
the frontier.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from crawlerd.core.errors import CrawlerdError, FrontierError, StorageFailed
from crawlerd.core.version import __version__
from crawlerd.files.folders import appearing
from crawlerd.files.making import make_directory, new_file
from crawlerd.frontier import backed_up, backup, check_file, note_backup
from crawlerd.operations.backup_manifest import FRONTIER, NAME, Manifest, SavedSink, backups_in
from crawlerd.sinks.saving import check_saved, save

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from crawlerd.config.load import Settings
    from crawlerd.core.configuration import SinkSpec

TIME = re.compile(r"\d{8}T\d{6}Z")  # the name of a backup made with `keep`


class MadeBackup(msgspec.Struct, frozen=True, kw_only=True):
    """A backup that was made.

    path: its directory.
    bytes: its size.
    sinks: the names of the sinks in it.
    left_out: sinks that are not in it, by name, and why.
    removed: older backups that were removed.
    """

    path: str
    bytes: int
    sinks: list[str]
    left_out: dict[str, str]
    removed: list[str]


def back_up(settings: Settings, target: Path, *, keep: int | None = None, now: float) -> MadeBackup:
    """Copies the frontier and all configured sinks into a directory. It appears complete, durable and checked, or not
    at all.

    Raises FrontierError or SinkError, also if the name is taken; StorageFailed if the disk is full.

    keep: `target` holds backups, each in a directory named by its time; keep at most this many.
    now: Unix seconds.
    """
    target = target.absolute()
    path = target if keep is None else target / datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    _look(settings, target, path)
    with _failures(path):
        if keep is not None:
            make_directory(target, 0o700)
        with appearing(path) as part:
            left_out = _copy(settings, part)
            manifest = _manifest(settings, part, left_out)
            check_backup(part, manifest)
            with os.fdopen(new_file(part / NAME, 0o600), "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
        note_backup(settings.daemon.state_dir)
    return MadeBackup(
        path=str(path),
        bytes=sum(each.stat().st_size for each in path.rglob("*") if each.is_file()),
        sinks=[name for sink in manifest.sinks for name in sink.names],
        left_out=left_out,
        removed=[] if keep is None else _remove(target, keep),
    )


def databases(settings: Settings) -> dict[str, list[SinkSpec]]:
    """The configured sinks by database; several may share one."""
    found: dict[str, list[SinkSpec]] = {}
    for spec in settings.sinks.values():
        if spec.beside is None:  # leaves out pairs, whose sinks have entries of their own
            found.setdefault(os.path.realpath(spec.database), []).append(spec)
    return found


def _look(settings: Settings, target: Path, path: Path) -> None:
    """Checks that the backup can be made, before anything is copied, which may take long."""
    state = settings.daemon.state_dir.resolve()
    if state in (target.resolve(), *target.resolve().parents):
        raise FrontierError(f"{target} is in the state directory, where only crawlerd's own files may be")
    if os.path.lexists(path) and not (path.is_dir() and not path.is_symlink() and not any(path.iterdir())):
        raise FrontierError(f"{path} exists already: choose another name; with --keep, one directory holds several")


def _copy(settings: Settings, part: Path) -> dict[str, str]:
    """Copies everything. Returns the sinks that are left out, by name, and why."""
    backup(settings.daemon.state_dir, part / FRONTIER)
    left_out = {}
    (part / "sinks").mkdir(0o700)
    for specs in databases(settings).values():
        spec = specs[0]
        if spec.type == "stdout":
            left_out[spec.name] = "it writes to stdout, and keeps nothing"
        elif spec.type == "postgresql":
            left_out[spec.name] = f"it is in PostgreSQL; after this backup, run pg_dump --schema={spec.schema}"
        elif not spec.database.exists():
            left_out |= {each.name: "nothing was imported into it yet" for each in specs}
        else:
            (part / "sinks" / spec.name).mkdir(0o700)
            save(spec, part / "sinks" / spec.name)
    return left_out


def _manifest(settings: Settings, part: Path, left_out: dict[str, str]) -> Manifest:
    frontier = backed_up(part / FRONTIER)
    saved = [
        SavedSink(names=[each.name for each in specs], type=specs[0].type, folder=f"sinks/{specs[0].name}")
        for specs in databases(settings).values()
        if specs[0].name not in left_out
    ]
    return Manifest(
        crawlerd=__version__,
        made_at=(part / FRONTIER).stat().st_mtime,
        identity=frontier.identity,
        commits=frontier.commits,
        sinks=saved,
    )


def check_backup(backup: Path, manifest: Manifest) -> None:
    """Raises FrontierError or SinkError if the contents of a backup are damaged, or do not belong together."""
    for each in backup.rglob("*"):
        if not (each.is_file() or each.is_dir()):  # opening a pipe would block
            raise FrontierError(f"{each} is not a file: use another backup")
    _, broken = check_file(backup / FRONTIER)
    if broken:
        raise FrontierError(f"{backup / FRONTIER} is not sound: {broken[0]}; see `crawlerd frontier check`")
    frontier = backed_up(backup / FRONTIER)
    if (frontier.identity, frontier.commits) != (manifest.identity, manifest.commits):
        raise FrontierError(f"{backup / FRONTIER} is not the one that {backup / NAME} was made for: use another backup")
    for sink in manifest.sinks:
        check_saved(backup / sink.folder, frontier.identity, frontier.sinks)


def _remove(folder: Path, keep: int) -> list[str]:
    """Removes old backups. The file that describes a backup goes first, so that one half removed is no longer a backup.
    Files that people have put there under other names stay."""
    old = [each for each in backups_in(folder) if TIME.fullmatch(each.name) and not each.is_symlink()][:-keep]
    for each in old:
        (each / NAME).unlink()
        shutil.rmtree(each)
    return [str(each) for each in old]


@contextmanager
def _failures(path: Path) -> Iterator[None]:
    try:
        yield
    except CrawlerdError:
        raise
    except OSError as error:
        match error.errno:
            case errno.ENOSPC | errno.EDQUOT:
                raise StorageFailed(f"the disk of {path} is full", full=True) from None
            case errno.EAGAIN:
                raise FrontierError(f"another backup is writing {path}: wait for its end") from None
            case errno.EEXIST | errno.ENOTEMPTY:
                raise FrontierError(f"{path} exists already: choose another name") from None
        raise FrontierError(f"cannot write {path}: {error.strerror}") from None
