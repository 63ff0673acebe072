"""Renaming an import in the frontier: what is asked for, and whether it can be done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crawlerd.frontier.reports import Act
from crawlerd.operations.problem import Refused, Unknown

if TYPE_CHECKING:
    from collections.abc import Collection

    from crawlerd.frontier.contract import Frontier


def rename(frontier: Frontier, configured: Collection[str], old: str, new: str, by: str, now: float) -> None:
    """Moves history and sync points. Unknown when `new` is not configured, Refused when it cannot be done."""
    if old in configured:
        raise Refused(f"import {old} is still configured: rename it there first")
    if new not in configured:
        raise Unknown(f"there is no import {new} in the configuration: rename it there first")
    if why := frontier.rename_import(old, new, Act(now, by, "rename", f"import {old}", f"to {new}", 1)):
        raise Refused(f"{why}; nothing was changed")
