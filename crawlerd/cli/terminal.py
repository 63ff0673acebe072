"""How commands print. Text from an API, a file or another program is shown, but cannot control the terminal."""

from __future__ import annotations

import os
import re
import sys
from typing import TextIO

import typer

from crawlerd.cli.modes import modes
from crawlerd.core.redaction import shown

# JSON may contain these unescaped: DEL, the C1 control characters, and characters that change the direction of text.
_OBEYED = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def say(text: str = "", *, error: bool = False) -> None:
    """Prints one line, to stderr if it is an error."""
    _print(shown(text), error=error)


def say_json(text: bytes | str, *, error: bool = False) -> None:
    """Prints JSON of one or more lines on stdout, or on stderr if stdout is for records. Characters that could control
    a terminal are escaped."""
    words = text.decode() if isinstance(text, bytes) else text
    _print(_OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", words), error=error, file=modes.stdout)


def _print(text: str, *, error: bool = False, file: TextIO | None = None) -> None:
    """Writes a text. If that fails, the command ends, unless the reader is gone, which typer handles."""
    try:
        typer.echo(text, None if error else file, err=error)
    except BrokenPipeError:
        raise
    except OSError as reason:
        from crawlerd.cli.exits import ExitCode  # imported late, since that module imports this one

        stream = sys.stderr if error else file or sys.stdout
        # Python flushes the rest at exit, which must not fail again
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if not error:
            say(f"crawlerd: cannot write the output: {reason.strerror}", error=True)
        raise SystemExit(ExitCode.DISK) from None


closed: set[str] = set()  # standard streams that were closed when the command started


def open_standard_streams() -> None:
    """Opens the standard streams that are closed, to /dev/null. Otherwise the next opened file would get the number of
    one of them, and what is printed would end up in that file."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            closed.add(name)
            os.open(os.devnull, os.O_RDWR)  # the system assigns the lowest free number
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115 - for good
