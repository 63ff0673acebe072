"""A terminal that a test can look at: tmux, of Debian's package."""

from __future__ import annotations

import shlex
import subprocess
from typing import TYPE_CHECKING, Self

from support.installation import until

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Terminal:
    """A shell in a folder, on a screen of its own; a server of its own, too. Use it in a `with` block."""

    def __init__(self, folder: Path, environment: Mapping[str, str], width: int = 80, height: int = 24) -> None:
        self._socket = str(folder / "tmux")
        self._folder, self._environment = folder, {**environment, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
        self._size = (str(width), str(height))

    def __enter__(self) -> Self:
        width, height = self._size
        shell = "env -u TMUX PS1='$ ' sh"
        self._run("-f", "/dev/null", "new-session", "-d", "-x", width, "-y", height, "-c", str(self._folder), shell)
        until(lambda: "$" in self.screen)
        return self

    def __exit__(self, *_: object) -> None:
        self._run("kill-server")

    def type(self, *keys: str) -> None:
        """As tmux calls them, such as "q", "Tab", "C-c"; other words are typed letter by letter."""
        self._run("send-keys", *keys)

    def enter(self, command: str) -> None:
        self._run("send-keys", "-l", command)
        self._run("send-keys", "Enter")

    def shows(self, text: str) -> str:
        """Waits until the screen has it; the screen."""
        found = ""

        def look() -> bool:
            nonlocal found
            found = self.screen
            return text in found

        try:
            until(look)
        except AssertionError:
            raise AssertionError(f"no {text!r} in:\n{found}") from None
        return found

    @property
    def screen(self) -> str:
        """Without colors."""
        return self._run("capture-pane", "-p")

    @property
    def colored(self) -> str:
        """With the sequences that make colors."""
        return self._run("capture-pane", "-p", "-e")

    def resize(self, width: int, height: int) -> None:
        self._run("resize-window", "-x", str(width), "-y", str(height))

    @property
    def state(self) -> dict[str, str]:
        """Whether a program has the other screen, hides the cursor, or reads keys as they are pressed."""
        shown = self._run("display-message", "-p", "#{alternate_on} #{cursor_flag} #{pane_tty}").split()
        modes = subprocess.run(["stty", "-a", "-F", shown[2]], capture_output=True, text=True, check=True).stdout
        return {"alternate": shown[0], "cursor": shown[1], "modes": modes.partition("\n")[2]}

    def _run(self, *words: str) -> str:
        command = ["tmux", "-S", self._socket, *words]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == 0, f"{shlex.join(command)}: {done.stderr}"
        return done.stdout
