"""`crawlerd demo --page`: a daemon that repeats the demo's imports, so that its page has something to show."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING

from crawlerd.cli.exits import ExitCode

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

    from rich.console import Console

EVERY = "1m"  # how often an import starts
START_SECONDS = 60.0  # seconds within which the daemon must answer
END_SECONDS = 30.0  # seconds that it gets to end cleanly


def free_address() -> str:
    """A free port on this machine, as HOST:PORT."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return f"127.0.0.1:{found.getsockname()[1]}"


def serve(config: Path, address: str, console: Console) -> ExitCode:
    """Runs the daemon until Ctrl-C or SIGTERM."""
    before = signal.signal(signal.SIGTERM, _end)
    command = [sys.executable, "-P", "-m", "crawlerd", "-c", str(config), "--quiet", "run"]
    process = subprocess.Popen(command)  # noqa: S603 - our own interpreter and module
    try:
        if not _answers(address, process):
            return ExitCode.FAILED
        console.print(
            f"\nThe page: http://{address}/\nA daemon imports again every {EVERY}. Ctrl-C ends it.",
            highlight=False,
            soft_wrap=True,
        )
        process.wait()
        return ExitCode.DONE if process.returncode == 0 else ExitCode.FAILED
    except KeyboardInterrupt:
        return ExitCode.DONE
    finally:
        process.terminate()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
        signal.signal(signal.SIGTERM, before)


def _end(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _answers(address: str, process: subprocess.Popen[bytes]) -> bool:
    """Whether the daemon answers in time. False too if it has ended."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.1)
            return False
        with suppress(OSError, HTTPException), closing(HTTPConnection(address, timeout=2.0)) as connection:
            connection.request("GET", "/healthz")
            if connection.getresponse().status == 200:
                return True
    return False
