"""SIGKILL at random instants while a run asks for what its list did not have: each is asked for once, none is lost."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from support.installation import Installation, until

if TYPE_CHECKING:
    from collections.abc import Callable

# Its list has the lines of one file; what lives is in another.
LISTING = """
import time
from crawlerd.source import MISSING_KEYS, Limits

source = Source("shelf", base_url="http://127.0.0.1:9", streams=["things"], limits=Limits(concurrency=4))
FOLDER = Path(__file__).parents[1]

@dataclass(frozen=True)
class Part(TaskArgs, kind="shelf.part"):
    number: int

@dataclass(frozen=True)
class Compare(TaskArgs, kind="shelf.compare"):
    pass

@dataclass(frozen=True)
class Lost(TaskArgs, kind="shelf.lost"):
    missing: tuple[str, ...] = ()

@dataclass(frozen=True)
class One(TaskArgs, kind="shelf.one"):
    key: str

def performed():
    with (FOLDER / "calls").open("a") as file:
        file.write("x")

@source.starts
def begin(plan):
    yield Gather([Part(number) for number in range(10)], Compare(), if_dead="fail")

@source.handles(Part, stream="things")
def part(api, args):
    performed()
    for key in (FOLDER / "listed").read_text().split()[args.number::10]:
        yield Record("things", key, {"key": key})

@source.handles(Compare)
def compare(api, args):
    performed()
    yield Sweep("things", otherwise=Lost())

@source.handles(Lost)
def lost(api, args):
    performed()
    yield from map(One, args.missing)
    if len(args.missing) == MISSING_KEYS:
        yield Sweep("things", otherwise=Lost(), after=args.missing[-1])

@source.handles(One, stream="things")
def one(api, args):
    performed()
    yield Record("things", args.key, {"key": args.key} if args.key in (FOLDER / "living").read_text().split() else None)
"""
KEYS = [f"k{number:04}" for number in range(3000)]


@pytest.mark.parametrize("sink", ["sqlite", "jsonl", "persist-queue"])
def test_what_is_missing_is_asked_for_once_whenever_it_is_killed(
    sink: str, install: Callable[..., Installation]
) -> None:
    dice = random.Random()
    here = install(accounts=0, daemon={"worker_processes": 2})
    here.add_source("shelf", LISTING)
    if sink != "sqlite":
        here.config["sinks"]["sink"] = {"type": sink, "path": "sink"}
    write(here, listed=KEYS, living=KEYS)
    assert here.run("import", "shelf").code == 0
    listed, living = KEYS[:600], {key for key in KEYS if key in KEYS[:600] or key.endswith("7")}
    write(here, listed=listed, living=living)
    (here.folder / "calls").write_text("")
    steps = [dice.randint(1, 900) for _ in range(5)]
    for step in steps:
        command = here.start("import", "shelf", "--allow-shrink")  # more than half of it is gone
        target = (here.folder / "calls").stat().st_size + step
        until(lambda: (here.folder / "calls").stat().st_size >= target or not command.running)  # noqa: B023 - it ends within the turn
        command.kill()
        here.assert_conserved()
    done = here.run("import", "shelf", "--allow-shrink", "--json")
    assert done.code == 0, (steps, done.stderr)
    asked = len(KEYS) - len(listed)
    assert here.select("SELECT done, dead FROM run WHERE id = 2") == [(10 + 1 + 3 + asked, 0)], steps
    (streams,) = here.select("SELECT seen, unchanged, tombstoned FROM tally WHERE run = 2")
    assert streams == (len(living), len(living), len(KEYS) - len(living)), steps
    if sink == "sqlite":
        assert here.imported("shelf", "things", source="shelf").keys() >= living
        rows = here.select("SELECT id FROM shelf_things WHERE deleted_at IS NULL", path=here.sink_path)
        assert {key for (key,) in rows} == living
    assert here.run("frontier", "check").code == 0


def write(here: Installation, **files: Any) -> None:
    for name, keys in files.items():
        (here.folder / name).write_text(" ".join(sorted(keys)))
