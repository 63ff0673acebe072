"""How commands print: what an API, a file or another program says is shown, and never obeyed by the terminal."""

from __future__ import annotations

import os
import re
import sys
from typing import TextIO

import typer

from crawlerd.cli.modes import modes
from crawlerd.core.redaction import shown

# In JSON that is valid already: DEL, the second set of control characters, and what turns the direction of text.
_OBEYED = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def say(text: str = "", *, error: bool = False) -> None:
    """Prints one line, to stderr if it is an error."""
    _print(shown(text), error=error)


def say_json(text: bytes | str, *, error: bool = False) -> None:
    """Prints JSON, which may have several lines, to stderr if it is not what stdout is for. What a terminal would obey
    is escaped."""
    words = text.decode() if isinstance(text, bytes) else text
    _print(_OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", words), error=error, file=modes.stdout)


def _print(text: str, *, error: bool = False, file: TextIO | None = None) -> None:
    """Ends the command when it cannot be written, unless nobody reads it any more, which typer sees to."""
    try:
        typer.echo(text, None if error else file, err=error)
    except BrokenPipeError:
        raise
    except OSError as reason:
        from crawlerd.cli.exits import ExitCode  # which prints by what is here

        stream = sys.stderr if error else file or sys.stdout
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # Python writes the rest of it at the end
        if not error:
            say(f"crawlerd: cannot write what was asked for: {reason.strerror}", error=True)
        raise SystemExit(ExitCode.DISK) from None


closed: set[str] = set()  # standard streams that the command was started without


def open_standard_streams() -> None:
    """Those that are closed lead nowhere: otherwise, the next file that is opened gets the number, and what is printed
    goes into it."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            closed.add(name)
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115 - for good
