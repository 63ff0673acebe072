"""What is to be told to whom, as the running daemon knows it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

Event = Literal["failed", "stale", "refused", "outage", "disk", "held_up", "finished"]
EVENTS: tuple[Event, ...] = get_args(Event)
USUAL: tuple[Event, ...] = EVENTS[:-1]  # a run that has finished is told to those who ask for it


class WebhookSpec(msgspec.Struct, frozen=True, kw_only=True):
    """An address that messages are posted to.

    url, token: secrets, both; the first may have {token} in it.
    headers: in addition to the usual ones; values may have {token} in them.
    body: what is posted, as JSON: a template of `crawlerd.core.template`; None for all that is known of a message.
    seconds: that a request has in all.
    problem: why it cannot be used, "" where it can.
    """

    url: str
    token: str = ""
    headers: dict[str, str] = {}
    body: dict[str, Any] | None = None
    seconds: float = 10.0
    problem: str = ""

    def __repr__(self) -> str:
        return "WebhookSpec(url=***)"


class ProgramSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A program that gets messages on its stdin.

    words: the program and its arguments, in which {title} is replaced.
    gets: the text for people, or all that is known as JSON.
    folder: where it is started.
    seconds: that it has.
    """

    words: tuple[str, ...]
    gets: Literal["text", "json"] = "text"
    folder: Path
    seconds: float = 30.0


class NotifySpec(msgspec.Struct, frozen=True, kw_only=True):
    """
    on: the events that are told.
    failed_runs: of an import, in a row, from which on it counts as failed.
    stale_seconds: age of an import's data; None for twice the time between its starts, and ten minutes.
    disk_free_bytes: less than that is too little.
    wait_seconds: for what else happens, before the first message of it.
    every_seconds: between two messages, at least.
    """

    on: tuple[Event, ...] = USUAL
    failed_runs: int = 3
    stale_seconds: float | None = None
    disk_free_bytes: int = 1 << 30
    wait_seconds: float = 10.0
    every_seconds: float = 60.0
    webhook: WebhookSpec | None = None
    command: ProgramSpec | None = None

    @property
    def hooks(self) -> list[str]:
        """The names of those that are configured."""
        return [name for name in ("webhook", "command") if getattr(self, name) is not None]
