"""`crawlerd token …`: tokens for the page and the API."""

from __future__ import annotations

import secrets

import typer

from crawlerd.cli.answers import tell
from crawlerd.cli.exits import exit_codes
from crawlerd.cli.terminal import say

TOKEN_BYTES = 32  # of chance

token = typer.Typer(help="Tokens for the page and the API: [daemon] admin_token, read_token.", no_args_is_help=True)


@token.callback()
def _commands() -> None:
    pass  # one command alone would be called without its name


@token.command(name="new")
def token_new() -> None:
    """Print a new token. Keep it in a file that the daemon's user alone may read, and name that file in [daemon]."""
    from crawlerd.cli.results import TokenMade

    with exit_codes():
        tell(TokenMade(token=secrets.token_urlsafe(TOKEN_BYTES)), lambda made: say(made.token))
