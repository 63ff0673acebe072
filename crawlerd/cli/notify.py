"""`crawlerd notify …`: tests whether messages reach people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from crawlerd.cli.answers import tell
from crawlerd.cli.context import config_path, daemon_of, read_settings, running_pid
from crawlerd.cli.exits import ExitCode, exit_codes, fail
from crawlerd.cli.terminal import say
from crawlerd.core.redaction import shown

if TYPE_CHECKING:
    from crawlerd.operations.notify_trial import NotifyTrials

notify = typer.Typer(help="Test the hooks of [notify] in the configuration.", no_args_is_help=True)


@notify.callback()
def _commands() -> None:
    pass  # without this, typer would run the only command without its name


@notify.command(name="test")
def notify_test(context: typer.Context) -> None:
    """Send a test message through each hook. A running daemon sends it, with the configuration that it has loaded;
    otherwise this command does."""
    from crawlerd.operations.notify_trial import SECONDS, NotifyTrials
    from crawlerd.service.control import must_ask

    with exit_codes():
        daemon = daemon_of(context)
        if running_pid(daemon.state_dir) is not None:
            done = must_ask(daemon, "POST", "notify/test", NotifyTrials, seconds=SECONDS)
        else:
            from crawlerd.service.hooks import Hooks
            from crawlerd.service.notifying import trials

            spec = read_settings(config_path(context)).notify
            done = NotifyTrials(hooks=trials(spec, Hooks()) if spec else [])
        if not done.hooks:
            fail("no hook is configured: [notify.webhook] or [notify.command], then `crawlerd reload`", ExitCode.FAILED)
        tell(done, _print)
        if any(each.problem is not None for each in done.hooks):
            raise typer.Exit(ExitCode.FAILED)


def _print(done: NotifyTrials) -> None:
    for each in done.hooks:
        what = f"{each.hook} {shown(each.where)}"
        if each.problem is None:
            say(f"{what}: arrived ({each.seconds:.1f} s)")
        else:
            say(f"{what}: did not arrive: {shown(each.problem)}")
