"""Restores a whole backup, where no files exist yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from crawlerd.core.errors import FrontierError, SinkError
from crawlerd.frontier import restoring
from crawlerd.operations.backing_up import check_backup, databases
from crawlerd.operations.backup_manifest import FRONTIER, read_manifest
from crawlerd.sinks.saving import in_the_way, place, remove

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from crawlerd.config.load import Settings
    from crawlerd.core.configuration import SinkSpec
    from crawlerd.operations.backup_manifest import Manifest

NAMED = 5


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What was restored.

    made_at: when the backup was made, in Unix seconds.
    state_dir: where the frontier is now.
    sinks: where they are now, by name.
    empty: configured sinks that the backup does not have: the next runs of their imports are full runs.
    again: an interrupted restore was finished.
    """

    made_at: float
    state_dir: str
    sinks: dict[str, str]
    empty: list[str]
    again: bool


def put_back(settings: Settings, backup: Path) -> Restored:
    """Puts the frontier and the sinks of a backup in their configured places.

    If it is killed at any point, nothing can be started until it is repeated. After an error, nothing has changed.

    Raises FrontierLocked while a daemon runs; FrontierError if files are in the way, or the backup is incomplete or
    damaged; SinkError for a sink that cannot be there; StorageFailed if a disk is full.
    """
    backup = backup.resolve()
    manifest = read_manifest(backup)
    places = _places(settings, manifest)
    check_backup(backup, manifest)
    state_dir = settings.daemon.state_dir
    with restoring(state_dir, backup, backup / FRONTIER) as again:
        there = [path for folder, spec in places for path in in_the_way(spec)]
        if there and not again:
            more = f" and {len(there) - NAMED} more" if len(there) > NAMED else ""
            raise FrontierError(
                f"{', '.join(map(str, there[:NAMED]))}{more}: exists already, and is not replaced: move it away"
            )
        begun: list[tuple[str, SinkSpec]] = list(places) if again else []
        try:
            for folder, spec in places:
                begun.append((folder, spec))
                place(spec, backup / folder, manifest.identity, manifest.commits)
        except Exception:
            for folder, spec in begun:
                remove(spec, backup / folder)
            raise
    names = {name for sink in manifest.sinks for name in sink.names}
    return Restored(
        made_at=manifest.made_at,
        state_dir=str(state_dir),
        sinks={spec.name: str(spec.path) for _, spec in places},
        empty=sorted(name for name in _kept(settings) if name not in names),
        again=again,
    )


def _places(settings: Settings, manifest: Manifest) -> list[tuple[str, SinkSpec]]:
    """The folders in the backup, with the sinks that get their contents."""
    known = databases(settings)
    places = []
    for sink in manifest.sinks:
        found = [specs for specs in known.values() if any(each.name in sink.names for each in specs)]
        for specs in found:
            if specs[0].type != sink.type:
                raise SinkError(
                    f"the sink {specs[0].name} is now of the type {specs[0].type}; in the backup, {sink.type}"
                )
        if len(found) != 1:
            what = "has no sink" if not found else "has in several databases what is one in the backup, the sink"
            raise SinkError(
                f"the configuration {what} {', '.join(sink.names)}: make it as it was when the backup was made"
            )
        places.append((sink.folder, found[0][0]))
    return places


def _kept(settings: Settings) -> Iterator[str]:
    for specs in databases(settings).values():
        if specs[0].type != "stdout":
            yield from (each.name for each in specs)
