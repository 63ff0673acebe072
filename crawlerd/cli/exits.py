"""How commands end: their exit codes, and how errors are reported."""

from __future__ import annotations

from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING, NoReturn

import typer

from crawlerd.cli.modes import modes
from crawlerd.cli.terminal import say, say_json
from crawlerd.core.errors import (
    ConfigurationError,
    CrawlerdError,
    DaemonUnavailable,
    FrontierLocked,
    FrontierRefused,
    FrontierTooNew,
    FrontierUnusable,
    ReaderGone,
    StartAgain,
    StorageFailed,
    SyncFailed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from crawlerd.operations.problem import ProblemCode


class ExitCode(IntEnum):
    """All exit codes of all commands."""

    DONE = 0  # for `import`: every run is complete
    FAILED = 1
    USAGE = 2  # typer's code too, for arguments that it cannot parse
    INCOMPLETE = 3  # every run has ended, but not all are complete
    UNAVAILABLE = 69  # EX_UNAVAILABLE: an API or the daemon does not answer, or no daemon runs and one is needed
    DISK = 74  # EX_IOERR of sysexits.h
    LOCKED = 75  # EX_TEMPFAIL
    CONFIGURATION = 78  # EX_CONFIG
    INTERRUPTED = 130  # as shells report a SIGINT
    READER_GONE = 141  # as shells report a SIGPIPE


def _say_why(line: str) -> None:
    say(f"crawlerd: {line}", error=True)


@contextmanager
def exit_codes(tell: Callable[[str], None] = _say_why) -> Iterator[None]:
    """Turns each error of crawlerd into a message on stderr and its exit code.

    tell: gets the lines of the message.
    """
    try:
        yield
    except (ConfigurationError, FrontierTooNew, FrontierRefused, FrontierUnusable) as error:
        fail(error, ExitCode.CONFIGURATION, tell)
    except FrontierLocked as error:
        fail(error, ExitCode.LOCKED, tell)
    except ReaderGone as error:
        text = f"{error}; the import has not ended, and the next one writes everything again"
        fail(text, ExitCode.READER_GONE, tell)
    except StartAgain as error:
        fail(error, ExitCode.DISK, tell)
    except SyncFailed as error:
        fail(f"{error}; nothing that was acknowledged is lost: check the disk, then start again", ExitCode.DISK, tell)
    except StorageFailed as error:
        fail(
            f"{error}; nothing is lost: fix that, then repeat the command; a daemon that runs goes on by itself",
            ExitCode.DISK,
            tell,
        )
    except DaemonUnavailable as error:
        fail(error, ExitCode.UNAVAILABLE, tell)
    except CrawlerdError as error:
        fail(error, ExitCode.FAILED, tell)


def fail(message: object, code: ExitCode, tell: Callable[[str], None] = _say_why) -> NoReturn:
    """Ends the command with a message on stderr; with --json, also with a problem on stdout.

    message: a text, or the error.
    tell: gets the lines of the message.
    """
    for line in str(message).split("\n"):
        tell(line)
    tell_problem(message, code)
    raise typer.Exit(code)


def tell_problem(message: object, exit_code: int, *, fault: bool = False) -> None:
    """Prints an error as one line of JSON on stdout, in the API's format. Does nothing without --json, or if a result
    was printed already.

    fault: it is one of crawlerd itself.
    """
    if not modes.machine or modes.printed:
        return
    import msgspec

    from crawlerd.operations.problem import CommandProblem, ProblemCode, problem

    code = ProblemCode.INTERNAL if fault else _code(message, exit_code)
    lines = str(message).split("\n")
    found = CommandProblem(
        **msgspec.structs.asdict(problem(code, str(message))),
        exit_code=int(exit_code),
        problems=lines if len(lines) > 1 or isinstance(message, ConfigurationError) else [],
    )
    modes.printed = True
    say_json(msgspec.json.encode(found), error=modes.records)


def _code(message: object, exit_code: int) -> ProblemCode:
    """The code with which the API answers in the same case."""
    from crawlerd.operations.problem import DaemonRefused, ProblemCode, Refused, Unknown

    match message:
        case DaemonRefused():
            return message.problem.code
        case Unknown():
            return ProblemCode.NOT_FOUND
        case Refused():
            return ProblemCode.INVALID
    codes = {
        ExitCode.FAILED: ProblemCode.FAILED,
        ExitCode.USAGE: ProblemCode.INVALID,
        ExitCode.UNAVAILABLE: ProblemCode.UNAVAILABLE,
        ExitCode.DISK: ProblemCode.DISK,
        ExitCode.LOCKED: ProblemCode.LOCKED,
        ExitCode.CONFIGURATION: ProblemCode.CONFIGURATION,
        ExitCode.READER_GONE: ProblemCode.READER_GONE,
    }
    return codes.get(ExitCode(exit_code), ProblemCode.INTERNAL)
