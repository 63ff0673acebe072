"""How a benchmark is called, and what it prints: when and on what it ran, and tables."""

from __future__ import annotations

import os
import platform
import statistics
import time
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import apsw

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence


def parsed(parser: argparse.ArgumentParser, **smoke: Any) -> argparse.Namespace:
    """The command line's options, and `--smoke`, which sets those in `smoke`: sizes so small that it takes seconds."""
    parser.add_argument("--smoke", action="store_true", help="at tiny sizes, in seconds: says whether it runs, no more")
    args = parser.parse_args()
    if args.smoke:
        vars(args).update(smoke)
    return args


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A markdown table, numbers to the right. There must be rows: a benchmark that measured nothing has failed."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    assert len(cells) > 1, f"nothing was measured for the table {header}"
    widths = [max(2, *map(len, column)) for column in zip(*cells, strict=True)]
    first, *others = widths
    lines = [
        " | ".join([row[0].ljust(first), *(cell.rjust(width) for cell, width in zip(row[1:], others, strict=True))])
        for row in cells
    ]
    lines.insert(1, " | ".join(["-" * first, *("-" * (width - 1) + ":" for width in others)]))
    return "\n".join(f"| {line} |" for line in lines)


def spread(values: Iterable[float], form: str) -> str:
    """Median (least-most)."""
    all_ = list(values)
    return f"{statistics.median(all_):{form}} ({min(all_):{form}}-{max(all_):{form}})"


def about(*packages: str) -> str:
    """When, on what, with which versions; and how busy the machine was before."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("crawlerd", *packages))
    load = os.getloadavg()[0]
    return (
        f"{time.strftime('%Y-%m-%d %H:%M')}, {len(os.sched_getaffinity(0))} cores, load {load:.1f} before, "
        f"Python {platform.python_version()}, SQLite {apsw.sqlite_lib_version()}, {versions}"
    )
