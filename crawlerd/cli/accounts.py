"""`crawlerd accounts …`: what each account waits for, and all that is known of one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from crawlerd.cli.context import reader_of, socket_path, state_directory
from crawlerd.cli.exits import ExitCode, exit_codes, fail
from crawlerd.cli.tables import local_time, print_columns
from crawlerd.cli.terminal import say, say_json
from crawlerd.core.redaction import shown

if TYPE_CHECKING:
    from pathlib import Path

    from crawlerd.core.reasons import Waiting
    from crawlerd.operations.account_facts import Account, Accounts, AccountsRequest

accounts = typer.Typer(help="Accounts: what they wait for.", invoke_without_command=True)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@accounts.callback()
def accounts_list(
    context: typer.Context,
    needs_a_look: Annotated[
        bool,
        typer.Option("--needs-a-look", help="Only refused, throttled or paused ones, and those that get no answer."),
    ] = False,
    after: Annotated[str, typer.Option(metavar="NAME", help="Start after this name.")] = "",
    limit: Annotated[int, typer.Option(help="Maximum number to list.", min=1, max=500)] = 100,
    as_json: Json = False,
) -> None:
    """List the accounts by name, each with what it waits for."""
    if context.invoked_subcommand:
        return
    import msgspec

    from crawlerd.operations.account_facts import AccountsRequest

    with exit_codes():
        request = AccountsRequest(needs_a_look=needs_a_look, after=after, limit=limit)
        found = _accounts(state_directory(context), socket_path(context), request)
        if as_json:
            say_json(msgspec.json.encode(found))
            return
        rows = [(each.name, each.source, f"{each.ready:,}", _waits(each.waits)) for each in found.accounts]
        print_columns([("account", "source", "ready", "waits for"), *rows])
        if found.next is not None:
            say(f"there are more: crawlerd accounts --after {found.next}")


@accounts.command(name="show")
def show(context: typer.Context, name: str, as_json: Json = False) -> None:
    """Show an account: its limits, what was learned of them, its buckets, what it waits for, its last errors."""
    import msgspec

    with exit_codes():
        found = _account(state_directory(context), socket_path(context), name)
        if as_json:
            say_json(msgspec.json.encode(found))
        else:
            _print(found)


def _print(found: Account) -> None:
    say(f"account {found.name} of {found.source}" + (f", which is {shown(found.identity)}" if found.identity else ""))
    say(f"  ready: {found.ready:,} tasks")
    say(shown(f"  waits for: {_waits(found.waits)}"))
    if found.waits.cure:
        say(shown(f"  {found.waits.cure}"))
    if found.limits is None:
        say("  limits: only the daemon can tell them, and it does not run")
    for bucket, limits in (found.limits or {}).items():
        if limits:
            say(f"  limits of {bucket or 'the account'}: {', '.join(limits)}")
    for bucket, learned in found.learned.items():
        say(f"  learned of {bucket or 'the account'}: {bytes(learned).decode()}")
    if found.buckets:
        now = time.time()
        print_columns(
            [
                ("bucket", "ready", "throttled until"),
                *(
                    (each.name, f"{each.ready:,}", local_time(each.blocked_until) if each.blocked_until > now else "")
                    for each in found.buckets
                ),
            ]
        )
    for letter in found.errors:
        say(shown(f"dead letter {letter.id}, {local_time(letter.at)}: {letter.error}"))


def _waits(waits: Waiting) -> str:
    until = f", until {local_time(waits.until)}" if waits.until and waits.until > time.time() else ""
    return f"{waits.reason}: {waits.text}{until}"


def _accounts(folder: Path, configured: Path | None, request: AccountsRequest) -> Accounts:
    from crawlerd.frontier.lock import lock_holder
    from crawlerd.operations.account_facts import Accounts, accounts
    from crawlerd.service.control import Asked, ask

    look = str(request.needs_a_look).lower()
    place = f"accounts?needs_a_look={look}&after={quote(request.after, safe='')}&limit={request.limit}"
    running = lock_holder(folder) is not None
    found = ask(Asked(folder, configured), "GET", place, Accounts) if running else None
    with reader_of(folder) as reader:
        if reader is None:
            fail("nothing has been imported yet", ExitCode.FAILED)
        return found or accounts(reader, None, request, time.time())


def _account(folder: Path, configured: Path | None, name: str) -> Account:
    from crawlerd.frontier.lock import lock_holder
    from crawlerd.operations.account_facts import Account, account
    from crawlerd.service.control import Asked, ask

    running = lock_holder(folder) is not None
    asked = Asked(folder, configured)
    found = ask(asked, "GET", f"accounts/{quote(name, safe='')}", Account) if running else None
    with reader_of(folder) as reader:
        if reader is None:
            fail("nothing has been imported yet", ExitCode.FAILED)
        return found or account(reader, None, name, time.time())
