"""`crawlerd token …`: tokens for the page and the API."""

from __future__ import annotations

import secrets

import typer

from crawlerd.cli.answers import tell
from crawlerd.cli.exits import exit_codes
from crawlerd.cli.terminal import say

TOKEN_BYTES = 32  # random bytes

token = typer.Typer(
    help="Make tokens for the page and the API: [daemon] admin_token, read_token.", no_args_is_help=True
)


@token.callback()
def _commands() -> None:
    pass  # without this, typer would run the only command without its name


@token.command(name="new")
def token_new() -> None:
    """Print a new token. Put it into a file that only the daemon's user can read, and name that file in [daemon]."""
    from crawlerd.cli.results import TokenMade

    with exit_codes():
        tell(TokenMade(token=secrets.token_urlsafe(TOKEN_BYTES)), lambda made: say(made.token))
