"""A proxy of TCP on loopback that forwards, holds or swallows what passes."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable


class TcpProxy:
    """port: where it listens.

    hold: what the client of a connection sends from now on is kept, until `release`; asked with each piece.
    swallow: what the server answers from now on is thrown away; asked with each piece that the client has sent.
    """

    def __init__(self, port: int) -> None:
        """port: of the server."""
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.hold: Callable[[bytes], bool] = lambda _: False
        self.swallow: Callable[[bytes], bool] = lambda _: False
        self._held: list[tuple[socket.socket, bytes]] = []
        self._holding: set[socket.socket] = set()  # servers
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Ends all connections."""
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._sockets.clear()

    def release(self) -> int:
        """Sends what was held, as a network does that was late, and holds no connection any more. How many pieces."""
        self._holding.clear()
        held, self._held = self._held, []
        for server, data in held:
            server.sendall(data)
        return len(held)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                return
            self._sockets += [client, server]
            silent = threading.Event()
            threading.Thread(target=self._to_server, args=(client, server, silent), daemon=True).start()
            threading.Thread(target=self._to_client, args=(server, client, silent), daemon=True).start()

    def _to_server(self, client: socket.socket, server: socket.socket, silent: threading.Event) -> None:
        with suppress(OSError):
            while data := client.recv(1 << 16):
                if self.hold(data):
                    self._holding.add(server)
                if server in self._holding:
                    self._held.append((server, data))
                    continue
                if self.swallow(data):
                    silent.set()
                server.sendall(data)
            if server not in self._holding:
                server.shutdown(socket.SHUT_WR)

    def _to_client(self, server: socket.socket, client: socket.socket, silent: threading.Event) -> None:
        with suppress(OSError):
            while data := server.recv(1 << 16):
                if not silent.is_set():
                    client.sendall(data)
            client.shutdown(socket.SHUT_WR)
