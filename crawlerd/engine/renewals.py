"""Keys that expire: asked for again in time, on a thread, and given to the workers with the next lease."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgspec.structs import replace

from crawlerd.config.secrets import printed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crawlerd.config.load import Settings

log = logging.getLogger(__name__)

AGAIN_SECONDS = 30.0  # after a command that has failed, at most


@contextmanager
def renewing(settings: Settings) -> Iterator[None]:
    """Within this block, keys of `settings.accounts` are renewed as they expire. One that cannot be is used further."""
    if not settings.renewals:
        yield
        return
    ending = threading.Event()
    thread = threading.Thread(target=_renew, args=(settings, ending), name="renewals", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()  # a command that hangs is not waited for


def _renew(settings: Settings, ending: threading.Event) -> None:
    due = {name: time.monotonic() + each.seconds for name, each in settings.renewals.items()}
    failing: set[str] = set()
    while not ending.wait(max(0.0, min(due.values()) - time.monotonic())):
        name = min(due, key=due.__getitem__)
        renewal = settings.renewals[name]
        due[name] = time.monotonic() + renewal.seconds
        try:
            _replace(settings, name, printed(renewal.command, renewal.folder))
            failing.discard(name)
        except ValueError as error:
            due[name] = time.monotonic() + min(renewal.seconds, AGAIN_SECONDS)
            if name not in failing:
                failing.add(name)
                log.warning("accounts.%s.api_key: %s; the key that was there is used further", name, error)


def _replace(settings: Settings, name: str, secret: str) -> None:
    """The workers are told with the next lease, since it is another object."""
    account = settings.accounts[name]
    if secret != account.secret:
        source = settings.sources[account.source]
        url = source.address(settings.renewals[name].base_url, secret) if source.address else account.base_url
        settings.accounts[name] = replace(account, secret=secret, base_url=url)
        log.info("accounts.%s: another key is used from now on", name)
