"""Tells systemd that the daemon is ready, is alive, or is stopping."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def is_listening() -> bool:
    """Whether systemd has started this process and waits for messages."""
    return bool(os.environ.get("NOTIFY_SOCKET"))


def stopping(seconds: float) -> None:
    """Tells systemd that the daemon is stopping.

    seconds: the most that this may take, whatever the unit says.
    """
    notify(f"STOPPING=1\nSTATUS=draining\nEXTEND_TIMEOUT_USEC={round(seconds * 1e6)}")


def notify(message: str) -> None:
    """Sends a message to systemd (sd_notify), if it has started this process."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.connect("\0" + address[1:] if address[0] == "@" else address)
            channel.sendall(message.encode())


@contextlib.contextmanager
def reloading() -> Iterator[None]:
    """Within this block, systemd knows that the configuration is being read again."""
    notify(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")
    try:
        yield
    finally:
        notify("READY=1")


def watchdog_seconds() -> float | None:
    """How often systemd expects a sign of life from this process; None if it expects none."""
    micros, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", str(os.getpid()))
    return int(micros) / 1e6 if micros.isdigit() and pid == str(os.getpid()) else None
