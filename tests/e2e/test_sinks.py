"""What a run's report says of its streams, and what a sink that refuses holds up: its own imports, and no others."""

from __future__ import annotations

import json
import re
import signal
from contextlib import closing
from typing import TYPE_CHECKING, Any

import apsw
import pytest
from support.constants import Constant
from support.installation import NO_LIMITS, QUICK, Installation, fetch, metrics_of, until
from support.relay import Relay

from crawlerd.demo.objects import STREAMS, count, expected
from crawlerd.sinks.sqlite.sink import sqlite_sink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from crawlerd.demo.server import Server

PATIENCE = {Constant.IMPORT_TROUBLE_SECONDS: 0.5, Constant.SQLITE_SINK_BUSY_SECONDS: 0.05}

# Its objects are the lines of a file: a key, and what it has; "!" cannot be serialized, "?" is not there.
SHELF = """
source = Source("shelf", base_url="http://127.0.0.1:9", streams=["things"])
OBJECTS = Path(__file__).parents[1] / "objects"

@dataclass(frozen=True)
class Look(TaskArgs, kind="shelf.look"):
    line: str

@dataclass(frozen=True)
class Close(TaskArgs, kind="shelf.close"):
    pass

@source.starts
def begin(plan):
    yield Gather([Look(line) for line in OBJECTS.read_text().splitlines()], Close(), if_dead="fail")

@source.handles(Look, stream="things")
def look(api, args):
    key, _, value = args.line.partition(" ")
    if value == "?":
        raise Denied("not yours")
    yield Record("things", key, {"value": object() if value == "!" else value})

@source.handles(Close)
def close(api, args):
    yield Sweep("things")
"""


@pytest.fixture
def shelf(install: Callable[..., Installation]) -> Installation:
    here = install(accounts=0, daemon={"worker_processes": 2})
    here.add_source("shelf", SHELF)
    return here


def put(here: Installation, **objects: str) -> None:
    (here.folder / "objects").write_text("".join(f"{key} {value}\n" for key, value in objects.items()))


def run(here: Installation, *, code: int = 0) -> dict[str, Any]:
    done = here.run("import", "--full", "shelf", "--json")
    assert done.code == code, done.stderr
    (report,) = done.json["imports"]["shelf"]
    status = here.run("status", "--json").json["runs"][0]
    assert {key: report[key] for key in status} == status
    assert isinstance(report, dict)
    return report


def test_a_run_tells_what_it_has_done_to_each_stream(shelf: Installation) -> None:
    put(shelf, a="1", b="1", c="1", d="1")
    first = run(shelf)
    assert first["complete"]
    assert first["streams"]["things"] == {
        "records": 4, "seen": 4, "new": 4, "changed": 0, "unchanged": 0, "tombstoned": 0,
        "skipped": 0, "dead": 0, "denied": False, "reason": None, "note": None,
    }  # fmt: skip
    put(shelf, a="1", b="2", e="1", d="!")
    second = run(shelf, code=3)
    assert not second["complete"]
    things = second["streams"]["things"]
    assert [things[key] for key in ("seen", "new", "changed", "unchanged", "tombstoned")] == [3, 1, 1, 1, 1]
    assert things["skipped"] == 1
    assert things["reason"].startswith("d: cannot be serialized")
    assert shelf.select("SELECT id, deleted_at IS NULL FROM shelf_things ORDER BY id", path=shelf.sink_path) == [
        ("a", 1), ("b", 1), ("c", 0), ("d", 1), ("e", 1),
    ]  # fmt: skip
    put(shelf, a="1", b="2", c="1", d="1", e="?")
    third = run(shelf, code=3)
    assert not third["complete"]
    things = third["streams"]["things"]
    assert (things["denied"], things["dead"], things["tombstoned"]) == (True, 1, 0)  # no sweep of what is not known
    assert (things["new"], things["unchanged"]) == (1, 3)
    printed = shelf.run("import", "--full", "shelf")
    assert "things: 4 records, 4 seen, 0 new, 0 changed, 4 unchanged, 0 tombstoned (1 dead, denied: " in printed.stdout
    shelf.assert_conserved()


