"""`crawlerd inbox`: lists the items that other programs have put there and that are not tasks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from crawlerd.cli.answers import tell_list
from crawlerd.cli.context import config_path, read_settings, reader_of
from crawlerd.cli.exits import exit_codes
from crawlerd.cli.tables import fitted, short_time, terminal_width
from crawlerd.cli.terminal import say
from crawlerd.core.redaction import shown

if TYPE_CHECKING:
    from crawlerd.operations.submitting import InboxReport


def inbox(
    context: typer.Context,
    limit: Annotated[int, typer.Option(help="Maximum number to list.", min=1, max=1_000)] = 20,
) -> None:
    """List the rejected items of the inbox, the newest first, each with the reason: they are not tasks.

    Rejected items stay in the queue as failed. `crawlerd status` shows whether the inbox can be used.
    """
    from crawlerd.operations.submitting import inbox_report

    with exit_codes():
        settings = read_settings(config_path(context), secrets=False)
        with reader_of(settings.daemon.state_dir) as reader:
            found = inbox_report(settings, reader, limit)
        tell_list(found, found.rejections, _print)


def _print(found: InboxReport) -> None:
    where = f"{found.path}, for import {found.import_name}" if found.path else "not configured"
    items = "1 item was" if found.rejected == 1 else f"{found.rejected:,} items were"
    say(shown(f"inbox: {where}; {items} rejected"))
    rows: list[tuple[str, ...]] = [("rejected", "item", "reason", "item")]
    now = time.time()
    rows += [(short_time(each.at, now), str(each.item), each.reason, each.text) for each in found.rejections]
    if found.rejections:
        for line in fitted(rows, terminal_width(), elastic=(2, 3)):
            say(line)
