"""The stdout sink in a pipe: all records for each reader, nothing else in between, and an end when nobody reads."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import termios
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from support.constants import Constant
from support.installation import COMMAND, Installation, Running, until
from support.sink_batches import batch_of

from crawlerd.sink import Delivery
from crawlerd.sinks.stdout import StdoutSink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# Its objects have numbers, and as many letters as the file says; one task a record, in order. It has a sync point.
SHELF = """
import os, signal, time
source = Source("shelf", base_url="http://127.0.0.1:9", streams=["things"])
FOLDER = Path(__file__).parents[1]
COUNT, LETTERS = map(int, (FOLDER / "size").read_text().split())

@dataclass(frozen=True)
class Look(TaskArgs, kind="shelf.look"):
    number: int

@source.starts
def begin(plan):
    print("starts here")  # as a source may
    if plan.cursors:
        return
    yield Look(0)

@source.handles(Look, stream="things", sequential=True)
def look(api, args):
    yield Record("things", str(args.number), {"number": args.number, "letters": "é" * LETTERS})
    if (FOLDER / "sleep").exists() and args.number == 3:
        time.sleep(60)
    if (FOLDER / "die").exists() and args.number == 3:
        (FOLDER / "die").unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    if args.number + 1 < COUNT:
        yield Look(args.number + 1)
    else:
        yield Cursor("things", str(args.number))
