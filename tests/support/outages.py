"""The engine's outages without an engine: every account is at one origin."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from crawlerd.engine.clock import Clock
from crawlerd.engine.outages import Outages

if TYPE_CHECKING:
    from crawlerd.frontier.contract import OutageNote

ORIGIN = "https://api.example.com"


class OneOrigin:
    """notes: what was noted last of each outage."""

    def __init__(self, give_up_seconds: float = math.inf) -> None:
        self.give_up_seconds = give_up_seconds
        self.notes: dict[tuple[str, int], OutageNote | None] = {}

    def name(self, account: int) -> str:
        return f"a{account}"

    def usual_origin(self, account: int) -> tuple[str, float]:
        return ORIGIN, self.give_up_seconds

    def note_outage(self, key: tuple[str, int], note: OutageNote | None) -> None:
        self.notes[key] = note


def outages(give_up_seconds: float = math.inf) -> Outages:
    one = OneOrigin(give_up_seconds)
    return Outages(one, one, Clock())
