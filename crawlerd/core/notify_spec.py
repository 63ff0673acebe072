"""The checked configuration of notices: which hook gets which."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

Event = Literal["failed", "stale", "refused", "outage", "disk", "held_up", "finished"]
EVENTS: tuple[Event, ...] = get_args(Event)
USUAL: tuple[Event, ...] = EVENTS[:-1]  # without finished runs, which must be asked for


class WebhookSpec(msgspec.Struct, frozen=True, kw_only=True):
    """An address to which messages are posted.

    url, token: both are secrets; the URL may contain {token}.
    headers: additional headers; their values may contain {token}.
    body: the JSON to post, as a template of `crawlerd.core.template`; None for all details of a message.
    seconds: the deadline of a request.
    problem: why it cannot be used; "" if it can.
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
    gets: whether it gets the text for people, or all details as JSON.
    folder: the folder in which it is started.
    seconds: the deadline for the program.
    """

    words: tuple[str, ...]
    gets: Literal["text", "json"] = "text"
    folder: Path
    seconds: float = 30.0


class NotifySpec(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of notices.

    on: the events that are reported.
    failed_runs: an import counts as failed after this number of failed runs in a row.
    stale_seconds: an import's data is old after this time; None for twice the time between its starts, plus ten
        minutes.
    disk_free_bytes: less free space is reported.
    wait_seconds: how long to wait for further notices before the first message.
    every_seconds: least time between two messages.
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
        """The names of the configured hooks."""
        return [name for name in ("webhook", "command") if getattr(self, name) is not None]
