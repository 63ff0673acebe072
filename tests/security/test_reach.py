"""Who reaches the daemon: by which address and name, over which socket, as which user."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import signal
import socket
import stat
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.other_user import as_nobody, commands_as_nobody, needs_root

from crawlerd.core.notation import is_loopback
from crawlerd.frontier.letter_filter import LetterFilter
from crawlerd.frontier.lock import StateLock
from crawlerd.frontier.reports import OperationReport
from crawlerd.operations.dead import LettersRequest
from crawlerd.service import control
from crawlerd.service.hosts import is_known, own_names
from crawlerd.service.web.connection import CONNECTIONS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.installation import Installation, Running

    from crawlerd.demo.server import Server

ASK = """
connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
connection.sendall(b"POST /api/v1/dead/retry HTTP/1.0\\r\\nContent-Length: 14\\r\\n\\r\\n{\\"filter\\":{ }}")
print(connection.recv(4096).split()[1].decode())
"""


def asked(port: int, *lines: str, path: str = "/healthz", host: str = "127.0.0.1") -> int:
    """The status of an answer."""
    with socket.create_connection((host, port), timeout=10) as connection:
        connection.sendall("\r\n".join([f"GET {path} HTTP/1.1", *lines, "Connection: close", "", ""]).encode())
        return int(connection.recv(4096).split()[1])


def port_of(daemon: Running) -> int:
    return int(daemon.says(r"http://\S+:(\d+)/metrics")[1])


def ended(daemon: Running) -> str:
    daemon.send(signal.SIGTERM)
    done = daemon.finish()
    assert done.code == 0
    return done.stderr


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "[::ffff:0.0.0.0]:0", "192.0.2.1:0", "x.example.com:0"])
def test_what_others_reach_must_be_allowed(install: Callable[..., Installation], listen: str) -> None:
    here = install(accounts=0, daemon={"listen": listen})
    done = here.run("run")
    assert done.code == 78
    assert "daemon.listen:" in done.stderr
    assert "set allow_remote = true to permit it" in done.stderr


def test_what_is_allowed_is_told_and_has_nothing_but_three_pages(install: Callable[..., Installation]) -> None:
    here = install(
        accounts=0, daemon={"listen": "0.0.0.0:0", "allow_remote": True, "allowed_hosts": ["Crawler.example.com"]}
    )
    daemon = here.start("run")
    port = port_of(daemon)
    known = ["crawler.example.com", f"crawler.example.com:{port}", "192.0.2.7:80", "localhost", socket.gethostname()]
    assert [asked(port, f"Host: {each}") for each in known] == [200] * len(known)
    assert asked(port, "Host: evil.example.com") == 421
    for path in ("/dead/retry", "/", "/status"):
        assert asked(port, "Host: localhost", path=path) == 404
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"POST /dead/retry HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n[]")
        assert b" 404 " in connection.recv(4096)
    said = ended(daemon)
    assert re.search(r"WARNING allow_remote: whoever reaches http://0\.0\.0\.0:\d+ may read /metrics, /healthz", said)


def test_a_foreign_host_gets_421(install: Callable[..., Installation]) -> None:
    daemon = install(accounts=0).start("run")
    port = port_of(daemon)
    for path in ("/healthz", "/metrics", "/readyz", "/nothing"):
        for host in ("evil.com", f"evil.com:{port}", "192.0.2.7", "localhost.evil.com", "", "a@localhost"):
            assert asked(port, f"Host: {host}", path=path) == 421
    assert asked(port, "Host: localhost", "Host: evil.example.com") == 400
    for host in ("localhost", f"127.0.0.1:{port}", "LOCALHOST.", "[::1]:1"):
        assert asked(port, f"Host: {host}") == 200
    assert "allow_remote" not in ended(daemon)


@given(st.ip_addresses())
def test_loopback_is_this_machine(address: object) -> None:
    text = str(address)
    mapped = text.partition("::ffff:")[2]
    first = text.startswith("127.") or text == "::1" or (mapped.count(".") == 3 and mapped.startswith("127."))
    assert is_loopback(text) == first or ":ffff:7f" in text


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30))
def test_no_other_name_is_ours(host: str) -> None:
    names = own_names("127.0.0.1", ())
    bare = host.partition(":")[0].lower().removesuffix(".")
    if bare in names or is_loopback(bare) or host.startswith("["):
        return
    assert not is_known([host], names, remote=False)


def test_metrics_over_a_socket(install: Callable[..., Installation]) -> None:
    here = install(accounts=0, daemon={"listen": "unix:metrics.sock"})
    daemon = here.start("run")
    daemon.says("unix:.*/metrics.sock/metrics")
    path = here.folder / "metrics.sock"
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        connection.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
        assert b" 200 " in connection.recv(4096)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        connection.sendall(b"POST /metrics HTTP/1.0\r\nContent-Length: 2\r\n\r\n[]")
        assert b" 404 " in connection.recv(4096)
    ended(daemon)
    assert not path.exists()


# the socket of commands


@pytest.mark.parametrize("where", ["state", "configured", "unit"])
def test_where_the_socket_is_and_for_whom(install: Callable[..., Installation], where: str) -> None:
    here = install(accounts=0)
    run = here.folder / "run"
    run.mkdir()
    path, mode = run / "socket", 0o660
    match where:
        case "state":
            path, mode = here.state_dir / "crawlerd.sock", 0o600
        case "configured":
            here.config["daemon"]["socket"] = "run/socket"
        case "unit":
            here.environment["RUNTIME_DIRECTORY"] = str(run)
    path.parent.mkdir(exist_ok=True)
    leftover = socket.socket(socket.AF_UNIX)
    leftover.bind(str(path))  # as after a crash
    leftover.close()
    daemon = here.start("run")
    daemon.says("pid ")
    assert stat.S_IMODE(path.stat().st_mode) == mode
    if where != "unit":  # commands look for that of the shipped unit
        assert here.run("dead", "retry", "--all", "--yes").code == 0
        asked = control.Asked(here.state_dir, path if where == "configured" else None)
        which = LettersRequest(which=LetterFilter(ids=[1]))
        assert control.must_ask(asked, "POST", "dead/retry", OperationReport, which).total == 0
    ended(daemon)
    assert not path.exists()


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_is_no_socket_is_not_replaced(install: Callable[..., Installation], kind: str) -> None:
    here = install(accounts=0, daemon={"socket": "socket"})
    path = here.folder / "socket"
    victim = here.folder / "victim"
    victim.write_text("stays")
    if kind == "link":
        path.symlink_to(victim)
    else:
        path.write_text("stays")
    done = here.run("run")
    assert done.code == 78
    assert f"daemon.socket: cannot make the socket {path}: the file exists already and is not a socket" in done.stderr
    assert path.read_text() == victim.read_text() == "stays"


def test_a_command_asks_no_other_programs_socket(tmp_path: Path) -> None:
    from subprocess import PIPE, Popen
    from sys import executable

    path = tmp_path / "socket"
    other = f"""
