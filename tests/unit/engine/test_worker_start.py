"""What a worker process loads: its sources, and a client when a handler first asks for something."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from support.installation import until

from crawlerd.core.configuration import AccountSpec
from crawlerd.core.outcome import Complete
from crawlerd.core.task import LeaseBatch, Task
from crawlerd.engine.attempt import OpenedWhenUsed
from crawlerd.engine.wire import OF_THE_GROUP, Done, Frames, Ping, Setup, Work, frame, from_worker
from crawlerd.engine.worker_process import WorkerProcess
from crawlerd.sources import registry

if TYPE_CHECKING:
    from collections.abc import Iterator

MODULE = """
import sys
from dataclasses import dataclass
from crawlerd.source import Record, Source, TaskArgs

lean = Source("lean", streams=["seen"], base_url="http://127.0.0.1:1")

@dataclass(frozen=True)
class Look(TaskArgs, kind="lean.look"):
    use: bool

@lean.handles(Look)
def look(api, args):
    options = dict(api.options) if args.use else {}
    loaded = {name: name in sys.modules for name in ("requests", "importlib.metadata")}
    yield Record("seen", "it", {**loaded, **options})
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    (tmp_path / "leanparty.py").write_text(MODULE)
    folder = tmp_path / "leanparty-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: leanparty\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[crawlerd.sources]\nlean = leanparty:lean\n")
    return tmp_path


def answers(plugin: Path, places: dict[str, tuple[str, list[str]]], *uses: bool) -> Iterator[dict[str, Any]]:
    """The data of the record of each task, of a worker process with one thread."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        worker = subprocess.Popen(
            [sys.executable, "-m", "crawlerd.engine.worker", str(theirs.fileno()), str(os.getpid())],
            pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONPATH": str(plugin)},
        )
        theirs.close()
        tasks = [Task(n, 1, 5, 1, "lean.look", 0, f'{{"use":{str(use).lower()}}}') for n, use in enumerate(uses, 1)]
        account = AccountSpec(name="a", source="lean", options={"colour": "red"})
        ours.sendall(frame(Setup({"lean": "a"}, 1, places)))
        ours.sendall(frame(Work([LeaseBatch(1, "a", tasks)], [account])))
        frames, left = Frames(), len(tasks)
        while left:
            data = ours.recv(1 << 16)
            assert data, "the worker has ended"
            for message in map(from_worker.decode, frames.feed(data)):
                for result in message.results if isinstance(message, Done) else ():
                    assert isinstance(result.outcome, Complete), result
                    left -= 1
                    yield msgspec.json.decode(result.outcome.batches[0].data[0] or b"")
    worker.wait(10)


def test_a_worker_loads_a_client_when_a_handler_asks_for_something(plugin: Path) -> None:
    idle, using, later = answers(plugin, {"lean": ("leanparty:lean", [])}, False, True, True)
    assert idle == {"requests": False, "importlib.metadata": False}
    assert using == later == {"requests": True, "importlib.metadata": using["importlib.metadata"], "colour": "red"}


def test_a_worker_searches_for_a_source_whose_place_it_was_not_told(plugin: Path) -> None:
    (found,) = answers(plugin, {}, False)
    assert found == {"requests": False, "importlib.metadata": True}


def test_the_place_of_a_source_is_known_once_it_was_loaded(plugin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(plugin))
    assert registry.place_of("lean") is None
    registry.load("lean")
    assert registry.place_of("lean") == ("leanparty:lean", [])


def test_an_api_is_opened_once_and_its_times_are_the_attempts() -> None:
    class Api:
        sent_at, done_at, origin, mode = 1.0, 2.0, "https://id.example.com", "live"

    made: list[Api] = []

    def opened() -> Api:
        made.append(Api())
        return made[-1]

    api = OpenedWhenUsed(opened)
    assert (api.sent_at, api.done_at, api.origin, made) == (0.0, 0.0, "", [])
    assert (api.mode, api.mode) == ("live", "live")
    assert (api.sent_at, api.done_at, api.origin, len(made)) == (1.0, 2.0, "https://id.example.com", 1)


def test_a_signal_to_the_group_does_not_end_a_worker_that_starts() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    worker = WorkerProcess(Setup({}, 1, {}, {}), {}, {}, time.monotonic())
    try:
        for number in OF_THE_GROUP:
            os.kill(worker.process.pid, number)
        until(lambda: worker.read(time.monotonic()) is not None and worker.up)
        for number in OF_THE_GROUP:
            os.kill(worker.process.pid, number)
        worker.up = False
        worker.write(frame(Ping()))
        until(lambda: worker.read(time.monotonic()) is not None and worker.up)
        assert not blocked(worker.process.pid)  # its programs may be ended
    finally:
        worker.kill()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


def blocked(pid: int) -> int:
    """The signals that its main thread blocks, as bits."""
    (line,) = (each for each in Path(f"/proc/{pid}/status").read_text().split("\n") if each.startswith("SigBlk"))
    return int(line.split()[1], 16)
