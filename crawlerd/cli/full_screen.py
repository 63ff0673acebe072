"""The terminal's alternate screen, and its keys. However the command ends, the terminal is restored."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import tty
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from rich.live import Live
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import FrameType

    from rich.console import Console

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
# What terminals send for keys. Longer sequences come first, since one may begin with another.
KEYS = {
    b"\x1b[5~": "page up", b"\x1b[6~": "page down", b"\x1b[1~": "home", b"\x1b[4~": "end",
    b"\x1b[A": "up", b"\x1b[B": "down", b"\x1bOA": "up", b"\x1bOB": "down",
    b"\x1b[H": "home", b"\x1b[F": "end", b"\x1bOH": "home", b"\x1bOF": "end",
    b"\t": "tab", b" ": "space", b"q": "q", b"Q": "q", b"k": "up", b"j": "down",
}  # fmt: skip


@contextmanager
def full_screen(console: Console) -> Iterator[FullScreen]:
    """A full screen, for a `with` block. A signal that ends the command first ends the block, and then the process, as
    it would have without this."""
    screen = FullScreen(console)
    before = {number: signal.signal(number, screen.noted) for number in (*ENDING, signal.SIGTSTP, signal.SIGWINCH)}
    try:
        screen.enter()
        yield screen
    finally:
        with suppress(OSError):  # the terminal is gone
            screen.leave()
        for number, handler in before.items():
            signal.signal(number, handler)
        screen.close()
    if screen.ended not in (0, signal.SIGINT):
        signal.signal(screen.ended, signal.SIG_DFL)
        os.kill(os.getpid(), screen.ended)


class FullScreen:
    """ended: the signal that is ending the command; 0 if there was none."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._stdin = sys.stdin.fileno() if sys.stdin.isatty() else None
        self._wakes, self._waking = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._attributes: list[Any] | None = None
        self._stopped = False
        self.ended = 0
        self.blocks = "█░" if console.encoding.lower().startswith("utf") else "#."

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines of the terminal now."""
        return self._console.width, self._console.height

    def draw(self, lines: Iterable[Text]) -> None:
        if self._live:
            self._live.update(Text("\n", end="").join(lines), refresh=True)

    def say(self, text: str) -> None:
        self.draw([Text(text)])

    def pressed(self) -> list[str]:
        """Waits for keys, for new content, a change of size or a signal. Returns the keys that were pressed."""
        files = [self._wakes] if self._stdin is None else [self._wakes, self._stdin]
        ready, _, _ = select.select(files, [], [])
        if self._wakes in ready:
            with suppress(BlockingIOError):
                while os.read(self._wakes, 4096):
                    pass
        if self._stopped:
            self._stop()
        if self._stdin is None or self._stdin not in ready:
            return []
        try:
            typed = os.read(self._stdin, 1024)
        except OSError:
            typed = b""
        if not typed:  # the terminal is gone
            self.ended = self.ended or signal.SIGHUP
        return keys_in(typed)

    def wake(self) -> None:
        """Says that there is new content to draw. May be called from any thread."""
        with suppress(OSError):
            os.write(self._waking, b".")

    def noted(self, number: int, frame: FrameType | None) -> None:
        """A signal handler that only notes the signal: an exception could interrupt the code that restores the
        terminal."""
        if number in ENDING:
            self.ended = signal.Signals(number)
            # a second signal ends the process even if the terminal does not respond
            signal.signal(number, signal.SIG_DFL)
        elif number == signal.SIGTSTP:
            self._stopped = True
        self.wake()

    def enter(self) -> None:
        """Switches to the alternate screen; the terminal then sends each key as it is pressed."""
        if self._stdin is not None:
            self._attributes = termios.tcgetattr(self._stdin)
            tty.setcbreak(self._stdin, termios.TCSANOW)
        self._live = Live(console=self._console, screen=True, auto_refresh=False)
        self._live.start()

    def leave(self) -> None:
        """Restores the terminal."""
        live, self._live = self._live, None
        try:
            if live:
                live.stop()
        finally:
            attributes, self._attributes = self._attributes, None
            if self._stdin is not None and attributes is not None:
                with suppress(termios.error):  # the terminal is gone
                    termios.tcsetattr(self._stdin, termios.TCSANOW, attributes)

    def close(self) -> None:
        waking, self._waking = self._waking, -1
        os.close(waking)
        os.close(self._wakes)

    def _stop(self) -> None:
        """Handles Ctrl-Z: restores the terminal for the shell until the process is continued."""
        self._stopped = False
        self.leave()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, self.noted)
        self.enter()


def keys_in(typed: bytes) -> list[str]:
    """The keys that a terminal has sent. Unknown ones are left out."""
    found: list[str] = []
    while typed:
        code = next((each for each in KEYS if typed.startswith(each)), None)
        if code:
            found.append(KEYS[code])
        typed = typed[len(code) if code else 1 :]
    return found
