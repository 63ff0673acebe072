"""How a command prints, from its options --json, --jsonl, --quiet and --no-progress."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TextIO


@dataclass
class Modes:
    """The output mode of the command that this process runs."""

    # stdout gets exactly one JSON value, even for an error
    json: bool = False
    # stdout gets one JSON value per line, for each item of a list
    jsonl: bool = False
    # print only results and errors
    quiet: bool = False
    # show progress on stderr
    progress: bool = True
    # stdout is for records: everything else goes to stderr
    records: bool = False
    # a JSON result was printed already
    printed: bool = False
    # where results go, even while a source's own output is kept off stdout; None for sys.stdout
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
    """Sets the mode from the raw arguments. Parsing them may fail, and that error too must be printed in the right
    mode."""
    words = arguments[: arguments.index("--")] if "--" in arguments else arguments
    modes.__init__(json="--json" in words, jsonl="--jsonl" in words, stdout=sys.stdout)  # type: ignore[misc] # as it was at the start
