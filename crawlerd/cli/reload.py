"""`crawlerd reload`: tells a running daemon to read its configuration again."""

from __future__ import annotations

import typer  # noqa: TC002 - typer reads the annotations

from crawlerd.cli.answers import confirm, print_json
from crawlerd.cli.context import daemon_of, running_pid
from crawlerd.cli.exits import ExitCode, exit_codes, fail
from crawlerd.cli.modes import modes
from crawlerd.core.redaction import shown


def reload(
    context: typer.Context,
) -> None:
    """Tell the daemon to read its configuration again. Prints what changes now, what needs a restart, and what is
    wrong."""
    from crawlerd.core.errors import DaemonUnavailable
    from crawlerd.core.in_force import Reloaded
    from crawlerd.operations.reloading import RELOAD_SECONDS, sentences
    from crawlerd.service.control import must_ask

    with exit_codes():
        daemon = daemon_of(context)
        if running_pid(daemon.state_dir) is None:
            raise DaemonUnavailable(f"no daemon uses {daemon.state_dir}: there is nothing to reload")
        done = must_ask(daemon, "POST", "reload", Reloaded, seconds=RELOAD_SECONDS)
        if done.problems:
            if modes.machine:
                print_json(done)
            fail("\n".join(map(shown, sentences(done))), ExitCode.CONFIGURATION)
        confirm(done, *map(shown, sentences(done)))
