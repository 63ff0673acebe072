"""`crawlerd frontier check|vacuum|backup`: beside a daemon, after a kill, alone, and where they cannot work."""

from __future__ import annotations

import shutil
import signal
import threading
from typing import TYPE_CHECKING

import apsw
import pytest
from support.installation import QUICK, Installation, tasks_of, until
from support.relay import Answer, Relay

if TYPE_CHECKING:
    from collections.abc import Callable

    from crawlerd.demo.server import Server

COMMANDS = [["frontier", "check"], ["frontier", "vacuum"], ["frontier", "backup", "copy.db"]]
SOUND = "every invariant holds\n"


class Gate:
    """Answers so many requests, and the others when it is opened."""

    def __init__(self, requests: int) -> None:
        self._left = requests
        self._opened = threading.Event()
        self._lock = threading.Lock()

    def __call__(self, path: str) -> Answer | None:
        with self._lock:
            self._left -= 1
            passes = self._left >= 0
        if not passes:
            self._opened.wait(60)
        return None

    @property
    def reached(self) -> bool:
        return self._left < 0

    def open(self) -> None:
        self._opened.set()


def test_beside_a_daemon_and_back_from_a_backup(api: Server, install: Callable[..., Installation]) -> None:
    """A backup of a busy frontier is sound and of one moment; an import goes on from it as from the real one."""
    gate = Gate(80)
    with Relay(api.url, gate) as relay:
        here = install(url=relay.url, accounts=2, account={**QUICK, "limits": ["30/second"]}, schedule="1h")
        daemon = here.start("run")
        until(lambda: here.states() and len(relay.seen) > 10)
        copied = here.run("frontier", "backup", "copy.db")
        assert copied.code == 0, copied
        assert copied.stdout.startswith("copy.db: 0.")
        checked = here.run("frontier", "check")
        assert (checked.code, checked.stdout) == (0, f"{here.state_dir / 'frontier.db'}: {SOUND}"), checked
        vacuumed = here.run("frontier", "vacuum")
        assert vacuumed.code == 75
        assert f"another crawlerd (pid {daemon.pid}) is using {here.state_dir}: stop it first" in vacuumed.stderr
        assert here.states() == ["running", "running"]
        gate.open()
        until(lambda: here.states() == ["completed"] * 2, 30)
        daemon.send(signal.SIGTERM)
        assert daemon.finish().code == 0
        again = here.run("frontier", "backup", "copy.db")
        assert again.code == 1
        assert again.stderr == "crawlerd: copy.db is there already: choose another name, or use --force\n"
        assert here.run("frontier", "check", "--full", "copy.db").stdout == f"copy.db: {SOUND}"
        ((done, unfinished),) = here.select("SELECT sum(done), sum(open) FROM run", path=here.folder / "copy.db")
        assert done < 2 * tasks_of(40)
        assert unfinished > 0
        shutil.rmtree(here.state_dir)
        here.state_dir.mkdir()
        assert here.run("frontier", "restore", "copy.db").code == 0
        assert here.run("import", "--all").code == 0
    here.assert_complete(2, 40)


def test_after_a_kill(api: Server, install: Callable[..., Installation]) -> None:
    """What the killed process left is copied and vacuumed whole, its log included."""
    gate = Gate(40)
    with Relay(api.url, gate) as relay:
        here = install(url=relay.url)
        importing = here.start("import", "a1")
        until(lambda: gate.reached)
        until(lambda: here.select("SELECT done > 0 FROM run") == [(1,)])
        importing.kill()
        gate.open()
        assert (here.state_dir / "frontier.db-wal").stat().st_size > 0
        tasks = here.select("SELECT * FROM ready")
        assert here.run("frontier", "backup", "--force", "copy.db").code == 0
        assert here.run("frontier", "check", "copy.db").code == 0
        assert here.select("SELECT * FROM ready", path=here.folder / "copy.db") == tasks
        vacuumed = here.run("frontier", "vacuum")
        assert vacuumed.code == 0
        before, after = (float(part.split(" MB")[0]) for part in vacuumed.stdout.split(" before, "))
        assert before > after > 0
        assert here.select("SELECT * FROM ready") == tasks
        assert here.run("frontier", "check", "--full").code == 0
        assert here.run("import", "a1").code == 0
    here.assert_complete(1, 40)


def test_wrong_counters_are_told_and_are_an_error(api: Server, install: Callable[..., Installation]) -> None:
    here = install(url=api.url, streams=["customers"])
    assert here.run("import", "a1").code == 0
    database = apsw.Connection(str(here.state_dir / "frontier.db"))
    database.execute("UPDATE run SET dead = 2; UPDATE bucket SET ready = 1 WHERE name = 'customers'")
    database.close()
    checked = here.run("frontier", "check")
    assert (checked.code, checked.stderr) == (1, "")
    lines = checked.stdout.splitlines()
    assert lines[0] == "run 1 counts 2 dead tasks, but there are 0"
    assert lines[1].endswith(" counts 1 ready tasks, but its queues count 0")
    assert lines[2] == "run 1 is completed, with 2 dead tasks"
    assert len(lines) == 3


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_where_nothing_was_imported(arguments: list[str], install: Callable[..., Installation]) -> None:
    here = install(url="http://127.0.0.1:9")
    done = here.run(*arguments)
    assert done.code == 1
    assert done.stderr == f"crawlerd: there is no frontier in {here.state_dir / 'frontier.db'}\n"
    assert not here.state_dir.exists()
    assert not (here.folder / "copy.db").exists()


@pytest.mark.parametrize("arguments", [*COMMANDS, ["status"], ["status", "--json"], ["dead", "list"]], ids=" ".join)
def test_where_there_was_a_frontier_and_is_none(arguments: list[str], install: Callable[..., Installation]) -> None:
    here = install(url="http://127.0.0.1:9")
    here.state_dir.mkdir()
    (here.state_dir / "frontier.id").write_text("0123456789abcdef\n")
    for content in (None, b""):
        if content is not None:
            (here.state_dir / "frontier.db").write_bytes(content)
        done = here.run(*arguments)
        assert done.code == 78
        assert done.stdout == "" or done.json["exit_code"] == 78
        assert f"frontier.db is {'missing' if content is None else 'empty'}" in done.stderr
        assert "`crawlerd frontier restore FILE`" in done.stderr