import socket
listener = socket.socket(socket.AF_UNIX)
listener.bind({str(path)!r})
listener.listen()
print(flush=True)
input()
"""
    with Popen([executable, "-c", other], stdin=PIPE, stdout=PIPE) as process, StateLock(tmp_path / "state"):
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(Exception, match="is another program's socket"):
            control.must_ask(control.Asked(tmp_path / "state", path), "GET", "pauses", object)
        process.kill()


def test_status_asks_over_the_configured_socket_and_no_other_programs(install: Callable[..., Installation]) -> None:
    here = install(url="http://127.0.0.1:9", daemon={"socket": "socket"})
    here.config["sinks"]["sink"]["path"] = "nowhere/sink.db"
    daemon = here.start("run")
    daemon.says("nowhere/sink.db")
    assert "held up: sinks.sink: " in here.run("status").stdout
    path = here.folder / "socket"
    path.rename(here.folder / "elsewhere")
    with socket.socket(socket.AF_UNIX) as other:  # this process is not the daemon
        other.bind(str(path))
        other.listen()

        def answer() -> None:
            connection, _ = other.accept()
            with connection:
                if connection.recv(4096):
                    connection.sendall(b"HTTP/1.0 503 Service Unavailable\r\n\r\nsaid by another\n")

        impostor = threading.Thread(target=answer)
        impostor.start()
        done = here.run("status")
        impostor.join()
        assert f"is running (pid {daemon.pid})" in done.stdout
        assert "held up" not in done.stdout
    path.unlink()
    ended(daemon)


def test_a_socket_of_metrics_is_bounded(install: Callable[..., Installation]) -> None:
    here = install(accounts=0, daemon={"listen": "unix:metrics.sock"})
    daemon = here.start("run")
    daemon.says("unix:.*/metrics.sock/metrics")
    idle = [socket.socket(socket.AF_UNIX) for _ in range(CONNECTIONS + 1)]
    for each in idle:
        each.settimeout(20)
        each.connect(str(here.folder / "metrics.sock"))
    assert idle[0].recv(1) == b""  # the oldest made room
    for each in idle:
        each.close()
    ended(daemon)


@needs_root
def test_only_the_group_may_command(install: Callable[..., Installation], open_place: Path) -> None:
    """In the state directory, nobody else; elsewhere, the group that has the socket and its directory."""
    state, run = open_place / "state", open_place / "run"
    here = install(accounts=0, daemon={"state_dir": str(state)})
    daemon = here.start("run")
    daemon.says("pid ")
    assert "PermissionError" in as_nobody(ASK, state / "crawlerd.sock")
    state.chmod(0o755)
    assert "PermissionError" in as_nobody(ASK, state / "crawlerd.sock")
    ended(daemon)
    run.mkdir()
    group = pwd.getpwnam("daemon").pw_gid
    os.chown(run, 0, group)
    run.chmod(0o2750)  # its group becomes that of what is made in it, as Group= of the unit does
    here.config["daemon"]["socket"] = str(run / "socket")
    daemon = here.start("run")
    daemon.says("pid ")
    assert "PermissionError" in as_nobody(ASK, run / "socket")
    assert as_nobody(ASK, run / "socket", groups=(group,)) == "202"
    ended(daemon)


@needs_root
def test_the_group_uses_commands_through_the_socket(
    api: Server, install: Callable[..., Installation], open_place: Path
) -> None:
    """All of them, also those that otherwise read the files; who is not of the group, none."""
    group, run = pwd.getpwnam("daemon").pw_gid, open_place / "run"
    run.mkdir()
    os.chown(run, 0, group)
    run.chmod(0o2750)
    here = install(url=api.url, daemon={"state_dir": str(open_place / "state"), "socket": str(run / "socket")})
    here.start("run").says("pid ")
    assert here.run("import", "a1").code == 0
    config = open_place / "crawlerd.toml"
    config.write_text((here.folder / "crawlerd.toml").read_text())
    config.chmod(0o644)
    reading = ["status --json", "runs --json", "run show 1 --json", "why a1 --json", "dead list --json", "audit --json"]
    acting = ["import a1 --no-wait", "accounts test a1"]  # the daemon has the key, and this user has not
    acting += ["reload", "pause account a1 --reason tea", "resume account a1"]
    commands = [each.split() for each in [*reading, *acting]]
    found = commands_as_nobody(config, *commands, groups=(group,))
    assert {" ".join(words): done for words, done in zip(commands, found, strict=True) if done.code} == {}
    assert found[1].json["runs"][0]["import"] == "a1"
    acts = here.run("audit", "--json").json
    assert [each["by"] for each in acts][-2:] == ["nobody"] * 2
    strangers = commands_as_nobody(config, ["status"], ["dead", "list"], ["reload"])
    assert [done.code for done in strangers] == [1, 1, 69]
    assert all("Traceback" not in done.stderr and str(open_place) in done.stderr for done in strangers)


@pytest.mark.parametrize(
    ("line", "body", "status"),
    [
        ("POST /api/v1/runs/99999999999999999999/cancel", b'{"reason":"x"}', 404),
        ("POST /api/v1/pauses", b'{"kind":"account","names":["a1"],"reason":"x","until":1e300}', 400),
        ("POST /api/v1/pauses", b'{"kind":"account","names":["a1"],"reason":"x","until":null', 400),
        ("POST /api/v1/pauses", b"x" * 1_100_000, 413),
        ("GET /api/v1/runs?limit=-5", b"", 400),
        ("GET /api/v1/runs?limit=99999999999999999999", b"", 400),
        ("GET /api/v1/runs?limit=501", b"", 400),
        ("GET /api/v1/dead/groups?after=x-%27", b"", 400),
        ("GET /api/v1/runs?after=99999999999999999999", b"", 400),
        ("GET /api/v1/runs?since=nan", b"", 400),
        ("GET /api/v1/audit?since=nan", b"", 400),
        ("GET /api/v1/accounts/..%2F..%00%0a", b"", 404),
        ("DELETE /api/v1/pauses/import/nothing", b"", 404),
        ("GET /api/v1/nothing", b"", 404),
    ],
)
def test_the_socket_answers_whatever_is_asked(
    install: Callable[..., Installation], line: str, body: bytes, status: int
) -> None:
    here = install(url="http://127.0.0.1:9", daemon={"socket": "socket"})
    daemon = here.start("run")
    daemon.says("pid ")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(here.folder / "socket"))
        head = f"{line} HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        with contextlib.suppress(OSError):  # it need not read what is too long
            connection.sendall(head + body)
        answer = connection.recv(65536)
    assert int(answer.split()[1]) == status
    if status >= 400:
        assert b"application/problem+json" in answer
    assert here.run("status").code == 0
    assert daemon.running
    assert "Traceback" not in daemon.stderr
