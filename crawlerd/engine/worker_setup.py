"""Makes the first message to a worker process: the accounts, and where their sources are found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crawlerd.engine.log_output import style
from crawlerd.engine.wire import Setup
from crawlerd.sources.registry import place_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any


def worker_setup(
    sources_of: Mapping[str, str],
    sources: Iterable[str],
    descriptions: Mapping[str, tuple[str, dict[str, Any]]],
    threads: int,
) -> Setup:
    """Makes the first message to a worker.

    sources_of: the source of each account, by the account's name.
    sources: the names of all sources.
    descriptions: see `Settings`.
    threads: how many threads a worker has.
    """
    names: dict[str, list[str]] = {source: [] for source in sources}
    for name, source in sources_of.items():
        names[source].append(name)
    entries = {descriptions[name][0] if name in descriptions else name for name in names}
    places: dict[str, tuple[str, list[str]]] = {
        entry: place for entry in entries if (place := place_of(entry)) is not None
    }
    return Setup(
        {source: "\n".join(each) for source, each in names.items()}, threads, places, dict(descriptions), style()
    )
