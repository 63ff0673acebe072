"""`crawlerd top` on a real terminal: what it shows, its keys, and a terminal that is as before, whatever ends it."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

import psutil
import pytest
from support.installation import COMMAND, until
from support.rest_api import RestApi
from support.shops import serve, shop
from support.tmux import Terminal

from crawlerd.cli.main import run_command
from crawlerd.frontier.lock import lock_holder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.installation import Installation


@pytest.fixture
def here(install: Callable[..., Installation]) -> Iterator[Installation]:
    """A daemon that imports, at 20 requests a second, for longer than a test takes."""
    with RestApi() as api:
        serve(api, 3_000)
        made = shop(
            install, api, {"orders": ["orders", "lines"], "stores": ["stores", "shelves"]}, limits=["20/second"]
        )
        made.config["accounts"]["idle"] = {**made.config["accounts"]["acme"]}
        for each in made.config["imports"].values():
            each["schedule"] = "1d"  # due at the start
        daemon = made.start("run")
        yield made
        daemon.kill()


@pytest.fixture
def terminal(here: Installation) -> Iterator[Terminal]:
    with Terminal(here.folder, here.environment) as made:
        made.before = made.state  # type: ignore[attr-defined] # to compare with
        yield made


def as_before(terminal: Terminal) -> bool:
    return terminal.state == terminal.before  # type: ignore[attr-defined] # see `terminal`


def test_it_shows_what_goes_on(here: Installation, terminal: Terminal) -> None:
    terminal.enter(f"{COMMAND} top")
    screen = terminal.shows("importing")
    for text in ("importing", "accounts: 1", "acme", "runs: 2", "orders", "stores", "errors: 0", "q quit"):
        assert text in terminal.shows(text)
    terminal.shows("████")  # of the limit
    assert len(screen.splitlines()) <= 24
    terminal.resize(60, 12)
    screen = terminal.shows("q quit")
    assert "importing" in screen
    terminal.resize(120, 40)
    terminal.shows("q quit   Tab next list   arrows, PgUp, PgDn, Home, End scroll   space hold")
    terminal.type("Space")
    terminal.shows("held: space goes on")
    terminal.type("Space", "q")
    terminal.shows("$")
    until(lambda: as_before(terminal))


ENDS = (["q"], ["C-c"], ["Tab", "Down", "PageDown", "Home", "End", "x", "q"])
SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def test_whatever_ends_it_the_terminal_is_as_before(here: Installation, terminal: Terminal) -> None:
    ways: list[tuple[object, int]] = [*((keys, 0) for keys in ENDS), *((each, 128 + each) for each in SIGNALS)]
    for place, (way, code) in enumerate(ways):
        terminal.enter(f"clear; {COMMAND} top; echo end {place} with $?")
        terminal.shows("importing")
        assert not as_before(terminal)
        if isinstance(way, list):
            terminal.type(*way)
        else:
            os.kill(process_of(here), way)
        terminal.shows(f"end {place} with {code}")
        until(lambda: as_before(terminal))


def test_it_can_be_stopped_and_continued(here: Installation, terminal: Terminal) -> None:
    terminal.enter(f"{COMMAND} top; echo ended with $?")
    terminal.shows("importing")
    process = psutil.Process(process_of(here))
    terminal.type("C-z")
    until(lambda: process.status() == psutil.STATUS_STOPPED)
    assert terminal.state["alternate"] == terminal.before["alternate"]  # type: ignore[attr-defined] # see `terminal`
    terminal.enter("fg")
    until(lambda: terminal.state["alternate"] == "1")
    terminal.shows("importing")
    terminal.type("q")
    until(lambda: as_before(terminal))


def test_without_colors(here: Installation, terminal: Terminal) -> None:
    terminal.enter(f"NO_COLOR=1 {COMMAND} top")
    terminal.shows("importing")
    assert not [code for code in ("[31m", "[32m", "[33m") if code in terminal.colored]
    terminal.type("q")
    until(lambda: as_before(terminal))
    terminal.enter(f"{COMMAND} top")
    terminal.shows("importing")
    until(lambda: "[32m" in terminal.colored.replace("[1m\x1b[32m", "[32m").replace("[1;32m", "[32m"))


def test_a_daemon_that_hangs_holds_up_no_key(here: Installation, terminal: Terminal) -> None:
    terminal.enter(f"{COMMAND} top; echo ended with $?")
    terminal.shows("importing")
    daemon = lock_holder(here.state_dir)
    assert daemon
    os.kill(daemon, signal.SIGSTOP)
    try:
        terminal.type("Space")
        terminal.shows("held")
        terminal.type("q")
        terminal.shows("ended with 0")
    finally:
        os.kill(daemon, signal.SIGCONT)


def test_it_is_printed_once_where_there_is_no_terminal(
    here: Installation, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(here.folder)
    for key, value in here.environment.items():
        monkeypatch.setenv(key, value)

    def share() -> float | None:
        assert run_command(["top", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        accounts = {each["name"]: each for each in found["accounts"]}
        return accounts.get("acme", {}).get("rate")

    until(lambda: 15 < (share() or 0) <= 21)
    assert run_command(["top"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert "importing at" in lines[1]


def process_of(here: Installation) -> int:
    """Of `top`, which is the only one of the folder's commands that is named so."""

    def find() -> int | None:
        for process in psutil.process_iter(["cmdline", "cwd"]):
            words = process.info["cmdline"] or []
            if words[-1:] == ["top"] and process.info["cwd"] == str(here.folder):
                return int(process.pid)
        return None

    found: int = until(find)
    return found
