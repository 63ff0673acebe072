"""`crawlerd accounts …`: what each account waits for, and everything known about one account."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from crawlerd.cli import completion
from crawlerd.cli.answers import tell, tell_list
from crawlerd.cli.context import config_path, daemon_of, existing_reader, read_settings, running_pid, state_directory
from crawlerd.cli.exits import ExitCode, exit_codes, fail
from crawlerd.cli.limit import limit, lowered_text
from crawlerd.cli.modes import modes
from crawlerd.cli.tables import local_time, print_columns
from crawlerd.cli.terminal import say
from crawlerd.core.redaction import shown
from crawlerd.core.wording import plain_error

if TYPE_CHECKING:
    from crawlerd.core.reasons import Waiting
    from crawlerd.operations.account_facts import Account, Accounts, AccountsRequest

accounts = typer.Typer(
    help="List accounts and what they wait for; test, show or limit one.", invoke_without_command=True
)
accounts.command(name="limit")(limit)
Name = Annotated[str, typer.Argument(autocompletion=completion.accounts)]


def _reason(text: str) -> str:
    from crawlerd.core.reasons import Reason

    if text and text not in tuple(Reason):
        raise typer.BadParameter(f"{text!r} is not a reason; use one of {', '.join(Reason)}")
    return text


@accounts.callback()
def accounts_list(
    context: typer.Context,
    needs_a_look: Annotated[
        bool,
        typer.Option(
            "--needs-a-look",
            help="Only accounts that are refused, throttled, paused, out of quota, or whose API does not answer.",
        ),
    ] = False,
    waits_for: Annotated[
        str,
        typer.Option(
            metavar="REASON", help="Only accounts that wait for this reason, such as quota.", callback=_reason
        ),
    ] = "",
    prefix: Annotated[
        str,
        typer.Option(
            metavar="TEXT", help="Only accounts whose name begins with this text.", autocompletion=completion.accounts
        ),
    ] = "",
    after: Annotated[
        str, typer.Option(metavar="NAME", help="Start after this name.", autocompletion=completion.accounts)
    ] = "",
    limit: Annotated[int, typer.Option(help="Maximum number to list.", min=1, max=500)] = 100,
) -> None:
    """List the accounts by name, each with what it waits for."""
    if context.invoked_subcommand:
        return
    from crawlerd.core.reasons import Reason
    from crawlerd.operations.account_facts import AccountsRequest

    with exit_codes():
        reason = Reason(waits_for) if waits_for else None
        request = AccountsRequest(needs_a_look=needs_a_look, reason=reason, prefix=prefix, after=after, limit=limit)
        found = _accounts(context, request)
        more = "" if found.next is None else f"there are more: crawlerd accounts --after {found.next}"
        tell_list(found, found.accounts, _print_all, more=more)


@accounts.command(name="show")
def show(context: typer.Context, name: Name) -> None:
    """Show an account: its limits, what was learned about them, its buckets, what it waits for, its last errors."""
    with exit_codes():
        tell(_account(context, name), _print)


@accounts.command(name="test")
def try_(context: typer.Context, name: Name) -> None:
    """Send one request to the account's API, within its limits: do the credentials work, and whose are they?"""
    from crawlerd.cli.trying import report, tested
    from crawlerd.config.problems import instead

    with exit_codes():
        # if a daemon runs, it has the keys, and this user may not be able to read them
        alone = running_pid(state_directory(context)) is None
        settings = read_settings(config_path(context), secrets=alone)
        if name not in settings.accounts:
            fail(f"there is no [accounts.{name}]; {instead(name, settings.accounts)}", ExitCode.USAGE)
        with_keys = partial(read_settings, config_path(context))
        found = list(tested(settings, [name], as_configured=False, with_keys=with_keys))
        tell(found[0], lambda _: None)
        raise typer.Exit(report(found, many=False, silent=modes.machine))


def _print_all(found: Accounts) -> None:
    rows = [(each.name, each.source, f"{each.ready:,}", _waits(each.waits)) for each in found.accounts]
    print_columns([("account", "source", "ready", "waits for"), *rows])


def _print(found: Account) -> None:
    say(f"account {found.name} of {found.source}" + (f", which is {shown(found.identity)}" if found.identity else ""))
    say(f"  ready: {found.ready:,} tasks")
    if found.rate is not None:
        of = "" if found.permitted is None else f" of {found.permitted:g} that its limits permit"
        say(f"  requests/s: {found.rate:.1f}{of}")
    say(shown(f"  waits for: {_waits(found.waits)}"))
    if found.waits.cure:
        say(shown(f"  {found.waits.cure}"))
    if found.limits is None:
        say("  limits: unknown, since only a running daemon knows them")
    for bucket, limits in (found.limits or {}).items():
        if limits:
            say(f"  limits of {bucket or 'the account'}: {', '.join(limits)}")
    for note in found.lowered:
        say(shown(f"  {lowered_text(note)}"))
    for quota in found.quotas:
        where = f" of bucket {quota.bucket}" if quota.bucket else ""
        say(f"  quota{where}: {quota.used:,} of {quota.limit} used")
    for bucket, learned in found.learned.items():
        say(f"  learned of {bucket or 'the account'}: {bytes(learned).decode()}")
    if found.buckets:
        now = time.time()
        print_columns(
            [
                ("bucket", "ready", "waits for"),
                *(
                    (
                        each.name,
                        f"{each.ready:,}",
                        f"{each.reason} until {local_time(each.blocked_until)}" if each.blocked_until > now else "",
                    )
                    for each in found.buckets
                ),
            ]
        )
    for letter in found.errors:
        say(shown(f"dead letter {letter.id}, {local_time(letter.at)}: {plain_error(letter.error)}"))


def _waits(waits: Waiting) -> str:
    until = f", until {local_time(waits.until)}" if waits.until and waits.until > time.time() else ""
    return f"{waits.reason}: {waits.text}{until}"


def _accounts(context: typer.Context, request: AccountsRequest) -> Accounts:
    from crawlerd.config.outline import outline
    from crawlerd.operations.account_facts import Accounts, accounts
    from crawlerd.operations.live_facts import Unheard
    from crawlerd.service.control import ask

    daemon = daemon_of(context)
    look = str(request.needs_a_look).lower()
    place = f"accounts?needs_a_look={look}&after={quote(request.after, safe='')}&limit={request.limit}"
    place += f"&reason={request.reason or ''}&prefix={quote(request.prefix, safe='')}"
    running = running_pid(daemon.state_dir) is not None
    found = ask(daemon, "GET", place, Accounts) if running else None
    with existing_reader(daemon.state_dir) as reader:
        live = Unheard() if running else None
        return found or accounts(reader, live, request, time.time(), outline(config_path(context)))


def _account(context: typer.Context, name: str) -> Account:
    from crawlerd.config.outline import outline
    from crawlerd.operations.account_facts import Account, account
    from crawlerd.operations.live_facts import Unheard
    from crawlerd.service.control import ask

    daemon = daemon_of(context)
    running = running_pid(daemon.state_dir) is not None
    found = ask(daemon, "GET", f"accounts/{quote(name, safe='')}", Account) if running else None
    with existing_reader(daemon.state_dir) as reader:
        live = Unheard() if running else None
        return found or account(reader, live, name, time.time(), outline(config_path(context)))