def test_what_is_skipped_is_no_complete_import(shelf: Installation) -> None:
    put(shelf, a="1", b="!")
    done = shelf.run("import", "shelf")
    assert done.code == 3
    assert re.search(r"1 records, .* 0 dead, not complete", done.stdout)
    assert "not complete: skipped and doubted records are listed above" in done.stdout
    report = shelf.run("import", "shelf", "--json")
    assert (report.code, report.json["state"]) == (3, "not complete")
    put(shelf, a="1", b="1")
    done = shelf.run("import", "shelf")
    assert done.code == 0
    assert re.search(r" 0 dead, complete\n", done.stdout)


KEEPS_NONE = "its streams keep no sync points, so each run reads all of them"


def test_a_run_says_that_it_is_full_and_why(shelf: Installation) -> None:
    put(shelf, a="1")
    done = shelf.run("import", "shelf")
    assert "  full: no earlier run of it has ended clean\n" in done.stdout
    asked = run(shelf)
    assert (asked["full"], asked["full_reason"]) == (True, None)
    report = shelf.run("import", "shelf", "--json").json["imports"]["shelf"][0]
    assert (report["full"], report["full_reason"]) == (True, KEEPS_NONE)


def number(**more: str) -> dict[str, str]:
    return {f"k{each:03}": "1" for each in range(100)} | more


def test_a_full_run_that_sees_far_less_than_the_last_one_is_doubted_until_it_is_seen_again(shelf: Installation) -> None:
    there = "SELECT count(*) FROM shelf_things WHERE deleted_at IS NULL"
    everything = number()
    few = dict(list(everything.items())[:30])
    put(shelf, **everything)
    assert run(shelf)["complete"]
    put(shelf, **few)
    doubted = run(shelf, code=3)
    assert not doubted["complete"]
    assert doubted["state"] == "completed"
    assert doubted["doubts"] == [{"account": "shelf", "stream": "things", "seen": 30, "before": 100}]
    assert doubted["streams"]["things"]["tombstoned"] == 0
    assert shelf.select(there, path=shelf.sink_path) == [(100,)]
    told = "import shelf: run 2 is in doubt: things has 30 records, before 100"
    assert told in " ".join(shelf.run("status").stdout.split())
    put(shelf, **everything)
    assert run(shelf)["complete"]  # it was a mistake of the API
    put(shelf, **few)
    done = shelf.run("import", "shelf")
    assert done.code == 3
    assert "  things of shelf: in doubt: 30 seen, where the last full run had seen 100; " in done.stdout
    accepted = run(shelf)
    assert accepted["complete"]
    assert accepted["streams"]["things"]["tombstoned"] == 70
    assert shelf.select(there, path=shelf.sink_path) == [(30,)]
    assert "doubt" not in shelf.run("status").stdout
    shelf.assert_conserved()


def test_a_shrinking_that_is_known_may_be_allowed(shelf: Installation) -> None:
    put(shelf, **number())
    run(shelf)
    put(shelf, a="1")
    assert run(shelf, code=3)["doubts"]
    done = shelf.run("import", "shelf", "--allow-shrink", "--json")
    assert done.code == 0
    (report,) = done.json["imports"]["shelf"]
    assert report["full_reason"] == "the last full run has left a doubt about things"
    assert (report["doubts"], report["streams"]["things"]["tombstoned"]) == ([], 100)


