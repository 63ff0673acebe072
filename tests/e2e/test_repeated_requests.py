"""A request to the daemon's socket that comes again gets its first answer, and nothing is done again."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from support.constants import Constant
from support.installation import Installation, Running, until
from support.rest_api import RestApi
from support.shops import serve, shop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Answered(NamedTuple):
    status: int
    kind: str
    body: Any


@pytest.fixture
def here(install: Callable[..., Installation]) -> Iterator[Installation]:
    with RestApi() as api:
        serve(api, 5)
        here = shop(install, api, {"orders": ["orders", "lines"], "stores": ["stores"]})
        here.start("run").says("pid ")
        yield here


def send(here: Installation, request: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(str(here.state_dir / "crawlerd.sock"))
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def read(answer: bytes) -> Answered:
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    return Answered(int(lines[0].split()[1]), headers["content-type"], json.loads(body))


def ask(here: Installation, method: str, path: str, body: object = None, key: str | None = None) -> Answered:
    data = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} /api/v1/{path} HTTP/1.0", f"Content-Length: {len(data)}"]
    lines += [f"Idempotency-Key: {key}"] if key else []
    return read(send(here, "\r\n".join([*lines, "", ""]).encode() + data))


def acts(here: Installation) -> list[str]:
    return [each["act"] for each in here.run("audit", "--json").json]


PAUSE = {"kind": "import", "names": ["orders", "stores"], "reason": "stock"}


def test_each_act_is_done_once_also_over_a_kill(here: Installation) -> None:
    started = ask(here, "POST", "imports/orders/run", {}, "run")
    assert (started.status, started.body["resumed"]) == (200, False)
    until(lambda: here.states() == ["completed"])
    asked = [
        ("POST", "imports/orders/run", {}, "run"),
        ("POST", "pauses", PAUSE, "pause"),
        ("DELETE", "pauses/import/stores", None, "resume"),
        ("PUT", "accounts/acme/limit", {"limits": ["5/second"], "reason": "theirs"}, "lower"),
        ("DELETE", "accounts/acme/limit", None, "raise"),
        ("POST", "dead/retry", {"filter": {"ids": [1]}}, "retry"),
    ]
    first = [ask(here, *each) for each in asked]
    assert first[0] == started
    assert [each.status for each in first] == [200] * 5 + [202]
    before = acts(here)
    assert before == ["pause", "pause", "resume", "lower limit", "end lowered limit"]
    assert [ask(here, *each) for each in asked] == first
    here._started[0].kill()
    here.start("run").says("pid ")
    assert [ask(here, *each) for each in asked] == first
    assert acts(here) == before
    assert here.states() == ["completed"]
    assert ask(here, "DELETE", "pauses/import/stores", key="another").status == 404


def test_a_key_belongs_to_one_request(here: Installation) -> None:
    assert ask(here, "POST", "pauses", PAUSE, "k").status == 200
    for method, path, body in (
        ("POST", "pauses", {**PAUSE, "reason": "another"}),
        ("DELETE", "pauses/import/orders", None),
        ("POST", "imports/orders/run", {}),
    ):
        answered = ask(here, method, path, body, "k")
        assert (answered.status, answered.kind) == (422, "application/problem+json")
        assert "another request" in answered.body["detail"]
    for key in ("x" * 256, "käse", " "):
        assert ask(here, "POST", "pauses", PAUSE, key).status == 400
    assert acts(here).count("pause") == 2


def test_what_was_refused_may_be_asked_again(here: Installation) -> None:
    assert ask(here, "DELETE", "pauses/import/orders", key="k").status == 404
    assert ask(here, "POST", "pauses", PAUSE).status == 200
    assert ask(here, "DELETE", "pauses/import/orders", key="k").status == 200
    assert ask(here, "DELETE", "pauses/import/orders", key="k").status == 200
    assert ask(here, "DELETE", "pauses/import/orders").status == 404


def test_two_at_once_do_it_once(here: Installation) -> None:
    answers: list[Answered] = []
    threads = [
        threading.Thread(target=lambda: answers.append(ask(here, "POST", "pauses", PAUSE, "k"))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8
    assert all(each == answers[0] for each in answers)
    assert acts(here) == ["pause", "pause"]


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /api/v1/" + b"x" * 9_000 + b" HTTP/1.0\r\n\r\n", 414),
        (b"GET /api/v1/" + b"x" * 700_000 + b" HTTP/1.0\r\n\r\n", 431),
        (b"GET /api/v1/pauses HTTP/1.0\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", 431),
        (b"GET /api/v1/pauses HTTP/1.0\r\n" + b"X: x\r\n" * 200 + b"\r\n", 431),
        (b"BREW /api/v1/pauses HTTP/1.0\r\n\r\n", 501),
        (b"POST /api/v1/pauses HTTP/1.0\r\nContent-Length: 9999999\r\n\r\n" + b"x" * 2_000_000, 413),
        (b"POST /elsewhere HTTP/1.0\r\nContent-Length: 0\r\n\r\n", 404),
        (b"POST /api/v1/pauses HTTP/1.0\r\nContent-Length: 4\r\n\r\nnull", 400),
        (b"GET /api/v1/nothing HTTP/1.0\r\n\r\n", 404),
    ],
)
def test_every_error_is_a_problem(here: Installation, request_: bytes, status: int) -> None:
    answered = read(send(here, request_))
    assert (answered.status, answered.kind) == (status, "application/problem+json")
    assert answered.body["status"] == status
    assert answered.body["title"]
    assert answered.body["detail"]


def test_a_command_asks_once_more_when_the_daemon_dies_under_it(here: Installation) -> None:
    (daemon,) = here._started
    daemon.send(signal.SIGSTOP)
    command = here.start("pause", "import", "orders", "--reason", "stock")
    until(lambda: is_connected(command))
    daemon.kill()
    here.start("run").says("pid ")
    done = command.finish()
    assert done.code == 0, done.stderr
    assert acts(here) == ["pause"]


def test_a_command_says_when_nobody_answers_any_more(here: Installation) -> None:
    (daemon,) = here._started
    here.constants = {Constant.CONTROL_RETRY_SECONDS: 0.2}
    daemon.send(signal.SIGSTOP)
    command = here.start("pause", "import", "orders", "--reason", "stock")
    until(lambda: is_connected(command))
    daemon.kill()
    done = command.finish()
    assert done.code == 69  # it is unavailable
    assert "the daemon ended before it answered" in done.stderr


def is_connected(command: Running) -> bool:
    """Whether it has a Unix socket that is connected."""
    inodes = {target[8:-1] for each in descriptors(command) if (target := each).startswith("socket:[")}
    rows = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    return any(row[6] in inodes and row[5] == "03" for row in rows)


def descriptors(command: Running) -> Iterator[str]:
    for each in Path(f"/proc/{command.pid}/fd").iterdir():
        with suppress(OSError):
            yield os.readlink(each)
