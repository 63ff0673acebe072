"""The parameters of a query, such as the page of a list, or a time."""

from __future__ import annotations

import math
from urllib.parse import parse_qs

from crawlerd.operations.problem import Refused

MOST = 500  # most items of a list in one answer


def is_number(word: str) -> bool:
    """Whether it is a number that fits into the database."""
    return word.isascii() and word.isdecimal() and len(word) <= 18


class Parameters(dict[str, str]):
    """The parameters of a query. If one is given several times, the last value counts. Raises Refused for an invalid
    value."""

    def __init__(self, query: str) -> None:
        super().__init__({key: values[-1] for key, values in parse_qs(query).items()})

    def number(self, name: str, default: int = 0) -> int:
        text = self.get(name)
        if text is None:
            return default
        if not is_number(text):
            raise Refused(f"{name}: {text[:80]!r} is not a whole number")
        return int(text)

    @property
    def limit(self) -> int:
        """How many items of a list are wanted, at least 1 and at most MOST."""
        if not 1 <= (limit := self.number("limit", 100)) <= MOST:
            raise Refused(f"limit: {limit} is not from 1 to {MOST}; for more, ask for the next page")
        return limit

    @property
    def after(self) -> int:
        """The last number of the page before."""
        return self.number("after")

    @property
    def since(self) -> float:
        """A time in Unix seconds."""
        text = self.get("since", "0")
        try:
            since = float(text)
        except ValueError:
            since = math.nan
        if not math.isfinite(since):
            raise Refused(f"since: {text[:80]!r} is not a time in Unix seconds")
        return since