@pytest.mark.parametrize(
    "sink",
    [{"type": "jsonl", "path": "sink"}, {"type": "persist-queue", "path": "sink"}],
    ids=lambda sink: sink["type"],
)
def test_killed_at_any_moment_each_line_is_there_once(
    sink: dict[str, Any], api: Server, install: Callable[..., Installation]
) -> None:
    with Relay(api.url) as relay:
        here = install(url=relay.url)
        here.config["sinks"]["sink"] = sink
        for requests in (5, 15, 30, 45):
            daemon = here.start("import", "a1")
            until(lambda requests=requests, daemon=daemon: len(relay.seen) >= requests or not daemon.running)
            daemon.kill()
        done = here.run("import", "a1", "--json")
    assert done.code == 0, done.stderr
    lines = list(lines_of(here.folder / "sink", sink["type"]))
    found = {(line["stream"], line["id"]): line["data"] for line in lines}
    assert len(found) == len(lines)
    assert found == {(stream, key): data for stream in STREAMS for key, data in expected(1, stream, 40)}
    streams = done.json["imports"]["a1"][0]["streams"]
    assert {stream: (facts["seen"], facts["new"]) for stream, facts in streams.items() if facts["seen"]} == {
        stream: 2 * (count(stream, 40),) for stream in STREAMS if count(stream, 40)
    }


