"""A network that takes time: a proxy of TCP, as a process of its own, that passes everything on after a delay."""

from __future__ import annotations

import socket
import sys
import threading
import time
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from subprocess import PIPE, Popen
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator


class Delayed:
    """port: where it listens."""

    def __init__(self, process: Popen[bytes], port: int) -> None:
        self._process, self.port = psutil.Process(process.pid), port

    def cpu(self) -> float:
        """Seconds of CPU that it has used."""
        times = self._process.cpu_times()
        return times.user + times.system


@contextmanager
def delayed(port: int, seconds: float) -> Iterator[Delayed]:
    """seconds: of a way and back. port: of the server."""
    command = [sys.executable, "-m", __name__, str(port), str(seconds / 2)]
    with Popen(command, stdout=PIPE) as process:
        assert process.stdout
        try:
            yield Delayed(process, int(process.stdout.readline()))
        finally:
            process.kill()


def _pass_on(source: socket.socket, target: socket.socket, seconds: float) -> None:
    pieces: SimpleQueue[tuple[float, bytes]] = SimpleQueue()

    def send() -> None:
        with suppress(OSError):
            while True:
                due, data = pieces.get()
                time.sleep(max(0.0, due - time.monotonic()))
                if not data:
                    target.shutdown(socket.SHUT_WR)
                    return
                target.sendall(data)

    threading.Thread(target=send, daemon=True).start()
    data = b"."
    while data:
        try:
            data = source.recv(1 << 16)
        except OSError:
            data = b""
        pieces.put((time.monotonic() + seconds, data))


def _serve(port: int, seconds: float) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        client, _ = listener.accept()
        server = socket.create_connection(("127.0.0.1", port))
        for each in (client, server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for ends in ((client, server), (server, client)):
            threading.Thread(target=_pass_on, args=(*ends, seconds), daemon=True).start()


if __name__ == "__main__":
    _serve(int(sys.argv[1]), float(sys.argv[2]))
