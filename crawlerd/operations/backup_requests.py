"""Backups that a running daemon makes on request. It answers before they are finished."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec

from crawlerd.frontier.reports import Act
from crawlerd.operations.backing_up import MadeBackup
from crawlerd.operations.problem import Problem, Refused, UnderWay

if TYPE_CHECKING:
    from crawlerd.engine.engine import Engine

log = logging.getLogger(__name__)

MOST_PATH = 4_000  # characters


class BackupRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request for a backup.

    path: an absolute path: the directory to create; with `keep`, a directory that holds several backups, each named by
        its time.
    keep: how many backups the directory holds at most; older ones are removed.
    """

    path: Annotated[str, msgspec.Meta(max_length=MOST_PATH)]
    keep: Annotated[int, msgspec.Meta(ge=1, le=10_000)] | None = None


class BackupProgress(msgspec.Struct, kw_only=True):
    """The progress of a backup.

    by: who has requested it.
    began_at, ended_at: Unix seconds; ended_at is None while it is under way.
    made: None while it is under way, or if it has failed.
    error: why it has failed.
    """

    path: str
    by: str
    began_at: float
    ended_at: float | None = None
    made: MadeBackup | None = None
    error: str | None = None


def begun(engine: Engine, request: BackupRequest, by: str, now: float) -> BackupProgress:
    """Starts a backup. Raises Refused for an invalid path, and UnderWay while another backup is under way.

    now: Unix seconds.
    """
    path = Path(request.path)
    if not path.is_absolute() or not request.path.isprintable():
        raise Refused("path: must be absolute, such as /var/backups/crawlerd")
    if engine.settings.file is None:
        raise Refused("this crawlerd was started without a configuration file, which a backup needs")
    command = [sys.executable, "-P", "-m", "crawlerd", "--config", str(engine.settings.file), "backup", str(path)]
    command += [] if request.keep is None else ["--keep", str(request.keep)]
    told = BackupProgress(path=request.path, by=by, began_at=now)

    def work() -> None:
        try:
            _back_up([*command, "--json"], told)
        finally:
            told.ended_at = time.time()

    if not engine.backups.begin(told, work):
        raise UnderWay("another backup is under way: wait for its end, then try again")
    engine.runs.with_frontier(lambda frontier: frontier.note_act(Act(now, by, "backup", request.path, "", 1)))
    return told


def _back_up(command: list[str], told: BackupProgress) -> None:
    """Makes the backup in a process of its own, with the command. In this process, closing a copy's file would release
    the locks on the original."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)  # noqa: S603 - ourselves
        if done.returncode == 0:
            told.made = msgspec.json.decode(done.stdout, type=MadeBackup)
        else:
            told.error = msgspec.json.decode(done.stdout, type=Problem).detail
    except OSError as error:
        told.error = f"no process can be started for it: {error.strerror}"
    except msgspec.DecodeError:
        told.error = f"its process ended with {done.returncode}; see the daemon's log"
        log.error("the backup %s has failed: %s", told.path, done.stderr[-1000:].decode(errors="replace"))
