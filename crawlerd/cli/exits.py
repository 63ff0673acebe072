"""How commands end: their exit codes, and what is told on stderr."""

from __future__ import annotations

from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING, NoReturn

import typer

from crawlerd.cli.terminal import say
from crawlerd.core.errors import (
    ConfigurationError,
    CrawlerdError,
    FrontierLocked,
    FrontierRefused,
    FrontierTooNew,
    FrontierUnusable,
    ReaderGone,
    StorageFailed,
    SyncFailed,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


class ExitCode(IntEnum):
    """All exit codes of all commands."""

    DONE = 0  # of `import`: every run is complete
    FAILED = 1
    USAGE = 2  # also typer's own, for what it cannot parse
    INCOMPLETE = 3  # every run has ended, not all are complete
    UNAVAILABLE = 69  # EX_UNAVAILABLE: an API does not answer; the next start goes on
    DISK = 74  # EX_IOERR of sysexits.h
    LOCKED = 75  # EX_TEMPFAIL
    CONFIGURATION = 78  # EX_CONFIG
    INTERRUPTED = 130  # as shells report a SIGINT
    READER_GONE = 141  # as shells report a SIGPIPE


@contextmanager
def exit_codes() -> Iterator[None]:
    """Every error that is ours becomes a message on stderr and its exit code."""
    try:
        yield
    except (ConfigurationError, FrontierTooNew, FrontierRefused, FrontierUnusable) as error:
        fail(error, ExitCode.CONFIGURATION)
    except FrontierLocked as error:
        fail(error, ExitCode.LOCKED)
    except ReaderGone as error:
        fail(f"{error}; the import has not ended, and the next one writes all there is again", ExitCode.READER_GONE)
    except SyncFailed as error:
        fail(f"{error}; nothing that was acknowledged is lost: check the disk, then start again", ExitCode.DISK)
    except StorageFailed as error:
        fail(f"{error}; nothing is lost: put that right, then start again", ExitCode.DISK)
    except CrawlerdError as error:
        fail(error, ExitCode.FAILED)


def fail(message: object, code: ExitCode) -> NoReturn:
    """Ends the command with a message on stderr."""
    for line in str(message).split("\n"):
        say(f"crawlerd: {line}", error=True)
    raise typer.Exit(code)
