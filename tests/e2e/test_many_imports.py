"""`crawlerd import` of 500 imports: a first line at once, a row of all while they run, one summary at the end."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING

import pytest
from support.installation import COMMAND, until
from support.tmux import Terminal

from crawlerd.frontier.lock import lock_holder

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.installation import Installation

MANY = 500
SOURCE = """
source = Source("small", base_url="http://127.0.0.1:9", streams=["things"])
GO = Path({folder!r}) / "go"

@dataclass(frozen=True)
class Thing(TaskArgs, kind="small.thing"):
    account: str

@source.handles(Thing)
def thing(api, args):
    while not GO.exists():
        pass
    if args.account.endswith("-7"):
        raise Permanent("HTTP 404: no things here")
    yield Record("things", "1", {{"account": args.account}})

@source.starts
def starts(plan):
    return [Thing(plan.account)]
"""


@pytest.fixture
def here(install: Callable[..., Installation]) -> Installation:
    """The import `small` of account `small-7` fails; the others bring a record each, once the file `go` is there."""
    made = install(accounts=0)
    made.add_source("small", SOURCE.format(folder=str(made.folder)).replace("pass", "__import__('time').sleep(0.05)"))
    account, spec = made.config["accounts"].pop("small"), made.config["imports"].pop("small")
    for number in range(MANY):
        made.config["accounts"][f"small-{number}"] = account
        made.config["imports"][f"import-{number:03}"] = {**spec, "account": f"small-{number}"}
    return made


def test_a_pipe_gets_a_line_at_once_and_one_summary(here: Installation) -> None:
    process = here.start("import", "--all")
    process.says(r"^importing 500 imports\n")
    (here.folder / "go").touch()
    done = process.finish(120)
    assert done.code == 1
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines[:3]] == ["import-007", "  full", "  thing"]
    assert re.fullmatch(
        r"500 imports after \d+:\d\d: 499 completed, 1 failed; 499 records, 499 tasks, 0 retried, 0 "
        r"throttled, 1 dead",
        lines[3],
    )
    assert len(lines) == 5
    quiet = here.run("import", "import-007", "import-008", "--quiet")
    assert [line.split(":")[0] for line in quiet.stdout.splitlines()[:1]] == ["import-007"]
    assert quiet.stderr == ""
    assert here.run("import", "import-001", "--no-progress").stderr == ""


def test_a_terminal_of_80_by_24_shows_all_of_them_in_one_row(here: Installation) -> None:
    here.write()
    with Terminal(here.folder, here.environment) as terminal:
        terminal.enter(f"clear; {COMMAND} import --all; echo ended with $?")
        screen = terminal.shows("all 500")
        assert re.search(r"and \d+ more: ", screen)
        assert "500 running" in screen
        (here.folder / "go").touch()
        screen = terminal.shows("ended with 1")
        assert screen.count("500 imports after") == 1
        assert "all 500" not in screen
        assert "import-007: run 8 failed" in screen


def test_many_beside_a_daemon_are_followed_in_one_line(here: Installation) -> None:
    (here.folder / "go").touch()
    daemon = here.start("run")
    until(lambda: lock_holder(here.state_dir))
    done = here.run("import", *(f"import-{number:03}" for number in range(40)), seconds=120)
    assert done.code == 1
    told = [line for line in done.stderr.splitlines() if "runs under way" not in line]
    assert told == [
        "asking the daemon for 40 imports",
        "40 imports: 40 started, 0 under way already, 0 not started",
    ]
    assert done.stdout.startswith("import-007: run ")
    assert "40 imports after" in done.stdout
    daemon.send(signal.SIGTERM)
    daemon.finish()
