"""What systemd is told: that the daemon is ready, is alive, is stopping."""

from __future__ import annotations

import contextlib
import os
import socket


def notify(message: str) -> None:
    """Tells systemd, if it started us (sd_notify)."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.connect("\0" + address[1:] if address[0] == "@" else address)
            channel.sendall(message.encode())


def watchdog_seconds() -> float | None:
    """How often systemd wants a sign of life from this process."""
    micros, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", str(os.getpid()))
    return int(micros) / 1e6 if micros.isdigit() and pid == str(os.getpid()) else None
