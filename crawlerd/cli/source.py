"""`crawlerd source …`: works on sources that TOML files describe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crawlerd.cli import completion
from crawlerd.cli.answers import lines, tell
from crawlerd.cli.context import config_path, read_settings, tell_warnings
from crawlerd.cli.exits import ExitCode, exit_codes, fail

if TYPE_CHECKING:
    from crawlerd.core.configuration import AccountSpec
    from crawlerd.source import Source

source = typer.Typer(help="Test sources that are described in TOML.", no_args_is_help=True)


@source.command(name="test")
def source_test(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The description.", autocompletion=completion.files)],
    endpoint: Annotated[str, typer.Argument(metavar="ENDPOINT", help="One of its endpoints.")],
    account: Annotated[
        str | None, typer.Option(help="The configured account to use.", autocompletion=completion.accounts)
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="Without an account: the address of the API.")] = None,
    key_env: Annotated[
        str | None, typer.Option(help="Without an account: the environment variable that holds the key.")
    ] = None,
    variable: Annotated[
        list[str] | None, typer.Option(help="Without an account: a variable of the description, as NAME=VALUE.")
    ] = None,
) -> None:
    """Fetch one page of an endpoint, and show what was understood and what would be requested next.

    Uses the first configured account with this description, unless you give --account or there is no configuration.
    """
    from crawlerd.authoring.trial import try_page
    from crawlerd.cli.results import PageTried
    from crawlerd.config.problems import instead

    with exit_codes():
        without = base_url or key_env or variable
        if account and without:
            fail("--account has its own address, key and variables: leave out the other options", ExitCode.USAGE)
        own = None if without else _account_of(config_path(context), file, account)
        made, spec = own or _without_account(file, base_url, key_env, variable or [])
        if endpoint not in made.streams:
            fail(f"there is no [endpoints.{endpoint}] in {file}; {instead(endpoint, made.streams)}", ExitCode.USAGE)
        trial = try_page(made, spec, endpoint)
        tell(PageTried(good=trial.good, lines=list(trial.lines)), lines(trial.lines))
        raise typer.Exit(ExitCode.DONE if trial.good else ExitCode.FAILED)


@source.command(name="schema")
def source_schema() -> None:
    """Print the JSON schema of descriptions, for editors."""
    from crawlerd.sources.rest.schema import schema

    typer.echo(schema(), nl=False)


def _account_of(config: Path, file: Path, name: str | None) -> tuple[Source, AccountSpec] | None:
    """The named account, or the first one that uses the file; None without a configuration."""
    if name is None and not config.exists():
        return None
    settings = read_settings(config)
    tell_warnings(settings)
    uses = {
        each.name: (settings.sources[each.source], each)
        for each in settings.accounts.values()
        if (config.absolute().parent / str(each.options.get("description", ""))).resolve() == file.resolve()
    }
    if name is None:
        return next(iter(uses.values()), None)
    if name not in uses:
        fail(f"there is no [accounts.{name}] in {config} with this description", ExitCode.USAGE)
    return uses[name]


def _without_account(
    file: Path, base_url: str | None, key_env: str | None, variables: list[str]
) -> tuple[Source, AccountSpec]:
    import os

    from crawlerd.core import notation
    from crawlerd.core.configuration import AccountSpec
    from crawlerd.sources.rest import Options, describe, make

    try:
        options = Options(str(file.absolute()), dict(each.split("=", 1) for each in variables))
    except ValueError:
        fail("--variable takes NAME=VALUE", ExitCode.USAGE)
    try:
        made = make(describe(options, Path()))
        url = made.base_url if base_url is None else notation.base_url(base_url)
        if url and made.sending:
            url = made.sending(url, {"variables": options.variables}).base_url
    except ValueError as error:
        fail(error, ExitCode.CONFIGURATION)
    if url is None:
        fail(f"{file} has no base_url; give --base-url", ExitCode.USAGE)
    secret = os.environ.get(key_env, "") if key_env else ""
    if key_env and not secret:
        fail(f"--key-env: the environment variable {key_env} is not set", ExitCode.USAGE)
    if made.auth and not secret:
        fail(f"{file} needs a key; give --key-env NAME, the environment variable that holds it", ExitCode.USAGE)
    facts = {"description": options.description, "variables": options.variables}
    return made, AccountSpec(name="test", source=made.name, base_url=url, secret=secret, options=facts)
