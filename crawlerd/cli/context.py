"""What commands need first: the configuration, and a reader of the frontier."""

from __future__ import annotations

import logging
import os
import time
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from crawlerd.cli.modes import modes
from crawlerd.core.errors import ConfigurationError, CrawlerdError, FrontierError, FrontierLocked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import typer

    from crawlerd.config.ad_hoc import AdHoc
    from crawlerd.config.load import Settings
    from crawlerd.frontier.contract import Frontier
    from crawlerd.frontier.reader_contract import FrontierReader
    from crawlerd.service.control import Asked

log = logging.getLogger(__name__)

T = TypeVar("T")

current: ContextVar[typer.Context] = ContextVar("current")  # the context of the command that is running


def config_path(context: typer.Context) -> Path:
    """The path of the configuration file, as the option -c gives it.

    Raises ConfigurationError if the current directory does not exist any more.
    """
    config = Path(context.find_root().params["config"])
    if not config.is_absolute():
        try:
            Path.cwd()
        except OSError as error:
            problem = f"{config}: the current directory cannot be used ({error.strerror}): cd to one that is there"
            raise ConfigurationError([problem]) from None
    return config


def read_settings(config: Path, *, secrets: bool = True, ad_hoc: AdHoc | None = None) -> Settings:
    """Reads and checks the configuration, see `crawlerd.config.load.load`."""
    from crawlerd.config.load import load
    from crawlerd.sources import registry

    return load(config, registry=registry, secrets=secrets, ad_hoc=ad_hoc)


def read_for_sinks(config: Path) -> Settings:
    """Reads the configuration, for commands that open sinks: with secrets only if a sink's address is a secret."""
    settings = read_settings(config, secrets=False)
    if any(sink.type == "postgresql" for sink in settings.sinks.values()):
        return read_settings(config)
    return settings


def tell_warnings(settings: Settings) -> None:
    """Logs warnings: what the configuration allows but should not."""
    if modes.quiet:
        return
    for warning in settings.warnings:
        log.warning("%s", warning)


def tell_renamed(settings: Settings) -> None:
    """Logs imports that seem to have been renamed. Problems with the frontier are not reported here."""
    from crawlerd.core.redaction import shown
    from crawlerd.operations.import_names import renamed

    if modes.quiet:
        return
    try:
        with reader_of(settings.daemon.state_dir) as reader:
            found = renamed(reader, settings) if reader else []
    except (CrawlerdError, OSError):
        return
    for each in found:
        old, new = shown(each.old), shown(each.new)
        first = f"its last run has not ended: use the name {old} again until it has; then " if each.under_way else ""
        log.warning(
            "import %s is no longer configured, and %s, which reads the same, has never run: was it renamed? %s"
            "`crawlerd imports rename %s %s` moves sync points and history; it must be done before %s runs",
            old, new, first, old, new, new,
        )  # fmt: skip


def state_directory(context: typer.Context) -> Path:
    """The state directory. The rest of the configuration is not read."""
    from crawlerd.config.load import frontier_url, state_dir
    from crawlerd.frontier import locate

    folder = state_dir(config_path(context))
    locate(folder, lambda: frontier_url(config_path(context)))
    return folder


def socket_path(context: typer.Context) -> Path | None:
    """The configured path of the daemon's socket; None if it has no socket."""
    from crawlerd.config.load import socket_path

    return socket_path(config_path(context))


def daemon_of(context: typer.Context) -> Asked:
    """The daemon of the configured state directory, to send requests to; it need not be running."""
    from crawlerd.service.control import Asked

    return Asked(state_directory(context), socket_path(context))


def running_pid(folder: Path) -> int | None:
    """The process id of the crawlerd that uses a state directory; None if there is none. If this user cannot see that,
    the process id of the daemon that answers at the socket."""
    from crawlerd.service.control import holder

    return holder(_asked(folder))


def by_daemon_or_here(
    daemon: Asked, method: str, path: str, answer: type[T], body: object, here: Callable[[str, float], T]
) -> T:
    """What the daemon answers if one runs, otherwise the result of `here`, which works on the files. If a daemon starts
    in between, it is asked.

    daemon: the daemon to ask.
    method, path, answer, body: as in `must_ask`.
    here: gets the user's name and the time in Unix seconds.
    """
    from crawlerd.service.control import holder, must_ask, user_name

    def act() -> T:
        if holder(daemon) is not None:
            return must_ask(daemon, method, path, answer, body)
        return here(user_name(os.getuid()), time.time())

    try:
        return act()
    except FrontierLocked:
        return act()


@contextmanager
def writer_of(folder: Path) -> Iterator[Frontier]:
    """Opens the frontier of a state directory for writing.

    Raises FrontierLocked while a crawlerd uses it. Raises FrontierError if there is no frontier and an environment
    variable names the directory: a mistyped variable must not create one.
    """
    from crawlerd.config.overrides import PREFIX
    from crawlerd.frontier import open_frontier
    from crawlerd.frontier.lock import StateLock

    if os.environ.get(variable := f"{PREFIX}STATE_DIR", "").strip():
        with reader_of(folder) as reader:
            if reader is None:
                problem = f"{variable} names {folder}, where nothing has been imported: correct it or unset it"
                raise FrontierError(problem)
    with StateLock(folder, brief=True):
        frontier = open_frontier(folder, now=time.time())
        try:
            yield frontier
        finally:
            frontier.close()


@contextmanager
def reader_of(folder: Path) -> Iterator[FrontierReader | None]:
    """Opens the frontier of a state directory for reading; None if there is none yet. A user who cannot read its files
    but can use the daemon's socket reads through the daemon."""
    from crawlerd.frontier import open_reader

    reader = _through_socket(folder) or open_reader(folder)
    try:
        yield reader
    finally:
        if reader:
            reader.close()


def _through_socket(folder: Path) -> FrontierReader | None:
    from crawlerd.service.control import holder, is_hidden

    if not is_hidden(folder):
        return None
    from crawlerd.service.remote_reader import remote_reader

    daemon = _asked(folder)
    return None if holder(daemon) is None else remote_reader(daemon)


def _asked(folder: Path) -> Asked:
    """The daemon that the running command asks."""
    from crawlerd.service.control import Asked

    context = current.get(None)
    return Asked(folder, socket_path(context) if context else None)


@contextmanager
def existing_reader(folder: Path) -> Iterator[FrontierReader]:
    """Like `reader_of`. Raises Unknown if nothing has been imported into the state directory."""
    from crawlerd.operations.problem import Unknown

    with reader_of(folder) as reader:
        if reader is None:
            raise Unknown("nothing has been imported yet")
        yield reader
