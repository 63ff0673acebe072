"""The result of a test message."""

from __future__ import annotations

import msgspec

SECONDS = 900.0  # each hook may use all of its time


class HookTrial(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one hook.

    hook: webhook or command.
    where: the origin of the address, or the program.
    seconds: how long it took.
    problem: why the message did not arrive; None if it did.
    """

    hook: str
    where: str
    seconds: float
    problem: str | None = None


class NotifyTrials(msgspec.Struct, frozen=True, kw_only=True):
    """The results by hook; empty if no hook is configured."""

    hooks: list[HookTrial]
