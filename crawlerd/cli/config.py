"""`crawlerd config …`: shows the configuration, and finds errors in it."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Annotated

import typer

from crawlerd.cli import completion
from crawlerd.cli.answers import print_json, tell_list
from crawlerd.cli.context import config_path, read_settings, tell_renamed, tell_warnings
from crawlerd.cli.exits import ExitCode, exit_codes, fail
from crawlerd.cli.modes import modes
from crawlerd.cli.terminal import say, say_json
from crawlerd.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from crawlerd.config.load import Settings
    from crawlerd.operations.account_trial import AccountTrial

log = logging.getLogger(__name__)

SHOWN = 40  # most accounts that are listed, of those that work

config = typer.Typer(help="Check or print the configuration.", no_args_is_help=True)


@config.command(name="check")
def config_check(
    context: typer.Context,
    online: Annotated[
        bool, typer.Option("--online", help="Also send one request to each account's API, within its limits.")
    ] = False,
) -> None:
    """Report everything that is wrong with the configuration, without starting anything. Every secret is looked up."""
    with exit_codes():
        path = config_path(context)
        settings = read_settings(path)
        tell_warnings(settings)
        _check_driver(settings, path)
        _tell_missing_folders(settings)
        tell_renamed(settings)
        counts = (("account", settings.accounts), ("sink", settings.sinks), ("import", settings.imports))
        found = ", ".join(f"{len(each)} {word}{'s' * (len(each) != 1)}" for word, each in counts)
        tests: list[AccountTrial] = []
        code = ExitCode.DONE
        if not modes.machine:
            say(f"{path}: nothing is wrong: {found}")
        if online:
            from crawlerd.cli.trying import report, tested

            names = list(settings.accounts)
            asked = tested(settings, names, as_configured=True, with_keys=None)
            if modes.machine:
                asked = iter(tests := list(asked))
            code = report(asked, many=len(names) > SHOWN, silent=modes.machine)
        if modes.machine:
            from crawlerd.cli.results import ConfigurationChecked

            print_json(
                ConfigurationChecked(
                    file=str(path),
                    accounts=len(settings.accounts),
                    sinks=len(settings.sinks),
                    imports=len(settings.imports),
                    warnings=list(settings.warnings),
                    online=tests,
                )
            )
        raise typer.Exit(code)


def _tell_missing_folders(settings: Settings) -> None:
    """Logs which sinks cannot be written yet. This is a warning: a unit may make their folders when it starts."""
    for each in () if modes.quiet else settings.sinks.values():
        if each.type in ("sqlite", "jsonl", "persist-queue") and not os.path.isdir(each.path.parent):
            log.warning("sinks.%s: there is no directory %s yet; create it", each.name, each.path.parent)


def _check_driver(settings: Settings, path: Path) -> None:
    """Raises ConfigurationError if something is in PostgreSQL and its driver is not installed."""
    from crawlerd.core.driver import NEEDED, has_driver

    places = [f"sinks.{each.name}" for each in settings.sinks.values() if each.type == "postgresql"]
    if settings.daemon.frontier:
        places.append("daemon.frontier")
    if places and not has_driver():
        raise ConfigurationError([f"{path}: {place} is in PostgreSQL: {NEEDED}" for place in places])


@config.command(name="show")
def config_show(
    context: typer.Context,
    key: Annotated[
        str,
        typer.Argument(
            metavar="[KEY]", help="A table or setting, such as accounts.acme.", autocompletion=completion.keys
        ),
    ] = "",
    origin: Annotated[bool, typer.Option("--origin", help="Say where each value comes from.")] = False,
) -> None:
    """Print every setting with its value in force, one per line, as TOML. For a secret, only the place it comes from is
    printed."""
    from crawlerd.cli.results import Setting
    from crawlerd.config.toml_text import toml_value
    from crawlerd.config.value_origins import origins
    from crawlerd.sources import registry

    with exit_codes():
        found = [Setting(**each._asdict()) for each in origins(config_path(context), registry, key)]
        if not found:
            fail(f"there is no {key} in the configuration", ExitCode.USAGE)

        def text(found: Sequence[Setting]) -> None:
            for each in found:
                line = f"{each.key} = {toml_value(each.value)}"
                say(f"{line:59} # {each.origin}" if origin else line)

        tell_list(found, found, text)


@config.command(name="schema")
def config_schema() -> None:
    """Print the JSON Schema of the configuration file, with the installed sources' keys, for editors."""
    import json

    from crawlerd.config.file_schema import schema
    from crawlerd.sources import registry

    say_json(json.dumps(schema(registry), indent=2, ensure_ascii=False))
