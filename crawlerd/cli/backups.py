"""`crawlerd backup` and `crawlerd restore`: all that crawlerd keeps, as one."""

from __future__ import annotations

import time
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from crawlerd.cli import completion
from crawlerd.cli.answers import confirm
from crawlerd.cli.context import config_path, read_settings
from crawlerd.cli.exits import exit_codes
from crawlerd.cli.tables import local_time


def backup(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The new directory.", autocompletion=completion.files)],
    keep: Annotated[
        int | None,
        typer.Option(
            "--keep", min=1, max=10_000, help="Make it in DIR, named by its time, and remove all but the newest N."
        ),
    ] = None,
) -> None:
    """Copy the frontier and all sinks into a directory, checked, whether the daemon runs or not.

    DIR appears whole or not at all. The configuration and keys are not in it.
    """
    from crawlerd.operations.backing_up import back_up

    with exit_codes():
        settings = read_settings(config_path(context), secrets=False)
        made = back_up(settings, folder, keep=keep, now=time.time())
        what = "".join(f", sink {each}" for each in made.sinks)
        confirm(
            made,
            f"{made.path}: {made.bytes / 1e6:,.1f} MB; the frontier{what}",
            *(f"sink {name} is not in it: {why}" for name, why in made.left_out.items()),
            *(f"removed {each}" for each in made.removed),
        )


def restore(
    context: typer.Context,
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="A backup that `crawlerd backup` has made.", autocompletion=completion.files
        ),
    ],
) -> None:
    """Put the frontier and the sinks of a backup where the configuration has them, where nothing is; not while a
    daemon runs.

    What was done since the backup is done again. Cut off at any point, it must be repeated: nothing starts before.
    """
    from crawlerd.operations.putting_back import put_back

    with exit_codes():
        done = put_back(read_settings(config_path(context), secrets=False), folder)
        confirm(
            done,
            f"the frontier of {local_time(done.made_at)} is in {done.state_dir}",
            *(f"sink {name} is in {path}" for name, path in done.sinks.items()),
            *(f"sink {name} is not in the backup: its imports read all there is next" for name in done.empty),
            "what was charged to quotas since then is not known: where an API counts by the day, wait for its next day",
        )
