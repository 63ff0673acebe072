"""How a command prints, as its options --json, --jsonl, --quiet and --no-progress say."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TextIO


@dataclass
class Modes:
    """Of the command that this process is."""

    # stdout gets one JSON value, whatever happens
    json: bool = False
    # ... or one a line, of a list
    jsonl: bool = False
    # nothing but results that were asked for, and errors
    quiet: bool = False
    # progress on stderr
    progress: bool = True
    # stdout is for records: what else there is goes to stderr
    records: bool = False
    # there was a result in JSON already
    printed: bool = False
    # where results go, also while a source that prints is kept off it; None for sys.stdout
    stdout: TextIO | None = None

    @property
    def shows_progress(self) -> bool:
        return self.progress and not self.quiet

    @property
    def machine(self) -> bool:
        """Whether a program reads stdout."""
        return self.json or self.jsonl


modes = Modes()


def begin(arguments: list[str]) -> None:
    """Before the arguments are read, which may fail: whether a program is told so is known from their text alone."""
    words = arguments[: arguments.index("--")] if "--" in arguments else arguments
    modes.__init__(json="--json" in words, jsonl="--jsonl" in words, stdout=sys.stdout)  # type: ignore[misc] # as it was at the start
