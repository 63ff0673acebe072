"""`crawlerd demo`: a whole import from a local API, shown as it runs, measured at the server, and checked."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crawlerd.cli.answers import print_json
from crawlerd.cli.context import read_settings
from crawlerd.cli.exits import ExitCode, exit_codes, fail
from crawlerd.cli.imports import import_now
from crawlerd.cli.logs import log_to
from crawlerd.cli.modes import modes
from crawlerd.core.errors import CrawlerdError
from crawlerd.operations.run_history import RunRequest

if TYPE_CHECKING:
    from rich.console import Console

    from crawlerd.cli.report import Outcome
    from crawlerd.cli.results import DemoReport
    from crawlerd.demo.server import Server, Stats

FOLDER = Path("crawlerd-demo")
ACCOUNTS, CUSTOMERS, RATE = 4, 600, 25
FAULTS = 0.01
KILL_SECONDS = 60.0  # seconds within which the import to be killed must be halfway


def demo(
    kill: Annotated[bool, typer.Option("--kill", help="Kill the import halfway with SIGKILL, and resume it.")] = False,
    page: Annotated[
        bool, typer.Option("--page", help="Afterwards, run a daemon that serves its page until Ctrl-C.")
    ] = False,
) -> None:
    """Import from a local API into ./crawlerd-demo: no configuration, no network, under a minute."""
    from rich.console import Console

    with exit_codes():
        if find_spec("aiohttp") is None:  # the local API needs it; it runs in a process of its own
            fail("the demo's local API needs aiohttp: pip install 'crawlerd[demo]'", ExitCode.FAILED)
        console = Console(stderr=modes.machine, quiet=modes.quiet)
        log_to(console, "error")
        raise typer.Exit(demonstrate(console, kill=kill, page=page))


def demonstrate(console: Console, *, kill: bool, page: bool = False) -> ExitCode:
    """Runs the demo in ./crawlerd-demo, from the start each time."""
    from crawlerd.cli.demo_page import free_address, serve
    from crawlerd.cli.report_text import print_report
    from crawlerd.demo.server import running

    if FOLDER.exists() and not (FOLDER / "crawlerd.toml").exists():
        raise CrawlerdError(f"{FOLDER.absolute()} exists and was not made by a demo: run the demo in another folder")
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    with running(
        accounts=ACCOUNTS, customers=CUSTOMERS, rate=RATE, latency=0.05, faults=str(FAULTS), drip_seconds=2
    ) as server:
        console.print(
            f"A local API in the shape of Stripe's listens on {server.url}: {ACCOUNTS} accounts, {RATE} requests/s "
            f"each (more gets 429), 50 ms latency, {FAULTS:.0%} faults (500s, resets, truncated and wrong bodies).",
            highlight=False,
            soft_wrap=True,
        )
        address = free_address() if page else None
        config = _configure(server, address)
        if kill:
            _import_and_kill(config, server, console)
        outcome = import_now(read_settings(config), [f"shop-{n}" for n in _numbers()], RunRequest(), console=console)
        stats = server.stats()
        print_report(outcome.report, console, streams=False)
        found = _summary(outcome, stats)
        if modes.machine:
            print_json(found)
        _print(found, console)
        if address and (ended := serve(config, address, console)):
            return ended
    return outcome.exit_code or (ExitCode.FAILED if found.missing or found.extra else ExitCode.DONE)


def _numbers() -> range:
    return range(1, ACCOUNTS + 1)


def _configure(server: Server, address: str | None) -> Path:
    """Writes the configuration of the demo.

    address: where a daemon serves its page; None for no daemon.
    """
    from crawlerd.cli.demo_page import EVERY
    from crawlerd.demo.objects import STREAMS

    keys = FOLDER / "keys"
    keys.mkdir(mode=0o700)
    daemon = f'listen = "{address}"\nlog_level = "warning"\n' if address else ""
    schedule = f'schedule = "{EVERY}"\n' if address else ""
    tables = [f'[daemon]\nstate_dir = "state"\n{daemon}\n[sinks.warehouse]\ntype = "sqlite"\npath = "warehouse.db"\n']
    for number in _numbers():
        key = keys / f"shop-{number}"
        key.touch(mode=0o600)
        key.write_text(server.key(number))
        tables.append(
            f'[accounts.shop-{number}]\nsource = "stripe"\nbase_url = "{server.url}"\n'
            f'api_key = {{ file = "keys/shop-{number}" }}\nlimits = ["{RATE}/second"]\n\n'
            f'[imports.shop-{number}]\naccount = "shop-{number}"\nsink = "warehouse"\n'
            f"streams = {json.dumps(list(STREAMS))}\n{schedule}"
        )
    config = FOLDER / "crawlerd.toml"
    config.write_text("\n".join(tables))
    return config


def _import_and_kill(config: Path, server: Server, console: Console) -> None:
    """Starts the import as a process of its own, and kills it (SIGKILL) when it has made half of its requests."""
    half = ACCOUNTS * _requests() // 2
    command = [sys.executable, "-P", "-m", "crawlerd", "-c", str(config), "import", "--all"]
    console.print("starting the import as a process of its own …")
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:  # noqa: S603 - our own interpreter and module
        deadline = time.monotonic() + KILL_SECONDS
        while (served := _served(server.stats())) < half and process.poll() is None and time.monotonic() < deadline:
            try:
                process.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
        process.send_signal(signal.SIGKILL)
    begin = "\n" if console.is_terminal else ""  # the killed process left the cursor at the end of a line
    console.print(f"{begin}killed it (SIGKILL) after {served:,} served requests; resuming:", highlight=False)


def _served(stats: Stats) -> int:
    return sum(account.served for account in stats.accounts.values())


def _requests() -> int:
    """About how many requests an account takes: one for every hundred objects, and one for every customer."""
    from crawlerd.demo.objects import STREAMS

    return CUSTOMERS + sum(-(-stream.count(CUSTOMERS) // 100) for stream in STREAMS.values() if not stream.parent)


def _summary(outcome: Outcome, stats: Stats) -> DemoReport:
    import apsw
    import msgspec

    from crawlerd.cli.results import DemoReport
    from crawlerd.demo.objects import STREAMS, expected
    from crawlerd.operations.import_report import ImportReport

    database = FOLDER / "warehouse.db"
    missing = extra = total = 0
    with closing(apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)) as warehouse:
        for stream in STREAMS:
            want = {(f"shop-{n}", key) for n in _numbers() for key, _ in expected(n, stream, CUSTOMERS)}
            have: set[tuple[str, str]] = set()
            if warehouse.table_exists("main", f"stripe_{stream}"):
                have = set(warehouse.execute(f'SELECT account, id FROM "stripe_{stream}"'))  # noqa: S608 - our own names
            total, missing, extra = total + len(have), missing + len(want - have), extra + len(have - want)
    seconds = [account.last - account.first for account in stats.accounts.values() if account.last and account.first]
    requests = [account.requests for account in stats.accounts.values()]
    share = sum(requests) / sum(RATE * each for each in seconds) if all(seconds) else 0.0
    throttled = sum(sum(account.throttled.values()) for account in stats.accounts.values())
    return DemoReport(
        report=msgspec.convert(outcome.report, ImportReport),
        records=total,
        missing=missing,
        extra=extra,
        share=share,
        requests=sum(requests),
        throttled=throttled,
        database=str(database.absolute()),
        configuration=str((FOLDER / "crawlerd.toml").absolute()),
    )


def _print(found: DemoReport, console: Console) -> None:
    queries = (
        "SELECT email, name FROM stripe_customers_view LIMIT 5",
        "SELECT account, currency, sum(amount) FROM stripe_charges_view GROUP BY 1, 2",
    )
    console.print(
        f"\nimported: {found.records:,} records, {found.missing} missing, {found.extra} unexpected\n"
        f"rate, as the server saw it: {found.share:.1%} of what is permitted from each account's first request to its "
        f"last, {found.throttled} requests answered 429 of {found.requests:,}\n"
        f"database: {found.database}\nconfiguration: {found.configuration}\n\ntry:",
        *(f'\n  sqlite3 {FOLDER / "warehouse.db"} "{query}"' for query in queries),
        highlight=False,
        soft_wrap=True,
        sep="",
    )
