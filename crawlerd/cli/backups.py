"""`crawlerd backup` and `crawlerd restore`: copies of everything that crawlerd keeps."""

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
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The directory to create.", autocompletion=completion.files)
    ],
    keep: Annotated[
        int | None,
        typer.Option(
            "--keep",
            min=1,
            max=10_000,
            help="Create the backup inside DIR, named by its time, and remove all but the newest N.",
        ),
    ] = None,
) -> None:
    """Copy the frontier and all sinks into a directory and check the copies, whether the daemon runs or not.

    If the backup fails, DIR does not appear. The configuration and keys are not part of a backup.
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
        typer.Argument(metavar="DIR", help="A backup made by `crawlerd backup`.", autocompletion=completion.files),
    ],
) -> None:
    """Restore the frontier and the sinks of a backup to their configured places. No daemon may run, and no files may be
    there yet.

    Work done since the backup is done again. If the command is interrupted, repeat it: until it has ended, nothing
    starts.
    """
    from crawlerd.operations.putting_back import put_back

    with exit_codes():
        done = put_back(read_settings(config_path(context), secrets=False), folder)
        confirm(
            done,
            f"the frontier of {local_time(done.made_at)} is in {done.state_dir}",
            *(f"sink {name} is in {path}" for name, path in done.sinks.items()),
            *(f"sink {name} is not in the backup: the next runs of its imports are full runs" for name in done.empty),
            "quota used since the backup is unknown: if an API has a daily quota, wait until its next day",
        )
