"""What every command needs of its invocation: the configuration, and the frontier to read."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from crawlerd.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import typer

    from crawlerd.config.ad_hoc import AdHoc
    from crawlerd.config.load import Settings
    from crawlerd.frontier.contract import Frontier
    from crawlerd.frontier.reader_contract import FrontierReader

log = logging.getLogger(__name__)


def config_path(context: typer.Context) -> Path:
    """The configuration file, as the option -c names it. ConfigurationError when there is no folder to find it from."""
    config = Path(context.find_root().params["config"])
    if not config.is_absolute():
        try:
            Path.cwd()
        except OSError as error:
            problem = f"{config}: the current directory cannot be used ({error.strerror}): cd to one that is there"
            raise ConfigurationError([problem]) from None
    return config


def read_settings(config: Path, *, secrets: bool = True, ad_hoc: AdHoc | None = None) -> Settings:
    """The configuration, checked, see `crawlerd.config.load.load`."""
    from crawlerd.config.load import load
    from crawlerd.sources import registry

    return load(config, registry=registry, secrets=secrets, ad_hoc=ad_hoc)


def tell_warnings(settings: Settings) -> None:
    """What the configuration allows and should not, as log lines."""
    for warning in settings.warnings:
        log.warning("%s", warning)


def state_directory(context: typer.Context) -> Path:
    """Without reading the rest of the configuration."""
    from crawlerd.config.load import state_dir

    return state_dir(config_path(context))


def socket_path(context: typer.Context) -> Path | None:
    """Of the daemon's socket, as the configuration says."""
    from crawlerd.config.load import socket_path

    return socket_path(config_path(context))


@contextmanager
def writer_of(folder: Path) -> Iterator[Frontier]:
    """The frontier of a state directory that nobody uses. FrontierLocked while a crawlerd does."""
    from crawlerd.frontier import open_frontier
    from crawlerd.frontier.lock import StateLock

    with StateLock(folder):
        frontier = open_frontier(folder, now=time.time())
        try:
            yield frontier
        finally:
            frontier.close()


@contextmanager
def reader_of(folder: Path) -> Iterator[FrontierReader | None]:
    """Of a state directory; None while there is no frontier in it."""
    from crawlerd.frontier import open_reader

    reader = open_reader(folder)
    try:
        yield reader
    finally:
        if reader:
            reader.close()
