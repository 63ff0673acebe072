"""The limit of open files."""

from __future__ import annotations

import logging
import resource

log = logging.getLogger(__name__)


def raise_open_files() -> None:
    """Raises the limit of open files, which the worker processes inherit, to what the system permits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        log.info("the limit of open files was %d and is now %d, the most that the system permits", soft, hard)
