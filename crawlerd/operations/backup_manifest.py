"""What a backup contains, and where."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

import msgspec

from crawlerd.core.configuration import SinkType
from crawlerd.core.errors import FrontierError
from crawlerd.files.bounded_reading import read_whole

if TYPE_CHECKING:
    from pathlib import Path

NAME, FRONTIER = "backup.json", "frontier.db"
FORMAT = 1
MOST_BYTES = 16 << 20


class SavedSink(msgspec.Struct, frozen=True, kw_only=True):
    """The copy of a sink.

    names: the sink's name in the configuration; several if they share a database.
    folder: its directory in the backup.
    """

    names: list[str]
    type: SinkType
    folder: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup contains.

    crawlerd: the version that made it.
    made_at: the time of the frontier's copy, in Unix seconds; the sinks are slightly younger.
    identity, commits: the frontier's identity, and the number of its last group commit.
    """

    format: int = FORMAT
    crawlerd: str
    made_at: float
    identity: str
    commits: int
    sinks: list[SavedSink]


def read_manifest(backup: Path) -> Manifest:
    """Reads what a backup contains. Raises FrontierError if the directory has no backup that this version can read; the
    message says which version can."""
    if (backup / NAME).exists() and not (backup / NAME).is_file():  # opening a pipe would block
        raise FrontierError(f"{backup / NAME} is not a file")
    try:
        manifest = msgspec.json.decode(read_whole(backup / NAME, MOST_BYTES), type=Manifest)
    except (FileNotFoundError, NotADirectoryError):
        if found := backups_in(backup):
            raise FrontierError(f"{backup} holds {len(found)} backups; name one of them, such as {found[-1]}") from None
        raise FrontierError(f"there is no backup in {backup}: it has no {NAME}") from None
    except (OSError, msgspec.DecodeError) as error:
        raise FrontierError(f"{backup / NAME} cannot be read: {error}") from None
    if manifest.format != FORMAT:
        raise FrontierError(f"{backup} was made by crawlerd {manifest.crawlerd}, in another format: use that version")
    for sink in manifest.sinks:
        if (folder := PurePath(sink.folder)).is_absolute() or ".." in folder.parts:
            raise FrontierError(f"{backup / NAME} names {sink.folder}, which is not in the backup: use another backup")
        if not (backup / sink.folder).is_dir():
            raise FrontierError(f"{backup} is incomplete: it has no {sink.folder}; use another backup")
    return manifest


def backups_in(folder: Path) -> list[Path]:
    """The backups in a directory, the oldest first by their names."""
    if not folder.is_dir():
        return []
    return sorted(each for each in folder.iterdir() if (each / NAME).is_file() and not each.name.startswith("."))
