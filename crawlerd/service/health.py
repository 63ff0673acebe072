"""Whether the daemon is alive (health), and whether it can import now (readiness)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crawlerd.engine.engine import Engine

STALE_SECONDS = 30.0  # a core loop without progress for this long is stuck
WAITING_SECONDS = 30.0  # the main loop may wait this much longer for the store
WORKERLESS_SECONDS = 60.0  # after this long without any worker, a restart may help


def health(engine: Engine) -> str | None:
    """Why the daemon is not alive; None if it is."""
    if engine.failure is not None:
        return f"stopped by {type(engine.failure).__name__}: {engine.failure}"
    now = time.monotonic()
    loops = (
        ("dispatcher", engine.dispatcher.progress_at, STALE_SECONDS),
        ("store", engine.store.progress_at, STALE_SECONDS),
        ("main loop", engine.agenda.progress_at, STALE_SECONDS + WAITING_SECONDS),
    )
    for name, progress_at, most in loops:
        if now - progress_at > most:
            return f"the {name} has made no progress for {now - progress_at:.0f} s"
    down = engine.dispatcher.without_workers()
    if down and down[1] > WORKERLESS_SECONDS:
        return f"for {down[1]:.0f} s, {down[0]}"
    return None


def readiness(engine: Engine) -> str | None:
    """Why the daemon cannot import now; None if it can."""
    return health(engine) or engine.insight.trouble
