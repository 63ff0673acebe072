"""Pages that lead to more than one message holds, killed at each step: what comes of them is exact, and once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.installation import Installation, Running, is_alive, until

if TYPE_CHECKING:
    from collections.abc import Callable

    import psutil

TRUNK, ODD, LEAVES, GATHERED, REPEATED = 6_000, 2_000, 8_000, 4_000, 500
# The first task yields 5 MB of records, and more tasks than are made ready at once; some of them twice.
FOREST = f"""
source = Source("forest", base_url="http://127.0.0.1:9", streams=["trunk", "leaves", "last"])


@dataclass(frozen=True)
class Root(TaskArgs, kind="forest.root"):
    pass


@dataclass(frozen=True)
class Leaf(TaskArgs, kind="forest.leaf"):
    number: int


@dataclass(frozen=True)
class Last(TaskArgs, kind="forest.last"):
    pass


@source.starts
def first(plan):
    return [Root()]


@source.handles(Root, cost=0, stream="trunk")
def root(api, args):
    for number in range({TRUNK}):
        yield Record("trunk", str(number), {{"number": number, "text": "x" * 700}})
    for number in range({ODD}):
        yield Skip("trunk", f"odd {{number}}", "is no trunk")
    yield Gather([Leaf(number) for number in range({GATHERED})], then=Last())
    for number in range({GATHERED}, {LEAVES}):
        yield Leaf(number)
    for number in range({REPEATED}):
        yield Leaf(number)
    yield Cursor("trunk", "7")


@source.handles(Leaf, cost=0, unique=True, stream="leaves")
def leaf(api, args):
    yield Record("leaves", str(args.number), {{"number": args.number}})


@source.handles(Last, cost=0, stream="last")
def last(api, args):
    yield Record("last", "1", {{"last": True}})
"""
STEPS = {
    "records": "SELECT number > 1 FROM sink",
    "stage": "SELECT count(*) > 1 FROM stage WHERE id NOT IN (SELECT stage FROM unfolding)",
    "unfolding": "SELECT count(*) FROM unfolding",
    "leaves": f"SELECT coalesce(max(done), 0) > {LEAVES // 2} FROM run",
}


def reached(here: Installation, step: str) -> bool:
    path = here.state_dir / "frontier.db"
    return (
        path.exists()
        and bool(here.select("SELECT 1 FROM sqlite_schema WHERE name = 'unfolding'"))
        and any(bool(value) for (value,) in here.select(STEPS[step]))
    )


def until_step(here: Installation, command: Running, step: str) -> None:
    until(lambda: reached(here, step) or not command.running, 60)
    assert command.running, command.stderr


def assert_whole(here: Installation, done: Any) -> None:
    assert done.code == 3, done.stderr  # some were skipped
    assert here.imported("forest", "trunk", "forest").keys() == set(map(str, range(TRUNK)))
    assert here.imported("forest", "leaves", "forest").keys() == set(map(str, range(LEAVES)))
    assert here.imported("forest", "last", "forest").keys() == {"1"}
    assert here.select("SELECT state, open, done, dead, records FROM run") == [
        ("completed", 0, 1 + LEAVES + 1, 0, TRUNK + LEAVES + 1)
    ]
    assert here.select("SELECT skipped, skip_reason FROM tally WHERE stream = 'trunk'") == [
        (ODD, f"odd {ODD - 1}: is no trunk")
    ]
    assert here.select("SELECT stream, value FROM cursor") == [("trunk", "7")]
    assert here.run("frontier", "check", "--full").code == 0


@pytest.fixture
def forest(install: Callable[..., Installation]) -> Installation:
    here = install(accounts=0, daemon={"worker_processes": 2})
    here.add_source("forest", FOREST)
    return here


def test_killed_at_each_step_it_ends_exact(forest: Installation) -> None:
    for step in STEPS:
        command = forest.start("import", "forest")
        until_step(forest, command, step)
        command.kill()
        forest.assert_conserved()
        checked = forest.run("frontier", "check")
        assert checked.code == 0, checked.stdout
    assert_whole(forest, forest.run("import", "forest", "--json"))
    assert forest.select("SELECT count(*) FROM stage") == [(0,)]


def test_a_worker_that_dies_with_half_of_a_page_sent_costs_nothing(forest: Installation) -> None:
    """The next one sends all of it again, under another lease."""
    command = forest.start("import", "forest", "--json")
    until_step(forest, command, "stage")
    workers: list[psutil.Process] = command.workers()
    for each in workers:
        each.kill()
    until(lambda: not any(map(is_alive, workers)))
    assert_whole(forest, command.finish())
    assert forest.select("SELECT count(DISTINCT id) FROM stage") in ([(0,)], [(1,)])  # the run may end before that goes


# 45 MB, of records and of what is set aside: in one message, the main process would hold them several times.
PAGE = """
source = Source("page", base_url="http://127.0.0.1:9", streams=["rows"])


@dataclass(frozen=True)
class Root(TaskArgs, kind="page.rows"):
    pass


@source.starts
def first(plan):
    return [Root()]


@source.handles(Root, cost=0)
def root(api, args):
    for number in range(40_000):
        yield Record("rows", str(number), {"number": number, "text": "x" * 700})
    for number in range(50_000):
        yield Skip("rows", f"odd {number}", "is odd " * 40)
"""


def test_a_large_page_takes_the_main_process_no_more_than_64_mb(install: Callable[..., Installation]) -> None:
    here = install(accounts=0)
    here.add_source("page", PAGE)
    command = here.start("import", "page", "--json")
    path = here.state_dir / "frontier.db"
    until(lambda: command.workers() and path.exists() and here.select("SELECT 1 FROM sqlite_schema WHERE name = 'run'"))
    before, peaks = peak_mb(command), [0]
    until(lambda: peaks.append(peak_mb(command)) or not command.running, 90)
    assert command.finish().code == 3
    assert here.select("SELECT records, skipped FROM tally") == [(40_000, 50_000)]
    assert max(peaks) < before + 64


def peak_mb(command: Running) -> int:
    """The most memory that it has had; 0 when it is gone."""
    try:
        lines = Path(f"/proc/{command.process.pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) >> 10 for line in lines if line.startswith("VmHWM")), 0)
