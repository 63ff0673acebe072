"""The file and line of each key of the configuration."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from crawlerd.config.parts import LISTED, part_paths
from crawlerd.config.toml_lines import Key, lines
from crawlerd.files.bounded_reading import read_whole

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class KeyPlaces:
    """Where each key of a configuration is. The files are read on first use."""

    def __init__(self, main: Path) -> None:
        self._main = main
        self._found: dict[Path, dict[Key, int]] | None = None

    def of(self, key: Key) -> str:
        """FILE:LINE of a key, or of the innermost existing table around it; FILE if there is none."""
        for length in range(len(key), 0, -1):
            for path, found in self._files().items():
                if (line := found.get(key[:length])) is not None:
                    return f"{path}:{line}"
        return str(self._main)

    def has(self, key: Key) -> bool:
        """Whether the key is in one of the files."""
        return any(key in found for found in self._files().values())

    def in_file(self, path: Path, key: Key) -> str:
        """FILE:LINE of a key in this file."""
        return f"{path}:{self._files().get(path, {}).get(key, 1)}"

    def placed(self, problems: Iterable[str]) -> list[str]:
        """Problems that begin with the main file's name, each with the file and line of its key instead."""
        start = f"{self._main}: "
        return [
            f"{self.of(_key(text))}: {text}" if (text := each.removeprefix(start)) != each else each
            for each in problems
        ]

    def _files(self) -> dict[Path, dict[Key, int]]:
        if self._found is None:
            self._found = {}
            counts: dict[str, int] = {}
            for path in (self._main, *part_paths(self._main)):
                found = self._found[path] = _lines(path)
                tables = [key for key in found if len(key) == 2 and key[0] in LISTED]
                for key in list(found):  # lists continue in the next file
                    if key[0] in LISTED and len(key) > 1 and isinstance(key[1], int):
                        moved = (key[0], key[1] + counts.get(key[0], 0), *key[2:])
                        if moved != key:
                            found[moved] = found.pop(key)
                for key in tables:
                    counts[str(key[0])] = counts.get(str(key[0]), 0) + 1
        return self._found


def _lines(path: Path) -> dict[Key, int]:
    try:
        return lines(read_whole(path).decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError, AssertionError, IndexError):  # it has been changed in the meantime
        return {}


def _key(problem: str) -> Key:
    """The key with which a problem begins."""
    path = problem.partition(": ")[0]
    parts: list[str | int] = []
    for name, quoted, number in re.findall(r"""(?:^|\.)(?:([\w-]+)|"([^"]*)")|\[(\d+)\]""", path):
        parts.append(int(number) if number else name or quoted)
    return tuple(parts)