"""


@pytest.fixture
def shelf(install: Callable[..., Installation]) -> Installation:
    here = install(accounts=0, constants={Constant.IMPORT_TROUBLE_SECONDS: 0.5})
    here.add_source("shelf", SHELF)
    here.config["sinks"]["out"] = {"type": "stdout"}
    here.config["imports"]["shelf"]["sink"] = "out"
    sized(here, 20, 10)
    return here


def sized(here: Installation, count: int, letters: int) -> None:
    (here.folder / "size").write_text(f"{count} {letters}")


def numbers(lines: str | bytes) -> list[int]:
    return [json.loads(line)["data"]["number"] for line in lines.splitlines()]


@contextmanager
def piped(here: Installation, *arguments: str) -> Iterator[tuple[int, Running]]:
    """The reading end of a pipe that a command writes to."""
    path = here.folder / "pipe"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # which does not wait for the writer
    os.set_blocking(reading, True)
    here.under = ["sh", "-c", 'exec "$@" >pipe', "sh"]
    command = here.start(*arguments)
    here.under = ()
    try:
        until(lambda: select.select([reading], [], [], 0)[0])  # it is open, and has something
        yield reading, command
    finally:
        os.close(reading)
        path.unlink()


def filled(reading: int) -> int:
    """Waits until the pipe is as good as full: the bytes in it."""

    def held() -> int:
        size: int = struct.unpack("i", fcntl.ioctl(reading, termios.FIONREAD, bytes(4)))[0]
        return size

    until(lambda: held() > 40_000)
    return held()


def read_all(fd: int) -> bytes:
    with os.fdopen(os.dup(fd), "rb") as file:
        return file.read()


def test_a_line_a_record_and_nothing_else_on_stdout(shelf: Installation) -> None:
    shelf.config["sinks"]["files"] = {"type": "jsonl", "path": "files"}
    shelf.config["imports"]["again"] = {**shelf.config["imports"]["shelf"], "sink": "files"}
    done = shelf.run("import", "shelf")
    assert done.code == 0, done.stderr
    assert numbers(done.stdout) == list(range(20))
    assert "shelf: run 1 completed" in done.stderr
    assert "20 new" in done.stderr
    assert shelf.run("import", "again").code == 0
    (file,) = (shelf.folder / "files").glob("*.jsonl")
    written = [json.loads(line) for line in file.read_text().splitlines()]
    own = {"run": 0, "imported_at": ""}
    assert [json.loads(line) | own for line in done.stdout.splitlines()] == [line | own for line in written]
    assert not list(shelf.state_dir.glob("stdout*"))


def test_each_run_is_a_full_one_and_says_why(shelf: Installation) -> None:
    for _ in range(2):
        done = shelf.run("import", "shelf", "--json")
        assert done.code == 0, done.stderr
        assert numbers(done.stdout) == list(range(20))
    assert "has another reader each time, who has nothing yet" in done.stderr
    (report,) = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert report["state"] == "completed"


def test_a_reader_that_leaves_ends_the_import_and_the_next_one_gets_all(shelf: Installation) -> None:
    sized(shelf, 300, 3000)
    with piped(shelf, "import", "shelf") as (reading, command):
        os.read(reading, 10)
    done = command.finish(20)
    assert done.code == 141
    assert "crawlerd: stdout was closed by its reader; the import has not ended" in done.stderr
    assert len(done.stderr.splitlines()) == 3, done.stderr
    done = shelf.run("import", "shelf")
    assert (done.code, numbers(done.stdout)) == (0, list(range(300)))


def test_a_reader_that_leaves_while_nothing_comes_ends_the_import(shelf: Installation) -> None:
    (shelf.folder / "sleep").touch()
    shelf.constants[Constant.STORE_IDLE_SECONDS] = 0.3
    with piped(shelf, "import", "shelf") as (reading, command):
        got = b""
        while got.count(b"\n") < 3:  # all that there are before the long one
            got += os.read(reading, 1000)
    assert command.finish(20).code == 141


def test_in_a_real_pipe(shelf: Installation) -> None:
    sized(shelf, 300, 3000)
    shelf.run("import", "nothing")  # writes the configuration
    script = f"set -o pipefail; {COMMAND} import shelf | head -n 2; echo $?"
    ended = subprocess.run(
        ["bash", "-c", script], cwd=shelf.folder, env=shelf.environment, capture_output=True, check=True, timeout=30
    )
    *lines, code = ended.stdout.splitlines()
    assert numbers(b"\n".join(lines)) == [0, 1]
    assert code == b"141"


def test_killed_and_started_again_the_next_reader_gets_all(shelf: Installation) -> None:
    sized(shelf, 300, 3000)
    with piped(shelf, "import", "shelf") as (reading, command):
        got = os.read(reading, 50_000)  # it waits for the rest to be read
        until(lambda: shelf.select("SELECT done FROM run")[0][0] > 5)
        command.kill()
        got += read_all(reading)
    whole = numbers(got[: got.rfind(b"\n")])
    assert whole == list(range(len(whole)))
    done = shelf.run("import", "shelf")
    assert (done.code, numbers(done.stdout)) == (0, list(range(300)))
    shelf.assert_conserved()


def test_what_a_worker_does_again_is_written_once(shelf: Installation) -> None:
    (shelf.folder / "die").touch()
    done = shelf.run("import", "shelf")
    assert done.code == 0, done.stderr
    assert not (shelf.folder / "die").exists()
    assert numbers(done.stdout) == list(range(20))


def test_a_reader_that_takes_its_time_is_waited_for(shelf: Installation) -> None:
    sized(shelf, 300, 3000)
    with piped(shelf, "import", "shelf") as (reading, command):
        full = filled(reading)
        assert command.running
        got = read_all(reading)
        assert len(got) > full
        assert numbers(got) == list(range(300))
        assert command.finish().code == 0


def test_signals_end_what_waits_for_a_reader(shelf: Installation) -> None:
    sized(shelf, 300, 3000)
    with piped(shelf, "import", "shelf") as (reading, command):
        filled(reading)
        command.send(signal.SIGINT)
        done = command.finish(10)
        assert done.code == 130
        assert (
            "out cannot resume, since its reader changes each time: the next import writes everything again"
            in done.stderr
        )
        read_all(reading)


def test_a_file_that_is_full_holds_the_import_up(shelf: Installation) -> None:
    shelf.under = ["sh", "-c", 'exec "$@" >/dev/full', "sh"]
    done = shelf.run("import", "shelf")
    assert done.code in (1, 74)
    assert "stdout cannot be written (No space left on device)" in done.stderr
    shelf.under = ()
    assert numbers(shelf.run("import", "shelf").stdout) == list(range(20))


@pytest.mark.parametrize(
    ("arguments", "redirected", "code", "reason"),
    [
        (["run"], "", 78, "imports.shelf.sink: sinks.out writes to stdout, which a daemon cannot use"),
        (["import", "shelf"], ">&-", 2, "sinks.out writes to stdout, which is closed"),
        (["sink", "copy", "out", "x"], "", 2, "keeps nothing to be copied"),
    ],
)
def test_where_it_has_no_meaning(
    arguments: list[str], redirected: str, code: int, reason: str, shelf: Installation
) -> None:
    shelf.under = ["sh", "-c", f'exec "$@" {redirected}', "sh"]
    done = shelf.run(*arguments)
    assert (done.code, done.stdout) == (code, "")
    assert reason in done.stderr


@pytest.mark.parametrize("key", ["path", "mode", "rotate_mb"])
def test_keys_of_other_sinks_are_refused(key: str, shelf: Installation) -> None:
    shelf.config["sinks"]["out"][key] = {"path": "x", "mode": "0640", "rotate_mb": 3}[key]
    done = shelf.run("import", "shelf")
    assert done.code == 78
    assert key in done.stderr


def test_a_terminal_obeys_nothing_of_it(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    sink = StdoutSink(tmp_path / "sink", theirs)
    batch = batch_of("things", [("a", {"text": "\x9b2J\u202eé"})])
    sink.write([Delivery("shelf", "acme", 1, 1.0, 1, [batch])], 1.0)
    line = os.read(ours, 4096)
    sink.close()
    os.close(theirs)
    os.close(ours)
    assert b"\\u009b2J\\u202e\xc3\xa9" in line
    assert json.loads(line)["data"] == {"text": "\x9b2J\u202eé"}
