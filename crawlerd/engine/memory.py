"""What a process gives back of its memory."""

from __future__ import annotations

import contextlib
import ctypes

M_MMAP_THRESHOLD = -3  # of malloc.h
LARGE = 256 << 10  # bytes


def give_back_large() -> None:
    """Has the C library return large buffers when they are freed. By default it keeps them once there have been some,
    in an arena for each thread: a worker with large tasks took 400 MB in the place of 190. Where it has no such option,
    nothing changes."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE)
