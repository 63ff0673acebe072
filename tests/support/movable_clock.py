"""A wall clock that a test sets, for the commands of an installation."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.installation import Installation

CLOCK = """
import os, time

true_time = time.time
time.time = lambda: true_time() + float(open(os.environ["CLOCK"]).read())
"""


def movable(here: Installation) -> Callable[[float], None]:
    """Sets the clock of all commands so far from the true time, in seconds."""
    (here.folder / "site").mkdir()
    (here.folder / "site" / "sitecustomize.py").write_text(CLOCK)
    file = here.folder / "clock"
    here.environment |= {"PYTHONPATH": str(here.folder / "site"), "CLOCK": str(file)}

    def move(seconds: float) -> None:
        part = file.with_suffix(".part")
        part.write_text(str(seconds))
        part.replace(file)

    move(0)
    return move
