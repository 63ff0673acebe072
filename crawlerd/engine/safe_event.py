"""An event that even a signal handler may set, whatever the main thread is doing."""

from __future__ import annotations

import contextlib
import os
import select


class SafeEvent:
    """Like threading.Event, which a signal handler must not set: the thread that it interrupts may hold the event's
    lock, or may be about to wait and then miss it.

    fd: a file descriptor for signal.set_wakeup_fd.
    """

    def __init__(self) -> None:
        self._read, self.fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._read, select.POLLIN)

    def set(self) -> None:
        with contextlib.suppress(BlockingIOError):  # the pipe is full: the event is set already
            os.write(self.fd, b"\0")

    def clear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self._read, 4096):
                pass

    def wait(self, seconds: float | None = None) -> bool:
        """Waits until it is set. Returns False when these seconds have passed before. None: waits without end."""
        return bool(self._poll.poll(None if seconds is None else max(0.0, seconds) * 1000))

    def __del__(self) -> None:
        os.close(self._read)
        os.close(self.fd)
