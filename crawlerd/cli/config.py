"""`crawlerd config …`: what the configuration says, and what is wrong with it."""

from __future__ import annotations

import typer

from crawlerd.cli.context import config_path, read_settings, tell_warnings
from crawlerd.cli.exits import exit_codes
from crawlerd.cli.terminal import say

config = typer.Typer(help="The configuration file.", no_args_is_help=True)


@config.command(name="check")
def config_check(context: typer.Context) -> None:
    """Say all that is wrong with the configuration, without starting anything. Every secret is looked up."""
    with exit_codes():
        path = config_path(context)
        settings = read_settings(path)
        tell_warnings(settings)
        counts = (("account", settings.accounts), ("sink", settings.sinks), ("import", settings.imports))
        found = ", ".join(f"{len(each)} {word}{'s' * (len(each) != 1)}" for word, each in counts)
        say(f"{path}: nothing is wrong: {found}")