def lines_of(path: Path, kind: str) -> Iterator[dict[str, Any]]:
    if kind == "jsonl":
        for file in path.glob("*.jsonl"):
            yield from map(json.loads, file.read_text().splitlines())
        return
    with closing(apsw.Connection(str(path / "data.db"), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        for (data,) in db.execute("SELECT data FROM ack_queue_default"):
            yield json.loads(bytes(data))


def test_a_library_tells_nothing_of_itself_in_the_log(api: Server, install: Callable[..., Installation]) -> None:
    here = install(url=api.url, schedule="1h")
    here.config["sinks"]["sink"] = {"type": "persist-queue", "path": "sink"}
    daemon = here.start("run")
    daemon.says("import a1: run 1 completed")
    daemon.send(signal.SIGTERM)
    done = daemon.finish()
    assert done.code == 0
    assert "pickle" not in done.stderr
    assert "aiofiles" not in done.stderr


# a sink that refuses


def two_sinks(api_url: str, install: Callable[..., Installation], **more: Any) -> Installation:
    """Two imports of one account, `a1` into `sink` and `other` into another one."""
    here = install(url=api_url, constants=PATIENCE, **more)
    here.config["sinks"]["other"] = {"type": "sqlite", "path": "other.db"}
    here.config["imports"]["other"] = {**here.config["imports"]["a1"], "sink": "other"}
    return here


def lock(here: Installation) -> apsw.Connection:
    sqlite_sink(here.sink_path).close()  # the sink is there, and is opened before it refuses
    db = apsw.Connection(str(here.sink_path))
    db.execute("BEGIN IMMEDIATE")
    return db


def test_imports_of_other_sinks_end_while_one_sink_is_locked(api: Server, install: Callable[..., Installation]) -> None:
    here = two_sinks(api.url, install)
    with closing(lock(here)):
        done = here.run("import", "--all", "--json")
        assert done.code == 1
        (stuck,), (other,) = done.json["imports"].values()
        assert other["state"] == "completed"
        assert stuck["state"] == "held up"
        assert "sinks.sink: " in stuck["held_up"]
        assert "sink.db is locked: another program" in stuck["held_up"]
        assert stuck["records"] == 0
        here.assert_conserved()
        alone = here.run("import", "a1")
        assert alone.code == 74
        assert "sink.db is locked" in alone.stderr
    assert here.run("import", "--all").code == 0
    here.sink_path = here.folder / "other.db"
    here.config["accounts"].pop("a1")
    assert {key for (key,) in here.select("SELECT id FROM stripe_customers", path=here.sink_path)} == {
        key for (key,) in here.select("SELECT id FROM stripe_customers", path=here.folder / "sink.db")
    }


def test_a_daemon_goes_on_with_the_others_and_comes_back(api: Server, install: Callable[..., Installation]) -> None:
    with Relay(api.url) as relay:
        assert two_sinks(relay.url, install).run("import", "--all").code == 0
        usual = len(relay.seen)
    with Relay(api.url) as relay:
        threads = 4
        here = two_sinks(relay.url, install, schedule="1h", daemon={"threads_per_process": threads})
        with closing(lock(here)):
            daemon = here.start("run")
            until(lambda: "completed" in here.states())
            assert here.states() == ["running", "completed"]
            assert fetch(daemon, "/healthz")[0] == 200
            ready = fetch(daemon, "/readyz")
            assert ready[0] == 503
            assert "sinks.sink: " in ready[1]
            daemon.says("sinks.sink: .*is locked.*nothing is lost, trying again every second")
            sent = len(relay.seen)
        until(lambda: here.states() == ["completed", "completed"], 60)
        daemon.says("recovered: sinks.sink")
        again = len(relay.seen) - sent
        assert fetch(daemon, "/readyz")[0] == 200
        daemon.send(signal.SIGTERM)
        assert daemon.finish().code == 0
    assert sent + again in (usual, usual + 1)  # what was held was not asked for again, but for the guard
    assert again >= usual / 2 - 8 * threads  # and nearly all of it was not leased before
    here.config["imports"].pop("other")
    for stream in STREAMS:
        assert here.imported("a1", stream) == dict(expected(1, stream, 40))


def test_a_sink_that_cannot_be_opened_keeps_its_own_imports_from_starting(
    api: Server, install: Callable[..., Installation]
) -> None:
    here = two_sinks(api.url, install)
    here.config["sinks"]["sink"]["path"] = "nowhere/sink.db"
    done = here.run("import", "--all", "--json")
    assert done.code == 1
    assert done.json["imports"].keys() == {"other"}
    assert done.json["imports"]["other"][0]["state"] == "completed"
    assert "nowhere/sink.db" in done.json["not_started"]["a1"]
    assert here.run("import", "a1").code == 1
    for each in here.config["imports"].values():
        each["schedule"] = "1s"
    daemon = here.start("run")
    until(lambda: len(here.states()) >= 3)
    daemon.says("ERROR sinks.sink: .*nowhere/sink.db.*; tried again while crawlerd runs")
    runs = len(here.states())
    until(lambda: len(here.states()) >= runs + 5)  # and a1 was tried again meanwhile
    assert daemon.stderr.count("nowhere/sink.db") == 1
    status, why = fetch(daemon, "/readyz")
    assert (status, "nowhere/sink.db" in why) == (503, True)
    assert metrics_of(daemon)["crawlerd_trouble"] == 1
    status_text = "".join(here.run("status").stdout.split())  # in as many lines as the path takes
    assert re.search("importa1:cannotstart:sinks.sink:.*nowhere/sink.db", status_text)
    assert "nowhere/sink.db" in here.run("status", "--json").json["trouble"]
    (here.folder / "nowhere").mkdir()
    daemon.says("sinks.sink can be used again")
    until(lambda: ("a1",) in here.select("SELECT DISTINCT import FROM run"))
    until(lambda: fetch(daemon, "/readyz")[0] == 200)
    assert "held up" not in here.run("status").stdout
    daemon.send(signal.SIGTERM)
    assert daemon.finish().code == 0
    here.assert_conserved()


def test_what_a_sink_can_never_take_becomes_a_dead_letter(api: Server, install: Callable[..., Installation]) -> None:
    here = install(url=api.url, account={**QUICK, **NO_LIMITS})
    code = SHELF.replace('Source("shelf"', 'Source("Odd"')
    here.add_source("Odd", code)
    put(here, a="1", b="1")
    done = here.run("import", "--all", "--json")
    assert done.code == 1
    (odd,) = done.json["imports"]["Odd"]
    assert (odd["state"], odd["complete"], odd["dead"]) == ("failed", False, 3)
    assert odd["streams"]["things"]["dead"] == 2
    assert "'Odd' and 'things' cannot name a table" in odd["streams"]["things"]["reason"]
    (fine,) = done.json["imports"]["a1"]
    assert (fine["state"], fine["complete"]) == ("completed", True)
