"""A process that is killed before it changes a file, at each change in turn."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.chmod", "os.truncate")
MAKES = os.O_CREAT | os.O_TRUNC


def killed_at(point: int, act: Callable[[], object]) -> bool:
    """Does something in a process of its own, which gets a SIGKILL before its change number `point`, from 0. Whether
    it got that far; else it must have ended well."""
    child = os.fork()
    if not child:
        left = point

        def look(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal left
            opened = event == "open" and isinstance(arguments[2], int) and arguments[2] & MAKES
            if event in CHANGES or opened:
                if not left:
                    os.kill(os.getpid(), signal.SIGKILL)
                left -= 1

        try:
            sys.addaudithook(look)
            act()
            os._exit(0)
        except BaseException as error:  # noqa: BLE001 - it must never go on as a second test run
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            os._exit(1)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, -signal.SIGKILL)
    return code != 0
