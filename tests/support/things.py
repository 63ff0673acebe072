"""An API of things, a source of it, and the other program, which has nothing but the library."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from support.threaded_server import Handler, ThreadedServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.installation import Installation

# What dies at its own hand does so in the main process, at the place that a file names.
SOURCE = """
import os, signal, sys

source = Source("things", base_url="{url}", streams=["things"], key_optional=True)

@dataclass(frozen=True)
class Thing(TaskArgs, kind="things.one"):
    id: str
    note: str = ""

@source.handles(Thing, stream="things", unique=True)
def one(api, args):
    found = api.get("/things/" + args.id)
    yield Record("things", found["id"], dict(found))

@dataclass(frozen=True)
class All(TaskArgs, kind="things.all"):
    count: int = 3

@source.handles(All, stream="things")
def everything(api, args):
    api.get("/all")
    for number in range(args.count):
        yield Thing(f"r{{number}}")
    yield Cursor("things", "read")

@dataclass(frozen=True)
class Liar(TaskArgs, kind="things.liar"):
    pass

@source.handles(Liar, stream="things")
def liar(api, args):
    api.get("/liar")
    yield Gather([Thing("g1"), Thing("bad-g")], then=Swept())

@dataclass(frozen=True)
class Swept(TaskArgs, kind="things.swept"):
    pass

@source.handles(Swept, stream="things")
def swept(api, args):
    api.get("/swept")
    yield Cursor("things", "wrong")
    yield Sweep("things")

@source.starts
def starts(plan):
    yield All()

def deadly(owner, name, after=False):
    real = getattr(owner, name)
    def call(self, *arguments):
        flag = Path(f"die-at-{{name}}")
        dies = flag.exists()
        if dies and not after:
            flag.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(self, *arguments)
        if dies and arguments[0]:
            flag.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    setattr(owner, name, call)

if "crawlerd.engine.engine" in sys.modules:
    from crawlerd.engine import joining
    from crawlerd.sinks.ack_queue import AckQueue
    deadly(joining.Joining, "_submit")
    deadly(AckQueue, "settle")
    deadly(AckQueue, "put", after=True)
"""

PROGRAM = """
import sys
from json import loads
import persistqueue
from persistqueue.serializers import json
queue = persistqueue.SQLiteAckQueue(sys.argv[1], serializer=json, auto_resume=False)
for line in sys.stdin:
    queue.put(loads(line))
queue.close()
"""
CONSUMER = """
import sys
from json import dumps
import persistqueue
from persistqueue.exceptions import Empty
from persistqueue.serializers import json
queue = persistqueue.SQLiteAckQueue(sys.argv[1], serializer=json)
while True:
    try:
        item = queue.get(block=False, raw=True)
    except Empty:
        break
    print(dumps(item["data"]))
    queue.ack(id=item["pqid"])
queue.close()
"""


class Things(ThreadedServer):
    """Every thing exists, but those that begin with "bad". Requests of paths in `held` wait until `release`.

    asked: how often, by path.
    """

    def __init__(self) -> None:
        things = self

        class Answering(Handler):
            def respond(self) -> None:
                with things._lock:
                    things.asked[self.path] += 1
                if self.path in things.held:
                    things._open.wait(30)
                name = self.path.rpartition("/")[2]
                found = {"id": name} if not name.startswith("bad") else {"error": f"no {name}"}
                self.answer(200 if "id" in found else 404, {}, json.dumps(found).encode())

        super().__init__(Answering)
        self.asked: Counter[str] = Counter()
        self.held: set[str] = set()
        self._open = threading.Event()

    def release(self) -> None:
        self._open.set()


def things(install: Callable[..., Installation], api: Things, **daemon: Any) -> Installation:
    here = install(accounts=0, daemon=daemon)
    here.add_source("things", SOURCE.format(url=api.url))
    here.config["inbox"] = {"path": "inbox", "import": "things"}
    return here


def put(queue: Path, *items: Any) -> None:
    """By a process that knows only the library."""
    run(PROGRAM, queue, "".join(json.dumps(item) + "\n" for item in items))


def taken(queue: Path) -> list[Any]:
    """All that is in a queue, taken and acknowledged by such a process."""
    return [json.loads(line) for line in run(CONSUMER, queue).splitlines()]


def run(program: str, queue: Path, text: str = "") -> str:
    command = [sys.executable, "-c", program, str(queue)]
    return subprocess.run(command, input=text, text=True, capture_output=True, check=True).stdout


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Another process has begun a transaction, and does not end it."""
    program = (
        "import sqlite3, sys\ndatabase = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "database.execute('BEGIN IMMEDIATE')\nprint('held', flush=True)\nsys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holding:
        assert holding.stdout is not None
        holding.stdout.readline()
        try:
            yield
        finally:
            holding.communicate(b"")


def thing(name: str, **more: Any) -> dict[str, Any]:
    return {"kind": "things.one", "args": {"id": name, **more}}
