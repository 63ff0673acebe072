"""The log of a daemon, as who reads it sees it: JSON that programs take, or priorities for the journal."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.installation import COMMAND, Installation, until

import crawlerd

if TYPE_CHECKING:
    from collections.abc import Callable

SHOP = """
import logging, sys, threading, warnings
source = Source("shop", base_url="http://127.0.0.1:9", streams=["things"])

@dataclass(frozen=True)
class Thing(TaskArgs, kind="shop.thing"):
    number: int

@source.starts
def starts(plan):
    return [Thing(number) for number in range(8)]

@source.handles(Thing, cost=0, stream="things")
def thing(api, args):
    logging.getLogger("shop").warning("careful\\nwith %d", args.number)
    print("printed", args.number)
    print("complained", args.number, file=sys.stderr)
    if args.number == 0:
        warnings.warn("an old way")
        thread = threading.Thread(target=lambda: 1 / 0, name="broken")
        thread.start()
        thread.join()
    if args.number > 5:
        raise Permanent(f"no thing '{args.number}'")
    if args.number > 3:
        raise Denied(f"thing {args.number} is locked")
    yield Record("things", str(args.number), {"number": args.number})
"""
HOW_TO = (Path(__file__).parents[2] / "docs/how-to/read-the-log.md").read_text()


def shop(folder: Path, **daemon: str) -> Installation:
    here = Installation(folder, accounts=0, daemon=daemon)
    here.add_source("shop", SHOP)
    here.config["imports"]["shop"]["schedule"] = "1d"
    return here


def events(text: str, name: str) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, text.splitlines()) if line["event"] == name]


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> str:
    """All that a daemon has written in its life."""
    here = shop(tmp_path_factory.mktemp("log") / "here", log_format="json")
    try:
        daemon = here.start("run")
        daemon.says('"event":"run_ended"')
        (worker,) = daemon.workers()
        worker.kill()
        daemon.says('"event":"worker_lost"')
        assert here.run("pause", "import", "shop", "--reason", "they\nmove").code == 0
        assert here.run("resume", "import", "shop").code == 0
        here.config["daemon"]["log_format"] = "text"
        assert "daemon.log_format" in here.run("reload").stdout
        assert here.run("dead", "retry", "--all", "--yes").code == 0
        daemon.says('"event":"operation_ended"')
        until(lambda: len(events(daemon.stderr, "run_ended")) == 2)
        daemon.send(signal.SIGTERM)
        assert daemon.process.wait(30) == 0
        return daemon.stderr
    finally:
        here.close()


def test_each_line_is_an_object_and_tells_what_has_happened(said: str) -> None:
    for line in map(json.loads, said.splitlines()):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
    names = list(dict.fromkeys(json.loads(line)["event"] for line in said.splitlines()))
    names.remove("log")
    assert names == [
        *("started", "run_full", "run_started", "dead_letter", "run_ended", "worker_lost", "paused", "resumed"),
        *("reloaded", "restart_needed", "operation_began", "run_resumed", "operation_ended", "draining", "stopped"),
    ]
    (started,) = events(said, "started")
    assert (started["version"], started["imports"]) == (crawlerd.__version__, 1)
    ended, _ = events(said, "run_ended")
    assert (ended["run"], ended["import"], ended["account"], ended["level"]) == (1, "shop", "shop", "warning")
    assert (ended["state"], ended["records"], ended["tasks"], ended["dead"]) == ("completed with dead letters", 4, 4, 4)
    (paused,) = events(said, "paused")
    assert (paused["import"], paused["reason"]) == ("shop", "they\\nmove")
    (needed,) = events(said, "restart_needed")
    assert needed["keys"] == ["daemon.log_format"]
    (began,) = events(said, "operation_began")
    assert (began["act"], began["letters"]) == ("retry", 4)
    (done,) = events(said, "operation_ended")
    assert (done["operation"], done["state"], done["done"]) == (began["operation"], "done", 4)


def test_of_each_group_of_dead_letters_the_first_one_is_told(said: str) -> None:
    found = events(said, "dead_letter")[:2]
    assert {each["error"].partition(":")[0] for each in found} == {"Permanent", "Denied"}
    for each in found:
        assert (each["run"], each["import"], each["account"]) == (1, "shop", "shop")
        assert (each["kind"], each["stream"], each["level"]) == ("shop.thing", "things", "warning")
        assert each["task"] > 0
        assert len(each["group"]) > 8


def test_what_workers_log_print_and_break_has_the_same_form(said: str) -> None:
    lines = [line for line in map(json.loads, said.splitlines()) if line["event"] == "log"]
    told = {(line["logger"], line["level"], line["message"]) for line in lines}
    for number in range(8):
        assert ("shop", "warning", f"careful\\nwith {number}") in told
        assert ("crawlerd.printed", "info", f"printed {number}") in told
        assert ("crawlerd.printed", "info", f"complained {number}") in told
    assert any(line["logger"] == "py.warnings" and "an old way" in line["message"] for line in lines)
    (broken, *_) = [line for line in lines if "the thread broken ends" in line["message"]]
    assert broken["traceback"].endswith("ZeroDivisionError: division by zero")


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_the_commands_of_the_how_to_work(said: str) -> None:
    lines = "systemd said something else\n" + said
    programs = re.findall(r"^log \S+ \| jq (-\w+) '(.+)'$", HOW_TO, re.MULTILINE)
    assert len(programs) > 5
    found: list[str] = []
    for flags, program in programs:
        objects = subprocess.run(["jq", "-R", "fromjson?"], input=lines, capture_output=True, text=True, check=True)
        done = subprocess.run(["jq", flags, program], input=objects.stdout, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), program
        found.append(done.stdout)
    assert re.search(r"\tshop\t1\tcompleted with dead letters\t4\t4\t", found[0])
    assert any('"event":"paused"' in each for each in found)


def test_the_journal_gets_priorities_and_no_second_time(tmp_path: Path) -> None:
    """Workers' lines and the last words, too."""
    here = shop(tmp_path / "here")
    here.under = ["sh", "-c", 'JOURNAL_STREAM=$(stat -Lc %d:%i /proc/self/fd/2) exec "$@"', "sh"]
    try:
        daemon = here.start("run")
        daemon.says("completed with dead letters")
        here.under = []
        second = here.start("run")  # which is not what the journal reads
        assert second.process.wait(30) == 75
        assert second.stderr.startswith("crawlerd: another crawlerd")
        daemon.send(signal.SIGTERM)
        assert daemon.process.wait(30) == 0
    finally:
        here.close()
    lines = daemon.stderr.splitlines()
    assert [line for line in lines if not re.match(r"<[2-7]>[^0-9]", line)] == []
    assert f"<6>crawlerd {crawlerd.__version__}, pid {daemon.pid}; " in daemon.stderr
    assert "<4>careful\\nwith 3" in lines
    assert "<6>printed 3" in lines
    assert any(line.startswith("<4>import shop: run 1 completed with dead letters") for line in lines)
    assert "<3>  ZeroDivisionError: division by zero" in lines


