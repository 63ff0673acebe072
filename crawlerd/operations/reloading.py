"""Has a running daemon read its configuration again, and reports the result."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crawlerd.core.in_force import InForce, Reloaded
    from crawlerd.engine.engine import Engine
    from crawlerd.operations.why import Why

KEY_SECONDS = 5.0  # how long to wait for the check of a new key
LOOK_SECONDS = 0.05
RELOAD_SECONDS = 600.0  # 100,000 accounts take some seconds; commands that print keys take up to 30 seconds each


def reload(engine: Engine) -> Reloaded:
    """Reloads, and waits a little for the checks of new keys.

    Raises CrawlerdError if the configuration cannot be reloaded, or not all of it could be put into force, and
    TimeoutError if it takes longer than RELOAD_SECONDS.
    """
    done = engine.reloads.ask().result(RELOAD_SECONDS)
    until = time.monotonic() + KEY_SECONDS
    return msgspec.structs.replace(done, keys=[_key(engine, name, until) for name in done.rekeyed])


def _key(engine: Engine, name: str, until: float) -> str:
    """What is known about an account's new key.

    until: the monotonic time until which to wait for it.
    """
    accounts = engine.accounts
    if not accounts.is_checked(name):
        next_request = f"account {name}: its next request will show whether the new key works"
        return f"{next_request}; `crawlerd accounts test {name}` tests it now"
    while (found := accounts.found(name)) is None and time.monotonic() < until:
        time.sleep(LOOK_SECONDS)  # there is no event for a single account
    if found is None:
        return f"account {name}: its new key is being tested; `crawlerd accounts show {name}` will show the result"
    return f"account {name}: its new key is refused: {found}" if found else f"account {name}: its new key works"


def sentences(done: Reloaded) -> Iterator[str]:
    """The result, for people."""
    if done.problems:
        yield from done.problems
        yield "the configuration is wrong; the one before stays in force"
        return
    yield f"applied: {'; '.join(done.applied) or 'nothing has changed'}"
    if done.restart:
        yield f"needs a restart: {', '.join(done.restart)}"
    yield from done.keys


def noted(why: Why, in_force: InForce) -> Why:
    """Adds to an explanation that the file may already say otherwise."""
    if (note := in_force.note) is None:
        return why
    return msgspec.structs.replace(why, sentences=[*why.sentences, f"Note: {note}."])
