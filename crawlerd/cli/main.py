"""The command line: parses arguments, runs the command, and returns its exit code."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import redirect_stderr, suppress
from functools import cache
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.main import get_command

from crawlerd.cli import completion
from crawlerd.cli.commands import COMMANDS, Commands, finish
from crawlerd.cli.context import current
from crawlerd.cli.exits import ExitCode, tell_problem
from crawlerd.cli.modes import begin
from crawlerd.cli.terminal import open_standard_streams, say
from crawlerd.core.version import __version__

app = typer.Typer(
    name="crawlerd",
    help="Imports data from rate-limited APIs, durably, at the highest speed that each account permits.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
COMPLETING = "_CRAWLERD_COMPLETE"  # the variable that a shell sets when it asks for completions
CLICK_ERROR: Any = typer.BadParameter.__mro__[2]  # the base class of typer's errors, which typer does not export


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"crawlerd {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    config: Annotated[  # `read_settings` reports whether it can be read
        Path,
        typer.Option(
            "--config",
            "-c",
            envvar="CRAWLERD_CONFIG",
            readable=False,
            help="The configuration file.",
            autocompletion=completion.files,
        ),
    ] = Path("crawlerd.toml"),
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    current.set(context)  # each command reads from it what it needs


@cache
def command() -> Any:
    """The root command, with all commands below it."""
    root: Any = get_command(app)
    root.commands = Commands(COMMANDS)
    if os.environ.get("NO_COLOR"):  # see https://no-color.org; rich handles the rest
        root.context_settings["color"] = False
    finish(root, ())
    return root


def main() -> NoReturn:
    """The entry point of `crawlerd`."""
    open_standard_streams()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until there is work under way, Ctrl-C just ends the process
    sys.exit(run_command(sys.argv[1:]))


def run_command(arguments: list[str]) -> int:
    """Runs the command that the arguments give. Returns its exit code."""
    begin(arguments)
    if os.environ.get(COMPLETING, "").startswith("complete_"):
        return _complete()
    try:
        return int(command().main(arguments, "crawlerd", standalone_mode=False) or ExitCode.DONE)
    except CLICK_ERROR as error:  # the arguments cannot be parsed
        error.show()
        tell_problem(error.format_message(), error.exit_code)
        return int(error.exit_code)
    except typer.Abort:
        say("Aborted!", error=True)
        tell_problem("aborted", ExitCode.FAILED)
        return ExitCode.FAILED
    except Exception as error:
        tell_problem(f"{type(error).__name__}: {error}", ExitCode.FAILED, fault=True)
        raise


def _complete() -> int:
    """Answers a shell that asks for completions. Only suggestions may be printed: the shell shows all output where the
    user types."""
    with open(os.devnull, "w") as nowhere, redirect_stderr(nowhere), suppress(Exception, SystemExit):
        command().main([], "crawlerd", standalone_mode=False)
    return ExitCode.DONE
