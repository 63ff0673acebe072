"""The thread of the web server: one event loop, any number of listeners."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING, Any

from anyio import to_thread
from uvicorn.config import Config
from uvicorn.server import ServerState

from crawlerd.service.web.connection import BACKLOG, HEADER_BYTES, Connection, Crowd

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from starlette.types import ASGIApp

log = logging.getLogger(__name__)

THREADS = 40  # most threads for a listener: more than its requests at once
GRACE_SECONDS = 0.5  # how long requests under way may take at the end
KEEP_ALIVE_SECONDS = 5  # how long a connection without a request stays open


class Serving:
    """The web server, from construction to `close`. Used from any thread.

    loop: runs on the thread.
    ending: called on the loop at the end, before requests are waited for.
    """

    def __init__(self, ending: Callable[[], None]) -> None:
        # bad requests from strangers would fill the log; they get an answer that says what is wrong
        logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
        self._ending = ending
        self._state = ServerState()
        self._servers: list[asyncio.Server] = []
        self._crowds: list[Crowd] = []
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(self._failed)
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)
        self._thread.start()

    def add(self, listener: socket.socket, app: ASGIApp, root_path: str = "") -> None:
        """Serves an application on a bound socket, and takes over the socket."""
        asyncio.run_coroutine_threadsafe(self._add(listener, app, root_path), self.loop).result()

    @property
    def connections(self) -> int:
        """The number of open connections."""
        return len(self._state.connections)

    def close(self) -> None:
        """Ends streams at once, and requests under way after GRACE_SECONDS."""
        if not self.loop.is_closed():
            asyncio.run_coroutine_threadsafe(self._shut(), self.loop).result()
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            self.loop.close()

    async def _add(self, listener: socket.socket, app: ASGIApp, root_path: str) -> None:
        config = Config(
            app,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            root_path=root_path,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            h11_max_incomplete_event_size=HEADER_BYTES,
        )
        config.load()
        limiter = to_thread.current_default_thread_limiter()
        limiter.total_tokens += THREADS  # so that one listener does not wait for the threads of another
        crowd = Crowd()
        self._crowds.append(crowd)

        def connection() -> Connection:
            return Connection(crowd, config=config, server_state=self._state, app_state={}, _loop=self.loop)

        self._servers.append(await self.loop.create_server(connection, sock=listener, backlog=BACKLOG))

    async def _shut(self) -> None:
        for server in self._servers:
            server.close()
        self._ending()
        for each in list(self._state.connections):
            each.shutdown()
        tasks = set(self._state.tasks)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=GRACE_SECONDS)
            for task in late:
                task.cancel()
        for each in list(self._state.connections):
            if each.transport.get_write_buffer_size():
                continue  # an answer is still being sent; the kernel has taken all others
            each.transport.abort()
        for _ in range(3):
            await asyncio.sleep(0)  # lets connections and streams notice their end

    def _failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        # accept failed: no file descriptor is left
        if isinstance(context.get("exception"), OSError) and "socket" in context:
            for crowd in self._crowds:
                crowd.abort()
        log.debug("the web server: %s: %r", context.get("message"), context.get("exception"))
