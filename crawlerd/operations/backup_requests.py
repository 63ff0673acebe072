"""A backup that a running daemon is asked for: it goes on after the answer."""

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
from crawlerd.operations.problem import Changed, Problem, Refused

if TYPE_CHECKING:
    from crawlerd.engine.engine import Engine

log = logging.getLogger(__name__)

MOST_PATH = 4_000  # characters


class BackupRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    path: absolute: of the new directory; with `keep`, of one that holds several, each named by its time.
    keep: how many the directory holds at most; older ones are removed.
    """

    path: Annotated[str, msgspec.Meta(max_length=MOST_PATH)]
    keep: Annotated[int, msgspec.Meta(ge=1, le=10_000)] | None = None


class BackupProgress(msgspec.Struct, kw_only=True):
    """
    by: who has asked for it.
    began_at, ended_at: Unix seconds; None while it is under way.
    made: None while it is under way, or when it has failed.
    error: why it has failed.
    """

    path: str
    by: str
    began_at: float
    ended_at: float | None = None
    made: MadeBackup | None = None
    error: str | None = None


def begun(engine: Engine, request: BackupRequest, by: str, now: float) -> BackupProgress:
    """Refused for a path that is none, Changed while another backup is under way. now: Unix seconds."""
    path = Path(request.path)
    if not path.is_absolute() or not request.path.isprintable():
        raise Refused("path: must be absolute, such as /var/backups/crawlerd")
    if engine.settings.file is None:
        raise Refused("this crawlerd has no configuration file, of which a backup would be made")
    command = [sys.executable, "-P", "-m", "crawlerd", "--config", str(engine.settings.file), "backup", str(path)]
    command += [] if request.keep is None else ["--keep", str(request.keep)]
    told = BackupProgress(path=request.path, by=by, began_at=now)

    def work() -> None:
        try:
            _back_up([*command, "--json"], told)
        finally:
            told.ended_at = time.time()

    if not engine.backups.begin(told, work):
        raise Changed("another backup is under way: wait for its end, then say it again")
    engine.runs.with_frontier(lambda frontier: frontier.note_act(Act(now, by, "backup", request.path, "", 1)))
    return told


def _back_up(command: list[str], told: BackupProgress) -> None:
    """In a process of its own, as the command does: what one process opens twice, it may unlock twice."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)  # noqa: S603 - ourselves
        if done.returncode == 0:
            told.made = msgspec.json.decode(done.stdout, type=MadeBackup)
        else:
            told.error = msgspec.json.decode(done.stdout, type=Problem).detail
    except OSError as error:
        told.error = f"no process can be started for it: {error.strerror}"
    except msgspec.DecodeError:
        told.error = f"its process has ended with {done.returncode}; see the daemon's log"
        log.error("the backup %s has failed: %s", told.path, done.stderr[-1000:].decode(errors="replace"))
