"""The queues that other programs share with the daemon, the inbox and the spool: where they are, and where they must
not be."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from crawlerd.core.configuration import InboxSpec, SinkSpec, SpoolSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from crawlerd.config.validation import Checked

Queues = tuple[SpoolSpec | None, InboxSpec | None]


def queues(config: Checked, folder: Path, sinks: Mapping[str, SinkSpec], problems: list[str]) -> Queues:
    """The queues.

    folder: where relative paths start.
    problems: gets an entry for each queue that would be among the files of something else.
    """
    letters, tasks = config.dead_letters, config.inbox
    spool = SpoolSpec(folder / letters.spool, letters.mode) if letters.spool else None
    inbox = InboxSpec(folder / tasks.path, tasks.import_name, tasks.mode) if tasks.path and tasks.import_name else None
    problems += _in_the_way(spool, inbox, sinks, folder / config.daemon.state_dir)
    return spool, inbox


def _in_the_way(
    spool: SpoolSpec | None, inbox: InboxSpec | None, sinks: Mapping[str, SinkSpec], state_dir: Path
) -> Iterator[str]:
    if spool is None and inbox is None:
        return
    taken = {os.path.realpath(state_dir): "the state directory"}
    for name, sink in sinks.items():
        taken.setdefault(os.path.realpath(sink.path), f"the path of sinks.{name}")
        if sink.type == "sqlite":  # its file may have the same name as a queue's
            taken.setdefault(os.path.realpath(sink.path.parent), f"the directory of sinks.{name}")
    for key, queue in (("dead_letters.spool", spool), ("inbox.path", inbox)):
        if queue is None:
            continue
        path = os.path.realpath(queue.path)
        if other := taken.get(path):
            yield f"{key}: is {other}; a queue needs a directory of its own"
        taken.setdefault(path, key)
