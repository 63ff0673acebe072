"""What is wrong is said in plain words, with an exit code of its own; nothing is lost, and no secret is told."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import apsw
import psutil
import pytest
from support.constants import Constant
from support.installation import NO_LIMITS, QUICK, Installation, fetch, metrics_of, until
from support.relay import Answer, Relay
from support.small_disks import fill

from crawlerd.demo.server import Server, running

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

COMMANDS: list[list[str]] = [["run"], ["import", "--all"], ["status"], ["dead", "list"], ["dead", "retry", "--all"]]
ON_THE_FRONTIER = [["frontier", "check"], ["frontier", "vacuum"], ["frontier", "backup", "copy.db"]]


# the configuration


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_wrong_toml(arguments: list[str], install: Callable[..., Installation]) -> None:
    here = install()
    here.config["daemon"]["log_level"] = {}  # becomes `log_level = {}`, and then the next line is no TOML
    here.config["daemon"]["= ="] = 1
    done = here.run(*arguments)
    assert done.code == 78
    assert re.match(r"crawlerd: crawlerd\.toml:\d+: is not valid TOML: .* \(column \d+\)\n", done.stderr)
    assert done.stdout == ""
    assert not here.state_dir.exists()


@pytest.mark.parametrize("arguments", [["run"], ["import", "--all"]], ids=" ".join)
def test_everything_that_is_wrong_is_told_at_once(arguments: list[str], install: Callable[..., Installation]) -> None:
    here = install(url="http://api.example.com", accounts=2, daemon={"worker_proceses": 2})
    here.config["accounts"]["a2"] |= {"limits": ["fast"], "base_url": "https://api.example.com"}
    here.config["imports"]["a1"]["streams"] = ["customer"]
    del here.environment["KEY_2"]
    done = here.run(*arguments)
    assert done.code == 78
    for problem in (
        'daemon.worker_proceses: unknown key; did you mean "worker_processes"?',
        "accounts.a1.base_url: must begin with https://",
        "accounts.a2.api_key: the environment variable KEY_2 is not set",
        'accounts.a2.limits: "fast" is not a limit',
        'imports.a1.streams: "customer" is not a stream of stripe; did you mean "customers"?',
    ):
        (place,) = re.findall(rf"crawlerd: crawlerd\.toml:(\d+): {re.escape(problem)}", done.stderr)
        key = problem.split(":")[0].rpartition(".")[2]
        assert key in (here.folder / "crawlerd.toml").read_text().splitlines()[int(place) - 1]
    assert done.stderr.count("\n") == 5
    assert not here.state_dir.exists()


def test_no_configuration(install: Callable[..., Installation]) -> None:
    here = install()
    done = here.run("-c", "other.toml", "run")
    assert done.code == 78
    assert "other.toml: cannot be read: No such file or directory" in done.stderr


# keys


def test_a_wrong_key_is_refused_and_the_right_one_goes_on(api: Server, install: Callable[..., Installation]) -> None:
    here = install(url=api.url, accounts=2)
    here.environment["KEY_1"] = "sk_test_of_nobody_at_all"
    done = here.run("import", "--all", "--json")
    assert done.code == 1
    assert done.json["state"] == "failed"
    (paused,), (other,) = done.json["imports"].values()
    assert paused["state"] == "paused"
    assert "Unauthorized: HTTP 401: Invalid API Key provided" in paused["paused"]
    assert other["state"] == "completed"
    assert "account a1 is refused: Unauthorized: HTTP 401" in done.stderr
    assert api.stats().unauthorized == 1  # one request is enough to know
    here.environment["KEY_1"] = "sk_test_account_1"
    assert here.run("import", "--all").code == 0
    assert here.imported("a1", "customers")
    here.assert_conserved()


def test_a_key_revoked_half_way(api: Server, install: Callable[..., Installation]) -> None:
    revoked = False
    relay: Relay

    def script(path: str) -> Answer | None:
        return Answer(401, b'{"error": {"message": "Expired API Key"}}') if len(relay.seen) > 30 and revoked else None

    with Relay(api.url, script) as relay:
        here = install(url=relay.url)
        revoked = True
        done = here.run("import", "a1")
        assert done.code == 1
        assert "account a1 is refused: Unauthorized: HTTP 401: Expired API Key" in done.stdout
        here.assert_conserved()
        assert here.select("SELECT done > 20, open > 0, dead FROM run") == [(1, 1, 0)]
        revoked = False
        assert here.run("import", "a1").code == 0
    here.assert_complete(1, 40)


def test_the_key_of_another_account_or_mode(api: Server, install: Callable[..., Installation]) -> None:
    here = install(url=api.url, streams=["customers"])
    assert here.run("import", "a1").code == 0
    before = here.imported("a1", "customers")

    here.environment["KEY_1"] = "sk_test_account_2"
    other = here.run("import", "a1")
    assert other.code == 1
    assert "account a1 is refused: its key belongs to acct_" in other.stdout
    assert "put the right key back" in other.stdout

    here.environment["KEY_1"] = "sk_live_account_1"
    with Relay(api.url, key="sk_test_account_1") as relay:
        here.config["accounts"]["a1"]["base_url"] = relay.url
        live = here.run("import", "a1")
    assert live.code == 1
    assert ":live, but what was imported so far came from acct_" in live.stdout

    assert here.imported("a1", "customers") == before
    assert api.stats().accounts[2].endpoints["customers"].served == 0
    here.config["accounts"]["a1"]["base_url"] = api.url
    here.environment["KEY_1"] = "sk_test_account_1"
    assert here.run("import", "a1").code == 0
    assert here.imported("a1", "customers") == before


def test_secrets_stay_secret(api: Server, install: Callable[..., Installation]) -> None:
    """In no output, no file, and no process title; however the key is given, and whatever goes wrong with it."""
    secrets = {"KEY_1": "sk_test_account_1", "KEY_2": "sk_test_wrong_2_a8f3c", "KEY_3": "sk_test_wrong_3_77b1e"}
    echo = Answer(400, f'{{"error": {{"message": "no {secrets["KEY_1"]} here"}}}}'.encode())
    with Relay(api.url, lambda path: echo if path == "/v1/charges" else None) as relay:
        here = install(url=relay.url, accounts=3, daemon={"log_level": "debug"}, account={**QUICK, "attempts": 2})
        keys = here.folder / "keys"
        keys.mkdir()
        (keys / "one").write_text(secrets["KEY_1"] + "\n")
        (keys / "two").write_text(secrets["KEY_2"])
        here.config["accounts"]["a1"]["api_key"] = {"file": "keys/one"}
        here.config["accounts"]["a2"]["api_key"] = {"credential": "two"}
        here.environment |= {"CREDENTIALS_DIRECTORY": str(keys), **secrets}
        importing = here.start("import", "--all")
        titles = []
        while importing.running:
            for pid in [*(each.pid for each in importing.workers()), importing.pid]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    titles.append(" ".join(psutil.Process(pid).cmdline()))
        done = importing.finish()
        assert done.code == 1
        assert "HTTP 400: no *** here" in done.stdout
        outputs = [done.stdout, done.stderr, *titles]
        daemon = here.start("run")
        outputs.append(fetch(daemon, "/metrics")[1])
        for arguments in ["status"], ["status", "--json"], ["dead", "list"], ["dead", "list", "--json"]:
            outputs.append("".join(map(str, here.run(*arguments))))
        daemon.send(signal.SIGTERM)
        outputs.append(daemon.finish().stderr)
    files = [path for path in here.folder.rglob("*") if path.is_file() and path.parent != keys]
    assert {"frontier.db", "sink.db"} <= {path.name for path in files}
    for secret in secrets.values():
        assert not [output for output in outputs if secret in output]
        assert not [path for path in files if secret.encode() in path.read_bytes()]


# the API


def test_nobody_answers(install: Callable[..., Installation]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    here = install(url=f"http://127.0.0.1:{port}", account={**QUICK, "attempts": 3})
    done = here.run("import", "a1", "--wait", "3s")
    assert done.code == 69
    assert f"cannot reach http://127.0.0.1:{port}: connection refused" in done.stdout
    assert "nothing is lost" in done.stdout
    with running(accounts=1, customers=40, rate=0, port=port):
        assert here.run("import", "a1").code == 0
    here.assert_complete(1, 40)


def test_the_api_goes_away_and_comes_back(install: Callable[..., Installation]) -> None:
    with running(accounts=1, customers=40, rate=0, latency=0.02) as server:
        here = install(url=server.url, account={**QUICK, "attempts": 2, "concurrency": 2})
        importing = here.start("import", "a1", "--wait", "2s", "--json")
        until(lambda: server.stats().accounts[1].requests >= 20)
        os.kill(server.pid, signal.SIGKILL)
        done = importing.finish()
    assert done.code == 69
    (run,) = done.json["imports"]["a1"]
    assert run["dead"] == 0
    assert run["state"] == "running"
    assert [each["origin"] for each in done.json["outages"]] == [server.url]
    port = urlsplit(server.url).port
    with running(accounts=1, customers=40, rate=0, port=port):
        assert here.run("import", "a1").code == 0
    here.assert_complete(1, 40)


# the disk


@pytest.mark.parametrize("what", ["sink", "frontier"])
def test_a_full_disk_ends_an_import_that_goes_on_later(
    what: str, api: Server, small_disk: Path, install: Callable[..., Installation]
) -> None:
    with Relay(api.url) as relay:
        here = install(
            url=relay.url,
            account={**QUICK, "limits": ["30/second"]},
            constants={Constant.IMPORT_TROUBLE_SECONDS: 1.0},
        )
        put_on(here, what, small_disk)
        importing = here.start("import", "a1", "--json")
        until(lambda: here.states() and len(relay.seen) > 10)
        filler = fill(small_disk)
        done = importing.finish()
        assert done.code == 74
        assert "is full" in done.json["detail"]
        assert re.search("is full; nothing is lost: fix that, then repeat the command", done.stderr)
        again = here.run("import", "a1")  # still full: says so, and changes nothing
        assert again.code == 74
        assert "is full" in again.stderr
        filler.unlink()
        assert here.run("import", "a1").code == 0
    here.assert_complete(1, 40)


@pytest.mark.parametrize("what", ["sink", "frontier"])
def test_a_daemon_outlives_a_full_disk(
    what: str, api: Server, small_disk: Path, install: Callable[..., Installation]
) -> None:
    with Relay(api.url) as relay:
        here = install(url=relay.url, account={**QUICK, "limits": ["30/second"]}, schedule="1h")
        put_on(here, what, small_disk)
        daemon = here.start("run")
        until(lambda: here.states() and len(relay.seen) > 10)
        filler = fill(small_disk)
        found = until(lambda: (found := fetch(daemon, "/readyz"))[0] == 503 and found)
        assert "is full" in found[1]
        assert fetch(daemon, "/healthz")[0] == 200
        assert metrics_of(daemon)["crawlerd_trouble"] == 1
        filler.unlink()
        until(lambda: here.states() == ["completed"], 30)
        assert fetch(daemon, "/readyz")[0] == 200
        daemon.send(signal.SIGTERM)
        done = daemon.finish()
        assert done.code == 0
        assert "nothing is lost, trying again every second" in done.stderr
        assert "recovered: " in done.stderr
    here.assert_complete(1, 40)


def test_an_import_that_is_due_while_the_disk_is_full_starts_later(
    api: Server, small_disk: Path, install: Callable[..., Installation]
) -> None:
    here = install(url=api.url, accounts=2, account={**QUICK, **NO_LIMITS}, schedule="1s")
    here.config["accounts"]["a1"]["limits"] = ["10/second"]  # it is under way, and finds the disk full
    here.config["imports"]["a2"]["schedule"] = "4s"  # longer than its run, however slow the machine is
    put_on(here, "frontier", small_disk)
    daemon = here.start("run")
    daemon.says("import a2: run 2 completed")
    filler = fill(small_disk)
    daemon.says("import a2 cannot start: the disk that holds .* is full; trying again")
    before = len(here.states())
    filler.unlink()
    until(lambda: here.states()[1:].count("completed") > before, 30)
    daemon.send(signal.SIGTERM)
    done = daemon.finish()
    assert done.code == 0, done.stderr


def put_on(here: Installation, what: str, disk: Path) -> None:
    if what == "sink":
        here.sink_path = disk / "sink.db"
        here.config["sinks"]["sink"]["path"] = str(here.sink_path)
    else:
        here.state_dir = disk / "var"
        here.config["daemon"]["state_dir"] = str(here.state_dir)


# what is already there


@pytest.mark.parametrize("arguments", COMMANDS + ON_THE_FRONTIER, ids=" ".join)
def test_a_database_of_a_newer_version(arguments: list[str], install: Callable[..., Installation]) -> None:
    here = install(url="http://127.0.0.1:9")
    here.state_dir.mkdir()
    path = here.state_dir / "frontier.db"
    database = apsw.Connection(str(path))
    database.execute("CREATE TABLE later(x); PRAGMA user_version = 1000")
    database.close()
    before = path.read_bytes()
    done = here.run(*arguments)
    assert done.code == 78
    assert f"{path} was written by a newer crawlerd (version 1000" in done.stderr
    assert path.read_bytes() == before
    assert not (here.folder / "copy.db").exists()


@pytest.mark.parametrize("arguments", COMMANDS + ON_THE_FRONTIER, ids=" ".join)
def test_a_frontier_that_is_none(arguments: list[str], install: Callable[..., Installation]) -> None:
    here = install(url="http://127.0.0.1:9")
    here.state_dir.mkdir()
    (here.state_dir / "frontier.db").write_bytes(b"all work and no play makes jack a dull boy" * 100)
    done = here.run(*arguments)
    assert done.code == 78
    assert "frontier.db is not a usable database" in done.stderr
    assert "crawlerd frontier restore FILE" in done.stderr
    assert not (here.folder / "copy.db").exists()


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_state_directory_that_is_none(arguments: list[str], install: Callable[..., Installation]) -> None:
    here = install(url="http://127.0.0.1:9")
    here.state_dir.write_text("a file")
    done = here.run(*arguments)
    if arguments[0] in ("run", "import"):
        assert done.code == 78
        assert f"cannot use {here.state_dir}: {here.state_dir} is not a directory; move it away" in done.stderr
    else:
        assert done.code == 1
        assert f"{here.state_dir} is not a directory" in done.stderr


def test_a_state_directory_that_may_not_be_written(tmp_path: Path, install: Callable[..., Installation]) -> None:
    here = install(url="http://127.0.0.1:9")
    here.config["daemon"]["state_dir"] = "/proc/crawlerd"  # which not even root may make
    done = here.run("import", "a1")
    assert done.code == 78
    assert "cannot use /proc/crawlerd: " in done.stderr


def sink_is(kind: str, here: Installation) -> None:
    match kind:
        case "a directory":
            here.sink_path.mkdir()
        case "no database":
            here.sink_path.write_bytes(b"no database at all " * 100)
        case "a file":
            here.sink_path.write_bytes(b"")
            here.config["sinks"]["sink"]["type"] = "jsonl"
        case "in no directory":
            here.config["sinks"]["sink"]["path"] = "nowhere/sink.db"


@pytest.mark.parametrize("kind", ["a directory", "no database", "in no directory", "a file"])
def test_a_sink_that_is_none(kind: str, api: Server, install: Callable[..., Installation]) -> None:
    here = install(url=api.url)
    sink_is(kind, here)
    done = here.run("import", "a1")
    assert done.code == 1
    assert "sink.db" in done.stderr
    told = {
        "a directory": "it is a directory; name a file",
        "no database": "is no intact database",
        "in no directory": f"there is no directory {here.folder}/nowhere; create it",
        "a file": "it is not a directory; name one",
    }
    assert told[kind] in done.stderr
    assert api.stats().accounts[1].requests == 0
    if kind == "a directory":
        here.sink_path.rmdir()
    here.sink_path = here.folder / "other.db"
    here.config["sinks"]["sink"] = {"type": "sqlite", "path": "other.db"}
    assert here.run("import", "a1").code == 0
    here.assert_complete(1, 40)
