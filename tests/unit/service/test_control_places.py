"""Where a command finds the daemon's socket, whom it trusts there, and whom the daemon believes."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from crawlerd.service import control


@pytest.mark.parametrize(
    ("state_dir", "found"),
    [
        ("/var/lib/crawlerd", ["/run/crawlerd/socket"]),
        ("/var/lib/crawlerd-second", ["/run/crawlerd-second/socket"]),
        ("/var/lib/private/crawlerd", ["/run/crawlerd/socket"]),
        ("/var/lib", []),
        ("/srv/state", []),
    ],
)
def test_a_unit_s_socket_has_the_name_of_its_state(state_dir: str, found: list[str]) -> None:
    assert control._of_the_unit(Path(state_dir)) == [Path(each) for each in found]


@pytest.mark.parametrize(
    ("mode", "own"), [(0o700, True), (0o750, True), (0o2750, True), (0o770, False), (0o1777, False)]
)
def test_a_directory_that_others_may_write_to_is_not_trusted(mode: int, own: bool, tmp_path: Path) -> None:
    tmp_path.chmod(mode)
    assert control._is_own(tmp_path, os.geteuid()) == own
    assert control._is_own(tmp_path, os.geteuid() + 1) == (own and os.geteuid() == 0)


@pytest.mark.parametrize(
    ("uid", "said", "hidden", "name"),
    [
        (control.OVERFLOW_UID, "alice", True, "alice"),
        (control.OVERFLOW_UID, "alice", False, "nobody"),  # it is nobody
        (control.OVERFLOW_UID, "alice\x1b[31m", True, "nobody"),
        (control.OVERFLOW_UID, None, True, "nobody"),
        (0, "alice", True, "root"),  # the kernel tells who it is
    ],
)
def test_a_name_that_is_said_counts_where_the_kernel_does_not_tell(
    uid: int, said: str | None, hidden: bool, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "_peer", lambda connection: (1, uid))
    monkeypatch.setattr(control, "_users_are_hidden", lambda: hidden)
    here, there = socket.socketpair()
    with here, there:
        assert control.peer_name(here, said) == name


def test_here_all_users_are_known() -> None:
    assert not control._users_are_hidden()
