"""Columns, times and durations, as commands print them."""

from __future__ import annotations

import shutil
import sys
from datetime import datetime
from typing import TYPE_CHECKING

from crawlerd.cli.terminal import say
from crawlerd.core.redaction import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH = 80  # columns if there is no terminal
LEAST = 8  # characters to which a column may be cut
YEAR = 365 * 86_400.0


def terminal_width() -> int:
    """The columns of the terminal at stdout."""
    return shutil.get_terminal_size((WIDTH, 0)).columns if sys.stdout.isatty() else WIDTH


def print_columns(rows: Sequence[tuple[str, ...]]) -> None:
    """An empty line, then the rows, each column as wide as its widest cell."""
    printed = [[shown(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*printed, strict=True)]
    say()
    for row in printed:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def local_time(seconds: float) -> str:
    """A time in this machine's zone.

    seconds: Unix seconds.
    """
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def duration(seconds: float) -> str:
    """A duration as text, such as 0:07, or 1:02:30."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def fitted(rows: Sequence[tuple[str, ...]], width: int, elastic: Sequence[int]) -> list[str]:
    """An empty line, then the rows, none wider than `width`. Columns that are empty below their head are left out.

    elastic: the columns that are cut if there is too little room, the last one first.
    """
    used = [number for number in range(len(rows[0])) if any(row[number] for row in rows[1:])]
    cells = [[shown(row[number]) for number in used] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for number in reversed(elastic):
        over = sum(widths) + 2 * (len(widths) - 1) - width
        if over > 0 and number in used:
            place = used.index(number)
            widths[place] = max(LEAST, widths[place] - over)
    return ["", *("  ".join(map(_cut, row, widths)).rstrip()[:width] for row in cells)]


def _cut(cell: str, width: int) -> str:
    return cell.ljust(width) if len(cell) <= width else f"{cell[: width - 1]}…"


def short_time(seconds: float, now: float) -> str:
    """A time in this machine's zone, with as much of the date as is needed.

    seconds, now: Unix seconds.
    """
    at, today = datetime.fromtimestamp(seconds).astimezone(), datetime.fromtimestamp(now).astimezone()
    if at.date() == today.date():
        return at.strftime("%H:%M:%S")
    return at.strftime("%b %d %H:%M" if abs(seconds - now) < YEAR / 2 else "%Y-%m-%d")


def short_count(count: int) -> str:
    """A number in at most six characters, up to a billion."""
    if count < 100_000:
        return f"{count:,}"
    return f"{count / 1e3:.0f}k" if count < 1e6 else f"{count / 1e6:.1f}M"


def age(seconds: float) -> str:
    """An age as text, such as "3 h"."""
    for unit, length in (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def about(seconds: float) -> str:
    """An approximate duration as text, such as "0.6 s", "31 s" or "2.4 h"."""
    for unit, length in (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1g} s"
