"""What a query asks for: a page of a list, a time."""

from __future__ import annotations

import math
from urllib.parse import parse_qs

from crawlerd.operations.problem import Refused

MOST = 500  # of a list, at once


def is_number(word: str) -> bool:
    """A number that a database holds."""
    return word.isascii() and word.isdecimal() and len(word) <= 18


class Parameters(dict[str, str]):
    """The last value of each counts. Refused names the one that makes no sense."""

    def __init__(self, query: str) -> None:
        super().__init__({key: values[-1] for key, values in parse_qs(query).items()})

    def number(self, name: str, default: int = 0) -> int:
        text = self.get(name)
        if text is None:
            return default
        if not is_number(text):
            raise Refused(f"{name}: {text[:80]!r} is no whole number")
        return int(text)

    @property
    def limit(self) -> int:
        """How many of a list; more or less than there may be is the nearest that there may."""
        text = self.get("limit", "100")
        try:
            return max(1, min(int(text), MOST))
        except ValueError:
            raise Refused(f"limit: {text[:80]!r} is no whole number") from None

    @property
    def after(self) -> int:
        """The last one of the page before."""
        return self.number("after")

    @property
    def since(self) -> float:
        """Unix seconds."""
        text = self.get("since", "0")
        try:
            since = float(text)
        except ValueError:
            since = math.nan
        if not math.isfinite(since):
            raise Refused(f"since: {text[:80]!r} is no time in Unix seconds")
        return since
