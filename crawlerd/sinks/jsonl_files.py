"""The published files of a JSONL sink: lines are removed from them, and old files are deleted."""

from __future__ import annotations

import gzip
import os
import re
import zlib
from contextlib import nullcontext, suppress
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO, cast

from crawlerd.files.making import new_part
from crawlerd.sink import SinkError, SyncFailed
from crawlerd.sinks.file_errors import file_failure

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from crawlerd.core.erasure import LineMatcher

NAME = re.compile(r"([a-z][a-z0-9_]*)-\d{12,}\.jsonl(\.gz)?")


def published_files(folder: Path) -> list[Path]:
    """All published files, by name; none if the folder does not exist."""
    with suppress(FileNotFoundError):
        return sorted(path for path in folder.iterdir() if NAME.fullmatch(path.name) and not path.is_symlink())
    return []


def count_lines(path: Path, matcher: LineMatcher) -> int:
    """How many lines of a file match; 0 if it does not exist any more. Raises SinkError if it cannot be read."""
    with suppress(FileNotFoundError):
        return sum(map(matcher.matches, _lines(path)))
    return 0


def erase_lines(path: Path, matcher: LineMatcher, mode: int) -> int:
    """Rewrites a file without the matching lines, under the same name and time, completely or not at all. A file
    without any lines left is deleted. Returns how many lines were removed. Raises SinkError if that is not possible."""
    count = count_lines(path, matcher)
    if not count:
        return 0
    try:
        facts = path.stat()
        fd, part = new_part(path, mode)
        with os.fdopen(fd, "wb") as file:
            kept = _fill(file, (line for line in _lines(path) if not matcher.matches(line)), packed=_is_packed(path))
            file.flush()
            sync(file.fileno(), part)
        if kept:
            os.utime(part, ns=(facts.st_atime_ns, facts.st_mtime_ns))
            part.replace(path)
        else:
            part.unlink()
            path.unlink()
        sync_directory(path.parent)
    except OSError as error:
        raise file_failure(path, error, directory=False) from None
    return count


def expire_files(folder: Path, before: float, most: int) -> bool:
    """Deletes at most `most` files that were last changed before then. Returns whether there may be more. Raises
    SinkError if one cannot be deleted.

    before: Unix seconds.
    """
    old = [path for path in published_files(folder) if _changed_at(path) < before]
    for path in islice(old, most):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise file_failure(path, error, directory=False) from None
    if old:
        sync_directory(folder)
    return len(old) > most


def sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync(fd, path)
    finally:
        os.close(fd)


def _fill(file: BinaryIO, lines: Iterable[bytes], *, packed: bool) -> int:
    """Writes lines to a file. Returns how many."""
    count = 0
    packing = gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) if packed else nullcontext(file)
    with packing as target:
        for line in lines:
            target.write(line)
            count += 1
    return count


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with cast("BinaryIO", gzip.open(path, "rb") if _is_packed(path) else path.open("rb")) as file:
            yield from file
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SinkError(f"{path} cannot be read ({error}): delete it, or move it away") from None


def _is_packed(path: Path) -> bool:
    return path.name.endswith(".gz")


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")


def sync(fd: int, path: Path) -> None:
    try:
        os.fsync(fd)
    except OSError as error:
        raise SyncFailed(f"the disk of {path} fails to sync ({error.strerror})") from None
