"""What commands have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from crawlerd.cli.context import by_daemon_or_here
from crawlerd.core.errors import FrontierLocked
from crawlerd.service.control import Asked, user_name

if TYPE_CHECKING:
    from pathlib import Path


def act(state_dir: Path, locked: int) -> tuple[int, str]:
    """Tries of an act that finds the files locked so many times, and what it returns."""
    tries: list[str] = []

    def once(by: str, now: float) -> str:
        tries.append(by)
        if len(tries) <= locked:
            raise FrontierLocked("another crawlerd is using them")
        return "done"

    done = by_daemon_or_here(Asked(state_dir), "POST", "pauses", str, None, once)
    assert set(tries) == {user_name(state_dir.stat().st_uid)}
    return len(tries), done


def test_an_act_is_done_again_when_a_daemon_has_started_meanwhile(tmp_path: Path) -> None:
    assert act(tmp_path, 0) == (1, "done")
    assert act(tmp_path, 1) == (2, "done")
    with pytest.raises(FrontierLocked):
        act(tmp_path, 2)