def test_why_the_daemon_does_not_start_has_the_form(install: Callable[..., Installation]) -> None:
    here = install(accounts=0, daemon={"log_format": "json"})
    (here.folder / "var").write_text("a file\n")
    here.under = ["sh", "-c", 'JOURNAL_STREAM=$(stat -Lc %d:%i /proc/self/fd/2) exec "$@"', "sh"]
    done = here.run("run")
    assert done.code != 0
    assert done.stderr.startswith("<2>{")
    assert f"cannot use {here.folder / 'var'}" in json.loads(done.stderr[3:])["message"]


def test_an_import_off_a_terminal_logs_in_the_form_too(tmp_path: Path) -> None:
    here = shop(tmp_path / "here", log_format="json")
    try:
        done = here.start("import", "shop", "--json")
        assert done.process.wait(60) == 3
    finally:
        here.close()
    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert {"dead_letter", "log"} <= {line["event"] for line in lines}
    assert {line["logger"] for line in lines if line["event"] == "log"} >= {"shop", "crawlerd.printed"}


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_workers_log_in_the_form_where_stderr_has_no_places(tmp_path: Path, kind: str) -> None:
    """As that of a container, and the journal's."""
    here = shop(tmp_path / "here", log_format="json")
    try:
        here.run("config", "check")  # which writes the file
        if kind == "pipe":
            done = subprocess.run(
                [COMMAND, "import", "shop"], cwd=here.folder, env=here.environment, capture_output=True, check=False
            )
            code, text = done.returncode, done.stderr.decode()
        else:
            ours, theirs = socket.socketpair()
            with ours, theirs:
                process = subprocess.Popen(
                    [COMMAND, "import", "shop"], cwd=here.folder, env=here.environment, stderr=theirs,
                    stdout=subprocess.DEVNULL,
                )  # fmt: skip
                theirs.close()
                text = b"".join(iter(lambda: ours.recv(65_536), b"")).decode()
                code = process.wait(60)
    finally:
        here.close()
    assert code == 3, text
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    assert {line["logger"] for line in lines if line["event"] == "log"} >= {"shop", "crawlerd.printed"}
    assert "\nTraceback" not in text
