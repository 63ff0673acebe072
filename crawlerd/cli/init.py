"""`crawlerd init`: writes a first configuration."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from crawlerd.cli import completion
from crawlerd.cli.answers import tell
from crawlerd.cli.context import config_path
from crawlerd.cli.exits import ExitCode, exit_codes, fail
from crawlerd.cli.terminal import say


def init(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Option(
            help="An installed source, such as stripe; see `crawlerd sources`.", autocompletion=completion.sources
        ),
    ] = "",
    name: Annotated[
        str, typer.Option(help="The name of the account and its import; by default, the source's name.")
    ] = "",
    key_env: Annotated[
        str, typer.Option(help="The environment variable that holds the key; by default NAME_KEY.")
    ] = "",
    key_file: Annotated[
        Path | None,
        typer.Option(help="The file that holds the key, in place of a variable.", autocompletion=completion.files),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Another setting of the account or the import."),
    ] = None,
) -> None:
    """Write a commented first configuration for one account of a source. Existing files are not overwritten."""
    from crawlerd.authoring.first_configuration import write_first
    from crawlerd.cli.results import FirstConfiguration, NextStep
    from crawlerd.config.ad_hoc import settings_of
    from crawlerd.config.problems import instead
    from crawlerd.sources import registry

    with exit_codes():
        known = registry.source_names()
        if source not in known:
            what = f'there is no source "{source}"' if source else "give the source: --source NAME"
            fail(f"{what}; {instead(source, known)}", ExitCode.USAGE)
        if key_env and key_file:
            fail("give --key-env or --key-file, not both", ExitCode.USAGE)
        path = config_path(context)
        key = {"env": key_env} if key_env else {"file": str(key_file)} if key_file else {}
        try:
            given = settings_of(settings or [])
            written = write_first(path, source=source, name=name or source, key=key, given=given, registry=registry)
        except ValueError as error:
            fail(error, ExitCode.USAGE)
        steps: list[tuple[str, str]] = []
        if written.key_env and written.key_env not in os.environ:
            steps.append((f"export {written.key_env}=…", "the key"))
        if key_file and not (path.parent / key_file).exists():
            steps.append((f"(umask 077; cat > {shlex.quote(str(path.parent / key_file))})", "the key, then Ctrl-D"))
        command = "crawlerd" if path == Path("crawlerd.toml") else f"crawlerd -c {shlex.quote(str(path))}"
        steps.append((f"{command} config check --online", "check it, and see whose account it is"))
        steps.append((f"{command} import --all", "import everything in the foreground; `run` starts the daemon"))

        def text(_: object) -> None:
            say(f"{path} is written ({written.mode:04o}); next:")
            width = max(len(step) for step, _ in steps)
            for step, why in steps:
                say(f"  {step:{width}}  # {why}")

        then = [NextStep(command=step, why=why) for step, why in steps]
        tell(FirstConfiguration(file=str(path), next=then), text)
