"""Limits shared through a real Redis: two crawlerds and a third program stay within one window."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from limits import parse
from limits.storage import storage_from_string
from limits.strategies import MovingWindowRateLimiter

from crawlerd.demo.server import running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from crawlerd.demo.server import Server

    Start = Callable[[Path, Server], subprocess.Popen[str]]

COMMAND = Path(sys.executable).with_name("crawlerd")
RATE = 20


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[str]:
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed: apt-get install redis-server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any("Ready to accept connections" in line for line in process.stdout)
        yield f"redis://127.0.0.1:{port}/0"
        process.terminate()


def configure(folder: Path, url: str, redis: str) -> Path:
    folder.mkdir()
    (folder / "crawlerd.toml").write_text(f"""
[daemon]
state_dir = "var"
listen = "127.0.0.1:0"
worker_processes = 1
limiter_storage = "{redis}"
[accounts.acme]
source = "stripe"
base_url = "{url}"
api_key = {{ env = "KEY" }}
limits = ["{RATE}/second", "3000/hour"]
bucket_limits = "{RATE}/second"
[sinks.warehouse]
type = "sqlite"
path = "warehouse.db"
[imports.acme]
account = "acme"
sink = "warehouse"
streams = ["customers", "payment_methods"]
""")
    return folder / "crawlerd.toml"


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts the import; it ends with the test, however that ends."""
    with contextlib.ExitStack() as stack:

        def run(config: Path, server: Server) -> subprocess.Popen[str]:
            process = stack.enter_context(
                subprocess.Popen(
                    [COMMAND, "-c", config, "import", "acme", "--json"],
                    env={**os.environ, "KEY": server.key(1)},
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            stack.callback(process.kill)
            return process

        yield run


def test_two_daemons_and_another_program_share_one_window(tmp_path: Path, redis: str, start: Start) -> None:
    with running(accounts=1, customers=60, rate=RATE) as server:
        imports = [start(configure(tmp_path / name, server.url, redis), server) for name in ("one", "two")]
        other = MovingWindowRateLimiter(storage_from_string(redis))
        hits = 0
        while left := [process for process in imports if process.poll() is None]:
            hits += other.hit(parse(f"{RATE}/second"), "acme")  # starts that nobody performs: they only take places
            with contextlib.suppress(subprocess.TimeoutExpired):
                left[0].wait(0.2)
        reports = [json.loads(process.communicate(timeout=60)[0]) for process in imports]
        seen = server.stats().accounts[1]
    assert [report["state"] for report in reports] == ["completed", "completed"]
    assert sum(seen.throttled.values()) <= 2  # a busy machine sees some requests late; unshared, it would be hundreds
    assert seen.most_arrived <= RATE + 2
    assert hits > 0
    assert seen.last is not None
    assert seen.first is not None
    assert seen.requests + hits >= 0.6 * RATE * (seen.last - seen.first)  # the window is used, by all together
    hourly = storage_from_string(redis).get_moving_window(parse("3000/hour").key_for("acme"), 3000, 3600)  # type: ignore[union-attr]
    assert seen.requests <= hourly[1] <= seen.requests * 1.05  # the guards' included; a lost race may cost a place


def test_nothing_starts_while_redis_does_not_answer(tmp_path: Path, start: Start) -> None:
    with running(accounts=1, customers=5, rate=RATE) as server:
        process = start(configure(tmp_path / "one", server.url, "redis://127.0.0.1:1/0"), server)
        assert process.stderr is not None
        assert any("the shared limiter does not answer" in line for line in process.stderr)
        process.terminate()
        process.communicate(timeout=60)
        assert process.returncode == 130
        assert server.stats().accounts[1].requests == 0


def test_an_address_that_is_none(tmp_path: Path) -> None:
    config = configure(tmp_path / "one", "http://127.0.0.1:9", "memory://")
    done = subprocess.run([COMMAND, "-c", config, "import", "acme"], capture_output=True, text=True, env={"KEY": "k"})
    assert done.returncode == 78
    assert "daemon.limiter_storage" in done.stderr
