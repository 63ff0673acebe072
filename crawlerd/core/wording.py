"""Counts and error texts for people. Pure."""

from __future__ import annotations

import re

# The name of a class that only decides whether crawlerd tries again, after the text that crawlerd puts before it.
_RETRY_CLASS = re.compile(r"^((?:[a-z][^:]*: )*)(?:Transient|Permanent): ")


def counted(count: int, one: str) -> str:
    """A count with its noun, such as "1 dead letter", "2 dead letters" or "1,000 entries"."""
    if count == 1:
        return f"1 {one}"
    return f"{count:,} {one[:-1]}ies" if re.search("[^aeiou]y$", one) else f"{count:,} {one}s"


def agreeing(count: int, one: str, several: str = "are") -> str:
    """A count with its noun and the fitting form of a verb: "1 dead letter is", "2 dead letters are". several: the
    plural form, such as "match" for "matches"."""
    single = {"are": "is", "were": "was"}.get(several, f"{several}es" if several.endswith("ch") else f"{several}s")
    return f"{counted(count, one)} {single if count == 1 else several}"


def plain_error(error: str) -> str:
    """The error of an attempt without the names Transient and Permanent, which mean nothing to its reader."""
    return _RETRY_CLASS.sub(r"\1", error, count=1)
