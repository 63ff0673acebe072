"""A message that says that messages arrive."""

from __future__ import annotations

import msgspec

SECONDS = 900.0  # both hooks may take all of their time


class HookTrial(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it.

    hook: webhook or command.
    where: the origin of the address, or the program.
    seconds: that it took.
    problem: why it has not arrived; None when it has.
    """

    hook: str
    where: str
    seconds: float
    problem: str | None = None


class NotifyTrials(msgspec.Struct, frozen=True, kw_only=True):
    """By hook; none where no hook is configured."""

    hooks: list[HookTrial]
