"""Has a running daemon read its configuration again, and says what came of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crawlerd.core.in_force import InForce, Reloaded
    from crawlerd.engine.engine import Engine
    from crawlerd.operations.why import Why

KEY_SECONDS = 5.0  # for which the check of a new key is waited for
LOOK_SECONDS = 0.05
RELOAD_SECONDS = 600.0  # 100,000 accounts take some seconds; commands that print keys up to 30 each


def reload(engine: Engine) -> Reloaded:
    """Waits for the end, and a little for the checks of new keys. CrawlerdError where nothing can be reloaded, or not
    all of it could be put into force;
    TimeoutError when it takes longer than RELOAD_SECONDS."""
    done = engine.reloads.ask().result(RELOAD_SECONDS)
    until = time.monotonic() + KEY_SECONDS
    return msgspec.structs.replace(done, keys=[_key(engine, name, until) for name in done.rekeyed])


def _key(engine: Engine, name: str, until: float) -> str:
    """What is known of an account's new key, by a monotonic time."""
    accounts = engine.accounts
    if not accounts.is_checked(name):
        return f"account {name}: its new key is tried by its next request; `crawlerd accounts test {name}` tries it now"
    while (found := accounts.found(name)) is None and time.monotonic() < until:
        time.sleep(LOOK_SECONDS)  # nobody is told of one account
    if found is None:
        return f"account {name}: its new key is being tried; `crawlerd accounts show {name}` has what comes of it"
    return f"account {name}: its new key is refused: {found}" if found else f"account {name}: its new key works"


def sentences(done: Reloaded) -> Iterator[str]:
    """For people."""
    if done.problems:
        yield from done.problems
        yield "the configuration is wrong; the one before is used further"
        return
    yield f"applied: {'; '.join(done.applied) or 'nothing has changed'}"
    if done.restart:
        yield f"needs a restart: {', '.join(done.restart)}"
    yield from done.keys


def noted(why: Why, in_force: InForce) -> Why:
    """What is waited for may be what the file says otherwise."""
    if (note := in_force.note) is None:
        return why
    return msgspec.structs.replace(why, sentences=[*why.sentences, f"Note: {note}."])
