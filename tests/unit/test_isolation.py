"""The tests themselves: none reaches for the network, see conftest.py."""

from __future__ import annotations

import socket

import pytest


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
def test_only_this_machine_is_reached(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as tcp, pytest.raises(RuntimeError, match="reaches for the network"):
        tcp.connect((host, 80))
    with socket.socket(family, socket.SOCK_DGRAM) as udp, pytest.raises(RuntimeError, match="reaches for the network"):
        udp.sendto(b"", (host, 53))


def test_no_name_is_looked_up() -> None:
    with pytest.raises(RuntimeError, match="reaches for the network"):
        socket.getaddrinfo("api.stripe.com", 443)


def test_loopback_is_open() -> None:
    with (
        socket.create_server(("localhost", 0)) as server,
        socket.create_connection(("127.0.0.1", server.getsockname()[1]), timeout=5),
    ):
        pass
