"""What every command needs of its invocation: the configuration, and the frontier to read."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import typer

    from crawlerd.config.load import Settings
    from crawlerd.frontier.reading import FrontierReader


def config_path(context: typer.Context) -> Path:
    """The configuration file, as the option -c names it."""
    return Path(context.find_root().params["config"])


def read_settings(config: Path, *, secrets: bool = True) -> Settings:
    """The configuration, checked. ConfigurationError as of `crawlerd.config.load.load`."""
    from crawlerd.config.load import load
    from crawlerd.sources import registry

    return load(config, registry=registry, secrets=secrets)


def state_directory(context: typer.Context) -> Path:
    """Without reading the rest of the configuration."""
    from crawlerd.config.load import state_dir

    return state_dir(config_path(context))


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
