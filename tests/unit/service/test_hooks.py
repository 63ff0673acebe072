"""Hooks as they are in the field: servers that fail, hang and drip, programs that hang, crash and are not there."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import TYPE_CHECKING

import psutil
import pytest
from support.installation import is_alive, until
from support.threaded_server import Handler, ThreadedServer

from crawlerd.core.notice_message import message
from crawlerd.core.notices import Notice
from crawlerd.core.notify_spec import NotifySpec, ProgramSpec, WebhookSpec
from crawlerd.service.hooks import Hooks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET = "tok_4eC39HqLyjWDarjt"
NOTICE = Notice("outage", "https://api.example.com", "does not answer: <!channel>", "began", 1_800_000_000.0)
MESSAGE = message("web1", {"outage": NOTICE}, {}, 1_800_000_000.0)


Came = list[tuple[str, dict[str, str], bytes]]  # path, headers, body


class _Hook(Handler):
    """Does what its path says; keeps what came."""

    came: Came
    stop: threading.Event

    def respond(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.came.append((self.path, {key.lower(): value for key, value in self.headers.items()}, body))
        match self.path.split("/"):
            case [_, "status", status, *_]:
                headers = {"Retry-After": "45"} if status == "429" else {}
                self.answer(int(status), {**headers, "Location": "/elsewhere"}, f"no: {self.path} {SECRET}".encode())
            case [_, "hang"]:
                self.stop.wait(30)
            case [_, "drip"]:
                self.send_response(200)
                self.end_headers()
                while not self.stop.wait(0.05):
                    self.wfile.write(b" ")
            case [_, "large"]:
                self.answer(200, {}, b"x" * (1 << 20))
            case _:
                self.answer(200, {}, b"ok")


@pytest.fixture
def server() -> Iterator[tuple[str, Came]]:
    _Hook.came, _Hook.stop = [], threading.Event()
    with ThreadedServer(_Hook) as server:
        yield server.url, _Hook.came
        _Hook.stop.set()


def post(url: str, **options: object) -> tuple[str | None, float | None]:
    hook = WebhookSpec(url=url, **{"seconds": 0.5, **options})  # type: ignore[arg-type] # of its fields
    failed = Hooks().send(NotifySpec(webhook=hook), "webhook", MESSAGE)
    return (failed.problem, failed.seconds) if failed else (None, None)


def run(folder: Path, *words: str, seconds: float = 20.0, hooks: Hooks | None = None, gets: str = "text") -> str | None:
    program = ProgramSpec(words=words, folder=folder, seconds=seconds, gets=gets)  # type: ignore[arg-type]
    failed = (hooks or Hooks()).send(NotifySpec(command=program), "command", MESSAGE)
    return failed.problem if failed else None


def test_without_a_template_all_that_is_known_is_sent(
    server: tuple[str, Came],
) -> None:
    url, came = server
    assert post(f"{url}/hook") == (None, None)
    ((path, headers, body),) = came
    assert path == "/hook"
    assert headers["content-type"] == "application/json"
    assert "authorization" not in headers
    assert json.loads(body) == MESSAGE.document


def test_the_token_goes_where_it_is_wanted(server: tuple[str, Came]) -> None:
    url, came = server
    body = {"text": "{slack}", "key": "{token}", "who": "'crawlerd'", "count": "count"}
    assert post(f"{url}/bot{{token}}/send", token=SECRET, headers={"X-Key": "k {token}"}, body=body) == (None, None)
    assert post(f"{url}/plain", token=SECRET) == (None, None)
    (path, headers, sent), (_, plain, _) = came
    assert path == f"/bot{SECRET}/send"
    assert headers["x-key"] == f"k {SECRET}"
    assert "authorization" not in headers
    assert plain["authorization"] == f"Bearer {SECRET}"
    found = json.loads(sent)
    assert (found["key"], found["who"], found["count"]) == (SECRET, "crawlerd", 1)
    assert "&lt;!channel&gt;" in found["text"]


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 410, 429, 500, 503])
def test_what_a_service_refuses_is_told_without_the_secret(server: tuple[str, Came], status: int) -> None:
    url, came = server
    problem, seconds = post(f"{url}/status/{status}/{SECRET}", token=SECRET)
    assert problem is not None
    assert f"HTTP {status}" in problem
    assert SECRET not in problem
    assert seconds == (45 if status == 429 else None)
    assert len(came) == 1  # it is not followed, and not repeated here


@pytest.mark.parametrize("path", ["hang", "drip"])
def test_a_service_that_takes_too_long_is_given_up(server: tuple[str, Came], path: str) -> None:
    problem, _ = post(f"{server[0]}/{path}")
    assert problem is not None
    assert "within 0.5 s" in problem


def test_an_answer_without_end_fills_no_memory(server: tuple[str, Came]) -> None:
    problem, _ = post(f"{server[0]}/large", seconds=10.0)
    assert problem is not None
    assert "larger than" in problem


def test_nobody_listens() -> None:
    problem, _ = post(f"http://127.0.0.1:9/{SECRET}")
    assert problem == "cannot reach http://127.0.0.1:9: connection refused"


def test_a_program_gets_the_text_on_stdin_and_the_title_as_an_argument(tmp_path: Path) -> None:
    script = "import sys; open('got', 'w').write(sys.argv[1] + '|' + sys.stdin.read())"
    assert run(tmp_path, sys.executable, "-c", script, "{title}") is None
    assert (tmp_path / "got").read_text() == f"{MESSAGE.title}|{MESSAGE.text}\n"


def test_a_program_may_get_json(tmp_path: Path) -> None:
    assert run(tmp_path, "sh", "-c", "cat > got", gets="json") is None
    assert json.loads((tmp_path / "got").read_text()) == MESSAGE.document


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["/does/not/exist"], "/does/not/exist cannot be started: No such file or directory"),
        (["/etc/passwd"], "/etc/passwd cannot be started: Permission denied"),
        (["sh", "-c", "exit 3"], "sh ended with 3"),
        (["sh", "-c", "kill -9 $$"], "sh was killed by SIGKILL"),
    ],
)
def test_a_program_that_fails(tmp_path: Path, words: list[str], told: str) -> None:
    assert (run(tmp_path, *words) or "").startswith(told)


def test_a_program_that_reads_nothing_and_says_much_has_still_been_told(tmp_path: Path) -> None:
    assert run(tmp_path, "sh", "-c", "head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2") is None


def test_a_program_that_hangs_is_killed_with_all_that_it_has_started(tmp_path: Path) -> None:
    problem = run(tmp_path, "sh", "-c", "sleep 60 & echo $! > child; wait", seconds=1.0)
    assert problem == "sh did not end within 1 s; it was killed"
    child = int((tmp_path / "child").read_text())
    until(lambda: not psutil.pid_exists(child) or not is_alive(psutil.Process(child)))


def test_a_program_that_leaves_something_behind_is_not_waited_for(tmp_path: Path) -> None:
    began = time.monotonic()
    assert run(tmp_path, "sh", "-c", "sleep 5 & exit 0") is None
    assert time.monotonic() - began < 4.5


def test_the_end_of_the_daemon_ends_a_program(tmp_path: Path) -> None:
    hooks = Hooks()
    found: list[str | None] = []
    thread = threading.Thread(
        target=lambda: found.append(
            run(tmp_path, "sh", "-c", "echo $$ > pid; exec sleep 60", seconds=60.0, hooks=hooks)
        )
    )
    thread.start()
    until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
    hooks.close()
    thread.join(10)
    assert found == [
        "sh was killed by SIGKILL; to see why, use `crawlerd notify test`, or run the program by hand as this user"
    ]


def test_no_descriptor_is_left(tmp_path: Path) -> None:
    run(tmp_path, "true")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        run(tmp_path, "true")
        run(tmp_path, "/does/not/exist")
        post("http://127.0.0.1:9/")
    assert len(os.listdir("/proc/self/fd")) <= before
