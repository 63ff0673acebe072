"""How commands end: their exit codes, and what is told on stderr."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import typer

from crawlerd.core.errors import (
    ConfigurationError,
    CrawlerdError,
    FrontierLocked,
    FrontierRefused,
    FrontierTooNew,
    StorageFailed,
    SyncFailed,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

EXIT_FAILED, EXIT_USAGE, EXIT_DEAD, EXIT_DISK, EXIT_LOCKED, EXIT_CONFIG = 1, 2, 3, 74, 75, 78


@contextmanager
def exit_codes() -> Iterator[None]:
    """Every error that is ours becomes a message on stderr and its exit code."""
    try:
        yield
    except ConfigurationError as error:
        fail(error, EXIT_CONFIG)
    except (FrontierTooNew, FrontierRefused) as error:
        fail(error, EXIT_CONFIG)
    except FrontierLocked as error:
        fail(error, EXIT_LOCKED)
    except SyncFailed as error:
        fail(f"{error}; nothing that was acknowledged is lost: check the disk, then start again", EXIT_DISK)
    except StorageFailed as error:
        fail(f"{error}; nothing is lost: free some space or mend the disk, then start again", EXIT_DISK)
    except CrawlerdError as error:
        fail(error, EXIT_FAILED)


def fail(message: object, code: int) -> NoReturn:
    for line in str(message).splitlines():
        typer.echo(f"crawlerd: {line}", err=True)
    raise typer.Exit(code)
