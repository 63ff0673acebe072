"""The figures of `run show`, in 80 columns. If stdout is not a terminal, arguments are not cut."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from crawlerd.cli.tables import WIDTH, duration, local_time, print_columns, terminal_width
from crawlerd.cli.terminal import say
from crawlerd.core.redaction import cut, shown
from crawlerd.core.wording import plain_error
from crawlerd.frontier.figures import ABOUT, in_short

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crawlerd.frontier.figure_reports import RunFigures
    from crawlerd.operations.likely_end import LikelyEnd
    from crawlerd.operations.run_history import StreamLine

KIND = 32  # characters of a kind's name that are shown
COUNTS = ("new", "changed", "unchanged", "tombstoned", "skipped", "dead")
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def print_end(end: LikelyEnd | None) -> None:
    """Prints when a run that is under way will probably end."""
    if end is None:
        say("  estimated end: unknown")
        return
    say(f"  estimated end: {local_time(end.at)}, in {duration(end.at - time.time())}; about {end.tasks:,} tasks left")


def print_streams(streams: Sequence[StreamLine]) -> None:
    """Prints what the run has imported, by stream. Columns in which every value is zero are left out."""
    if not streams:
        return
    columns = [each for each in COUNTS if any(getattr(line.facts, each) for line in streams)]
    rows: list[tuple[str, ...]] = [("stream", "seen", *columns, "seen before")]
    for line in streams:
        counts = [f"{getattr(line.facts, column):,}" for column in ("seen", *columns)]
        rows.append((cut(line.stream, KIND), *counts, "" if line.before is None else f"{line.before:,}"))
    print_columns(rows)
    for line in streams:
        if note := "denied" if line.facts.denied else line.facts.reason or line.facts.note:
            _wrapped(f"  {line.stream}: ", [plain_error(note)])


def print_figures(figures: RunFigures, share: float | None) -> None:
    """Prints what the run cost, and what happened to its tasks.

    share: the share of the permitted requests that it made (1 is all); None if unknown.
    """
    if figures.answers:
        say()
        said = [f"{each.requests:,} {each.status or 'without an answer'}" for each in figures.answers]
        used = [] if share is None else [f"{share:.0%} of what the limit permits"]
        _wrapped("  requests: ", [f"{figures.requests:,}, {size(figures.received)} received", *said, *used])
    if figures.kinds:
        rows: list[tuple[str, ...]] = [("kind", "open", "done", "dead", "p50", "p95", "chain")]
        for each in figures.kinds:
            counts = (f"{each.open:,}", f"{each.done:,}", f"{each.dead:,}")
            chain = f"{each.longest_chain:,}" if each.longest_chain > 1 else ""
            rows.append((cut(each.kind, KIND), *counts, seconds(each.p50), seconds(each.p95), chain))
        print_columns(rows)
    if figures.slowest:
        slow = [(seconds(each.seconds), str(each.task), cut(each.kind, KIND)) for each in figures.slowest]
        left = (
            (terminal_width() if sys.stdout.isatty() else ABOUT + WIDTH)
            - 2 * 3
            - sum(max(len(row[column]) for row in (("slowest", "task", "kind"), *slow)) for column in range(3))
        )
        arguments = [in_short(shown(each.about), left) for each in figures.slowest]
        print_columns(
            [
                ("slowest", "task", "kind", "arguments"),
                *((*row, about) for row, about in zip(slow, arguments, strict=True)),
            ]
        )
    if figures.events:
        say()
        for event in figures.events:
            _wrapped(f"{local_time(event.at)}  ", [event.text], hanging=21)


def seconds(value: float | None) -> str:
    """A duration as text, such as 12 ms or 1.5 s."""
    if value is None:
        return ""
    if value < 0.001:
        return "<1 ms"
    if value < 0.9995:
        return f"{value * 1000:.0f} ms"
    return f"{value:.1f} s" if value < 99.95 else duration(value)


def size(count: float) -> str:
    """A number of bytes as text, such as 1.2 MiB."""
    unit = 0
    while count >= 1024 and unit < len(UNITS) - 1:
        count, unit = count / 1024, unit + 1
    return f"{count:.0f} {UNITS[unit]}" if unit == 0 else f"{count:.1f} {UNITS[unit]}"


def _wrapped(head: str, parts: list[str], hanging: int = 4) -> None:
    """Prints the parts, joined by semicolons, in lines of at most WIDTH columns."""
    line = head
    for word in shown("; ".join(parts)).split(" "):
        if len(line) + len(word) > WIDTH and line.strip():
            say(line.rstrip())
            line = " " * hanging
        line += f"{word} "
    say(line.rstrip())
