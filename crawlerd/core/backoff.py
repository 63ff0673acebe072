"""When to try again: exponential backoff with full jitter."""

from __future__ import annotations


def backoff(attempt: int, *, base: float, cap: float, jitter: float) -> float:
    """Seconds to wait after the attempt-th failure (first = 1).

    Full jitter: uniform in [0, min(cap, base * 2**(attempt-1))]; `jitter` is the uniform draw in [0, 1).
    """
    return float(min(cap, base * 2 ** min(attempt - 1, 62)) * jitter)
