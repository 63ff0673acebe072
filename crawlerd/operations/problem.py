"""What can be wrong with what people ask for."""

from __future__ import annotations

import msgspec

from crawlerd.core.errors import CrawlerdError


class Unknown(CrawlerdError):
    """There is nothing of that name."""


class Refused(CrawlerdError):
    """What was asked for cannot be done as it stands."""


class Problem(msgspec.Struct, frozen=True):
    """An error, as RFC 9457 has it."""

    status: int
    title: str
    detail: str
    type: str = "about:blank"
