"""Columns, times and durations, as commands print them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from crawlerd.cli.terminal import say
from crawlerd.core.redaction import shown

if TYPE_CHECKING:
    from collections.abc import Sequence


def print_columns(rows: Sequence[tuple[str, ...]]) -> None:
    """An empty line, then the rows, each column as wide as its widest cell."""
    printed = [[shown(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*printed, strict=True)]
    say()
    for row in printed:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def local_time(seconds: float) -> str:
    """Unix seconds as the time of this machine's zone."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def duration(seconds: float) -> str:
    """Such as 0:07, or 1:02:30."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
