"""The daemon itself: its version, configuration, files and disks, and the licenses of the packages it uses."""

from __future__ import annotations

import os
import platform
import re
from contextlib import suppress
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING

import msgspec

from crawlerd import frontier
from crawlerd.core.in_force import InForce
from crawlerd.core.notation import UNIX
from crawlerd.core.version import __version__

if TYPE_CHECKING:
    from pathlib import Path

    from crawlerd.config.load import Settings
    from crawlerd.operations.live_facts import Live

LICENSE_LENGTH = 60  # characters; some packages put the whole text there
VENDORED = ("htmx.org", "4", "0BSD")  # packages that the browser loads


class FileSize(msgspec.Struct, frozen=True, kw_only=True):
    """The size of a file.

    name: its purpose, such as `frontier` or `sinks.warehouse`.
    bytes: None if it does not exist or may not be read.
    """

    name: str
    path: str
    bytes: int | None


class DiskSpace(msgspec.Struct, frozen=True, kw_only=True):
    """A file system that crawlerd uses.

    names: what is stored on it.
    path: a directory on it.
    free: bytes that this user may still use.
    size: bytes in all.
    """

    names: list[str]
    path: str
    free: int
    size: int


class License(msgspec.Struct, frozen=True, kw_only=True):
    """The license of a package.

    license: "" if the package does not say.
    """

    name: str
    version: str
    license: str


class About(msgspec.Struct, frozen=True, kw_only=True):
    """Facts about the daemon.

    python, database: versions.
    file: the configuration file; None if unknown.
    listen: the address of the page and the API; None if there is none.
    in_force: how the file differs from the configuration in force; None if unknown.
    warnings: warnings about the configuration.
    imports, accounts, sinks: how many are configured.
    last_backup: Unix seconds; None if there was none.
    licenses: of crawlerd, then of the packages it uses, by name.
    """

    version: str
    python: str
    database: str
    host: str
    pid: int
    file: str | None
    state_dir: str
    listen: str | None
    in_force: InForce | None
    warnings: list[str]
    imports: int
    accounts: int
    sinks: int
    files: list[FileSize]
    disks: list[DiskSpace]
    last_backup: float | None
    licenses: list[License]


def about(settings: Settings, live: Live | None) -> About:
    """Facts about this process."""
    daemon = settings.daemon
    paths, folders = frontier.files(daemon.state_dir), {"the frontier": daemon.state_dir}
    for name, sink in sorted(settings.sinks.copy().items()):
        if sink.type != "stdout":
            paths[f"sinks.{name}"] = sink.database
            folders[f"sink {name}"] = sink.database.parent
    return About(
        version=__version__,
        python=platform.python_version(),
        database=frontier.database_name(daemon.state_dir),
        host=platform.node(),
        pid=os.getpid(),
        file=str(settings.file) if settings.file else None,
        state_dir=str(daemon.state_dir),
        listen=(live and live.listening) or _address(daemon.listen),
        in_force=live.in_force() if live else None,
        warnings=list(settings.warnings),
        imports=len(settings.imports),
        accounts=len(settings.accounts),
        sinks=len(settings.sinks),
        files=[FileSize(name=name, path=str(path), bytes=_size(path)) for name, path in paths.items()],
        disks=_disks(folders),
        last_backup=frontier.last_backup(daemon.state_dir),
        licenses=licenses(),
    )


@cache
def licenses() -> list[License]:
    """The licenses of installed packages that crawlerd uses."""
    found = [License(name="crawlerd", version=__version__, license=_license("crawlerd") or "MIT")]
    with suppress(metadata.PackageNotFoundError):
        wanted = metadata.requires("crawlerd") or []
        names = {re.split(r"[^A-Za-z0-9._-]", text, maxsplit=1)[0] for text in wanted if "extra ==" not in text}
        for name in sorted(names, key=str.lower):
            with suppress(metadata.PackageNotFoundError):
                found.append(License(name=name, version=metadata.version(name), license=_license(name)))
    name, version, text = VENDORED
    return [*found, License(name=name, version=version, license=text)]


def _license(name: str) -> str:
    try:
        said = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return ""
    for key in ("License-Expression", "License"):
        if key in said and 0 < len(said[key]) <= LICENSE_LENGTH:
            return said[key]
    classifiers: list[str] = said.get_all("Classifier") or []
    return ", ".join(each.rpartition(" :: ")[2] for each in classifiers if each.startswith("License :: "))


def _address(listen: tuple[str, int] | None) -> str | None:
    if not listen:
        return None
    host, port = listen
    if port == UNIX:
        return f"unix:{host}"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _disks(folders: dict[str, Path]) -> list[DiskSpace]:
    """The file systems of these directories, each once."""
    found: dict[int, DiskSpace] = {}
    for name, path in folders.items():
        with suppress(OSError):
            device, system = path.stat().st_dev, os.statvfs(path)
            if device in found:
                found[device].names.append(name)
                continue
            free, size = system.f_bavail * system.f_frsize, system.f_blocks * system.f_frsize
            found[device] = DiskSpace(names=[name], path=str(path), free=free, size=size)
    return list(found.values())
