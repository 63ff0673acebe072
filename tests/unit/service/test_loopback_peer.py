"""Which user has the other end of a connection: the kernel's own table, and how it may not be misread."""

from __future__ import annotations

import os
import socket
from contextlib import closing

import pytest
from support.installation import until

from crawlerd.service.web.loopback_peer import loopback_uid, uid_of

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
LINE = (
    "   1: 0100007F:C350 0100007F:24F8 {state} 00000000:00000000 00:00000000 00000000  1000        0 {inode} 1 0 20\n"
)
OURS, THEIRS = ("127.0.0.1", 9464), ("127.0.0.1", 50000)


@pytest.mark.parametrize(
    ("listen", "ask"),
    [
        ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "127.0.0.1")),
        ((socket.AF_INET6, "::1"), (socket.AF_INET6, "::1")),
        ((socket.AF_INET, "127.0.0.5"), (socket.AF_INET, "127.0.0.5")),
    ],
)
def test_an_open_socket_has_its_user(
    listen: tuple[socket.AddressFamily, str], ask: tuple[socket.AddressFamily, str]
) -> None:
    with closing(socket.socket(listen[0])) as listener, closing(socket.socket(ask[0])) as client:
        try:
            listener.bind((listen[1], 0))
            listener.listen()
            client.connect((ask[1], listener.getsockname()[1]))
        except OSError:
            pytest.skip("this machine has no such address")
        accepted, _ = listener.accept()
        with closing(accepted):
            assert loopback_uid(accepted) == os.geteuid()
            client.close()  # what a program has closed seems to be root's, in the kernel's table
            until(lambda: loopback_uid(accepted) is None)


@pytest.mark.parametrize(
    ("state", "inode", "uid"), [("01", "77", 1000), ("01", "0", None), ("02", "77", None), ("05", "77", None)]
)
def test_a_socket_counts_only_while_it_is_open(state: str, inode: str, uid: int | None) -> None:
    lines = [HEAD, LINE.format(state=state, inode=inode)]
    assert uid_of(lines, THEIRS, OURS, wide=False) == uid
    assert uid_of(lines, OURS, THEIRS, wide=False) is None  # the other way round, it is our own end
    assert uid_of(lines, ("::1", 50000, 0, 0), ("::1", 9464, 0, 0), wide=False) is None


def test_a_client_with_a_socket_of_ipv6_is_found() -> None:
    mapped = "0000000000000000FFFF00000100007F"
    line = LINE.format(state="01", inode="77").replace("0100007F", mapped)
    assert uid_of([HEAD, line], THEIRS, OURS, wide=True) == 1000
    ends = ("::ffff:127.0.0.1", 50000, 0, 0), ("::ffff:127.0.0.1", 9464, 0, 0)
    assert uid_of([HEAD, line], *ends, wide=True) == 1000
    assert uid_of([HEAD, LINE.format(state="01", inode="77")], *ends, wide=False) == 1000


def test_no_socket_has_nobody() -> None:
    with closing(socket.socket()) as alone:
        assert loopback_uid(alone) is None
