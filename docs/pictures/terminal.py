"""Runs `crawlerd demo --kill` on a terminal of its own, and writes what stands there in the end to demo.svg.

It takes under a minute: `python docs/pictures/terminal.py`.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

from rich.console import Console
from rich.text import Text

COLUMNS, LINES = 104, 50
PICTURE = Path(__file__).with_name("demo.svg")
COMMAND = "crawlerd demo --kill"


def screen(written: str) -> str:
    """The lines that a terminal shows in the end. It knows what rich writes: colors, and lines that are replaced."""
    lines, row = [""], 0
    for piece in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r\n|\n|\r|[^\x1b\r\n]+", written):
        if piece in ("\n", "\r\n"):
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif moved := re.fullmatch(r"\x1b\[(\d*)A", piece):
            row = max(0, row - int(moved[1] or 1))
        elif piece == "\x1b[2K":
            lines[row] = ""
        elif not piece.startswith("\x1b") or piece.endswith("m"):
            lines[row] += piece.replace("\r", "")
    return "\n".join(lines).rstrip("\n")


def run() -> str:
    """What the command writes to its terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", LINES, COLUMNS, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS)}
    with tempfile.TemporaryDirectory() as folder:
        command = [str(Path(sys.executable).with_name("crawlerd")), *COMMAND.split()[1:]]
        with subprocess.Popen(  # noqa: S603 - our own command
            command, cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
        ) as process:
            os.close(theirs)
            written = b""
            try:
                while data := os.read(ours, 65536):
                    written += data
            except OSError:  # EIO: nobody writes any more
                pass
        os.close(ours)
        if process.returncode:
            raise SystemExit(f"{COMMAND} has ended with {process.returncode}:\n{written.decode()}")
    return written.decode()


def picture(shown: str) -> str:
    """An SVG of it."""
    console = Console(record=True, width=COLUMNS, file=open(os.devnull, "w"), force_terminal=True)  # noqa: SIM115
    console.print(Text.from_ansi(f"$ {COMMAND}\n{shown}"))
    return console.export_svg(title="crawlerd", unique_id="crawlerd")


if __name__ == "__main__":
    PICTURE.write_text(picture(screen(run())))
