"""The messages that were and will be sent to people, kept over a restart in a small file in the state directory."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from crawlerd.core.notices import Ledger
from crawlerd.files.bounded_reading import read_whole
from crawlerd.files.making import PRIVATE_FILE, new_part

if TYPE_CHECKING:
    from pathlib import Path

NAME = "notify.json"


class LedgerFile:
    """The ledger of a state directory that this process owns."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / NAME

    def read(self) -> Ledger:
        """The ledger; an empty one if there is no file or it cannot be read: then people are told again what is
        wrong."""
        try:
            return msgspec.json.decode(read_whole(self._path), type=Ledger)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return Ledger()

    def write(self, encoded: bytes) -> None:
        """Writes a ledger in JSON, completely or not at all. Raises OSError."""
        fd, part = new_part(self._path, PRIVATE_FILE)
        try:
            with open(fd, "wb") as file:
                file.write(encoded)
                file.flush()
                os.fsync(fd)
            part.replace(self._path)
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise

    def remove(self) -> None:
        """Removes the file, when no hook is configured."""
        with suppress(OSError):
            self._path.unlink()
