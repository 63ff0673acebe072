"""Names of imports: whether an import exists, and renaming one in the frontier."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, NamedTuple

from crawlerd.engine.full_run import setup
from crawlerd.frontier.reports import Act
from crawlerd.operations.problem import Refused, Unknown

if TYPE_CHECKING:
    from collections.abc import Collection

    from crawlerd.config.load import Settings
    from crawlerd.frontier.contract import Frontier
    from crawlerd.frontier.reader_contract import FrontierReader


COMPARED = 1_000  # names that are compared to find a similar one


class Renamed(NamedTuple):
    """An import that seems to have a new name in the configuration.

    under_way: a run has not ended yet, so it cannot be renamed.
    """

    old: str
    new: str
    under_way: bool


def renamed(reader: FrontierReader, settings: Settings) -> list[Renamed]:
    """Imports that are no longer configured, each with the import that has probably replaced it: one that has never
    run, and reads the same from the same account."""
    left = reader.left_imports(settings.imports)
    if not left:
        return []
    new = [spec for spec in settings.imports.values() if any(each.account == spec.account for each in left)]
    new = [spec for spec in new if reader.latest(spec.name) is None]
    likely = []
    for spec in new:
        account = settings.accounts[spec.account]
        told = setup(spec.options, account.options, settings.descriptions.get(account.source))
        for each in left:
            both = len(each.streams.intersection(spec.streams))
            if (each.account, each.setup) == (spec.account, told) and (both or not each.streams):
                alike = both / (len(each.streams.union(spec.streams)) or 1)
                likely.append((-alike, each.name, spec.name))
    pairs: dict[str, str] = {}
    for _, old, name in sorted(likely):
        if old not in pairs and name not in pairs.values():
            pairs[old] = name
    latest = {old: reader.latest(old) for old in pairs}
    return [
        Renamed(old, new, (last := latest[old]) is not None and last.state == "running") for old, new in pairs.items()
    ]


def check_import(name: str, configured: Collection[str]) -> None:
    """Raises Unknown if the import is not configured."""
    if name not in configured:
        near = get_close_matches(name, configured, 1) if len(configured) <= COMPARED else []
        hint = f"; did you mean {near[0]}?" if near else ""
        raise Unknown(f"there is no import {name[:80]} in the configuration{hint}")


def rename(frontier: Frontier, configured: Collection[str], old: str, new: str, by: str, now: float) -> None:
    """Moves history and sync points to the new name. Raises Unknown if `new` is not configured, and Refused if it
    cannot be done."""
    if old in configured:
        raise Refused(f"import {old} is still configured: rename it there first")
    if new not in configured:
        raise Unknown(f"there is no import {new} in the configuration: rename it there first")
    if why := frontier.rename_import(old, new, Act(now, by, "rename", f"import {old}", f"to {new}", 1)):
        raise Refused(f"{why}; nothing was changed")
