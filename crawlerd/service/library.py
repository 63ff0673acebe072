"""An import as a call from Python: see `crawlerd.run_import`."""

from __future__ import annotations

import gc
import math
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from crawlerd.config.load import load, socket_path, state_dir
from crawlerd.config.problems import instead
from crawlerd.core.errors import ConfigurationError, FrontierError
from crawlerd.operations.import_report import Stopped
from crawlerd.operations.run_history import RunRequest
from crawlerd.service.control import Asked, holder
from crawlerd.service.following import report_of_runs, start_run, takes_commands, unfinished
from crawlerd.service.foreground import Patience, run_to_end
from crawlerd.service.running import running_engine
from crawlerd.sources import registry

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from crawlerd.operations.import_report import ImportReport

LOOK_SECONDS = 0.5


def run_import(
    config: str | os.PathLike[str],
    names: Sequence[str],
    *,
    full: bool,
    allow_shrink: bool,
    outage_seconds: float,
    timeout: float | None,
) -> ImportReport:
    """See `crawlerd.run_import`."""
    path, names = Path(config), list(dict.fromkeys(names))
    daemon = _daemon(path)
    settings = load(path, registry=registry, secrets=daemon is None)
    for name in names:
        if name not in settings.imports:
            raise ConfigurationError([f"there is no [imports.{name}] in {path}; {instead(name, settings.imports)}"])
    request = RunRequest(full=full, allow_shrink=allow_shrink)
    seconds = math.inf if timeout is None else timeout
    if daemon is not None:
        return _follow(daemon, names, request, seconds)
    with _garbage_as_before(), running_engine(settings, catching=False) as running:
        return run_to_end(running, names, request, patience=Patience(outage_seconds, seconds))


def _daemon(path: Path) -> Asked | None:
    """The daemon that uses the configured state directory and takes commands; None if there is none."""
    daemon = Asked(state_dir(path), socket_path(path))
    return daemon if holder(daemon) is not None and takes_commands(daemon) else None


def _follow(daemon: Asked, names: Sequence[str], request: RunRequest, seconds: float) -> ImportReport:
    until = time.monotonic() + seconds
    runs: dict[str, list[int]] = {}
    not_started: dict[str, str] = {}
    for name in names:
        try:
            runs[name] = start_run(daemon, name, request).runs
        except FrontierError as error:
            if len(names) == 1:
                raise
            not_started[name] = str(error)
    every = [run for each in runs.values() for run in each]
    while unfinished(daemon, every):
        if time.monotonic() >= until:
            return report_of_runs(daemon, runs, not_started, Stopped.TIME)
        # the daemon is another process, and does not report to us
        time.sleep(min(LOOK_SECONDS, max(0.0, until - time.monotonic())))
    return report_of_runs(daemon, runs, not_started)


@contextmanager
def _garbage_as_before() -> Iterator[None]:
    """Restores the settings of the garbage collector, which the engine changes for a process that does nothing else."""
    before = gc.get_threshold()
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
