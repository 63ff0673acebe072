"""Other programs put tasks into the inbox and take dead letters from the spool, with persist-queue alone."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import apsw
import pytest
from support.constants import Constant
from support.installation import Installation, until
from support.things import Things, locked, put, taken, thing, things

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.installation import Finished

QUICK = {
    Constant.INBOX_LOOK_SECONDS: 0.05,
    Constant.SPOOL_LOOK_SECONDS: 0.05,
    Constant.QUEUE_TROUBLE_SECONDS: 0.1,
}


@pytest.fixture
def api() -> Iterator[Things]:
    with Things() as api:
        yield api
        api.release()


@pytest.fixture
def here(install: Callable[..., Installation], api: Things) -> Installation:
    here = things(install, api)
    here.constants |= QUICK
    return here


def in_queue(queue: Path) -> dict[str, int] | None:
    """The status that each item has, by its data; None while there is no queue."""
    try:
        database = apsw.Connection(str(queue / "data.db"), flags=apsw.SQLITE_OPEN_READONLY)
        database.set_busy_timeout(10_000)
        rows = list(database.execute("SELECT data, status FROM ack_queue_default"))
        database.close()
    except (apsw.CantOpenError, apsw.SQLError):
        return None
    return {bytes(data).decode(): status for data, status in rows}


def ended(here: Installation, count: int) -> list[str]:
    """Waits until there are so many runs, and none of them is under way."""
    until(lambda: len(here.states()) == count and "running" not in here.states())
    return here.states()


def published(here: Installation) -> list[str]:
    return [value for (value,) in here.select("SELECT value FROM cursor")]


def test_tasks_of_another_program_are_performed_once_and_what_is_none_is_listed(
    here: Installation, api: Things
) -> None:
    inbox = here.folder / "inbox"
    put(
        inbox, thing("a"), thing("a"), {"args": {"id": "a", "note": ""}, "kind": "things.one"}, thing("b")
    )  # before it starts
    daemon = here.start("run")
    assert ended(here, 1) == ["completed"]
    assert api.asked == {"/things/a": 1, "/things/b": 1}
    assert set(here.imported("things", "things", "things")) == {"a", "b"}
    assert published(here) == []
    until(lambda: in_queue(inbox) == {})

    wrong = [{"kind": "things.two"}, thing(3), thing("c", nota="x"), ["things.one"], "x" * 1_100_000]
    put(inbox, *wrong, thing("c"))
    ended(here, 2)
    assert api.asked["/things/c"] == 1
    shown = here.run("inbox").stdout.splitlines()
    assert len(shown) == 8
    assert max(map(len, shown[1:])) == 80, shown
    found = here.run("inbox", "--json").json
    assert (found["import"], found["rejected"]) == ("things", 5)
    reasons = [each["reason"] for each in reversed(found["rejections"])]
    for reason, words in zip(
        reasons,
        [
            'no kind "things.two"; did you mean "things.one"?',
            "Expected `str`",
            'did you mean "note"?',
            "JSON object",
            "at most",
        ],
        strict=True,
    ):
        assert words in reason
    assert [each["item"] for each in found["rejections"]] == [9, 8, 7, 6, 5]
    until(lambda: list((in_queue(inbox) or {}).values()) == [9] * 5)
    assert "item 9 was rejected" in here.run("status").stdout.replace("\n    ", " ")
    daemon.send(signal.SIGTERM)
    assert daemon.finish().code == 0
    here.assert_conserved()


def test_tasks_join_the_run_under_way_and_do_not_speak_for_it(here: Installation, api: Things) -> None:
    api.held = {"/all", "/things/slow"}
    inbox = here.folder / "inbox"
    daemon = here.start("run")
    put(inbox, thing("old"))
    ended(here, 1)
    importing = here.start("import", "things")
    until(lambda: api.asked["/all"])
    put(inbox, thing("new"), thing("bad"), {"kind": "things.liar"}, thing("slow"), thing("r1"))
    until(lambda: api.asked["/things/slow"] and api.asked["/swept"])
    until(lambda: in_queue(inbox) == {})
    assert here.states() == ["completed", "running"]
    api.release()
    assert importing.finish().code == 3  # there are dead letters
    assert ended(here, 2) == ["completed", "completed with dead letters"]
    assert published(here) == ["read"], "neither a cursor nor a dead letter of others' tasks is the run's word"
    assert set(here.imported("things", "things", "things")) == {"old", "new", "slow", "g1", "r0", "r1", "r2"}
    assert not here.select("SELECT 1 FROM things_things WHERE deleted_at IS NOT NULL", path=here.sink_path)
    assert max(api.asked[path] for path in api.asked if "bad" not in path) == 1
    # they are as much others' when they are retried
    assert here.run("dead", "retry", "--all", "--yes").code == 0
    until(lambda: api.asked["/things/bad"] == 2)
    ended(here, 2)
    assert published(here) == ["read"]
    daemon.send(signal.SIGTERM)
    assert daemon.finish().code == 0
    here.assert_conserved()


def test_a_task_is_submitted_by_a_daemon_or_into_the_files(here: Installation, api: Things) -> None:
    def submit(name: str, *more: str) -> Finished:
        return here.run("submit", "things.one", json.dumps({"id": name}), "--import", "things", *more)

    assert submit("f", "--json").json == {"run": 1, "began": True, "added": 1, "repeated": 0}
    assert submit("f").stdout == (
        "run 1 of import things already had this task: nothing is added; "
        "the daemon performs it when it starts, or `crawlerd import things`\n"
    )
    assert api.asked == {}
    daemon = here.start("run")
    assert ended(here, 1) == ["completed"]
    assert api.asked == {"/things/f": 1}
    assert set(here.imported("things", "things", "things")) == {"f"}
    assert submit("f").stdout == "new run 2 of import things has the task now\n", "the run that had it has ended"
    ended(here, 2)
    audit = here.select("SELECT act, subject, detail, count FROM audit")
    assert audit == [("submit", "import things", "things.one", 1)] * 3
    refused = here.run("submit", "things.two", "{}", "--import", "things")
    assert (refused.code, "no kind" in refused.stderr) == (1, True)
    daemon.send(signal.SIGTERM)
    assert daemon.finish().code == 0
    here.assert_conserved()


def test_an_inbox_that_cannot_be_used_is_a_reason_and_is_tried_again(here: Installation, api: Things) -> None:
    inbox, garbage = here.folder / "inbox", b"this is no database at all\n" * 200
    inbox.mkdir()
    (inbox / "data.db").write_bytes(garbage)
    daemon = here.start("run")
    daemon.says("tasks wait in the inbox: .* not a queue of persist-queue")
    told = until(lambda: "inbox: " in (text := " ".join(here.run("status").stdout.split())) and text)
    assert "not a queue of persist-queue" in told
    assert (inbox / "data.db").read_bytes() == garbage
    (inbox / "data.db").unlink()
    daemon.says("over: tasks wait in the inbox")
    put(inbox, thing("a"))
    until(lambda: api.asked["/things/a"])
    # another path, and then none, by a reload
    here.config["inbox"]["path"] = "other"
    here.write()
    daemon.send(signal.SIGHUP)
    daemon.says("inbox changed")
    put(here.folder / "other", thing("b"))
    until(lambda: api.asked["/things/b"])
    here.config["dead_letters"] = {"spool": "spool"}
    del here.config["inbox"]
    here.write()
    told = here.run("reload").stdout
    assert "inbox removed" in told
    assert "dead_letters.spool added" in told
    put(here.folder / "other", thing("c"))
    assert here.run("submit", "things.one", '{"id": "bad"}', "--import", "things").code == 0
    until(lambda: in_queue(here.folder / "spool"))
    assert not api.asked["/things/c"]
    daemon.send(signal.SIGTERM)
    assert daemon.finish().code == 0


def test_what_another_program_holds_locked_is_taken_and_leaves_the_queue_later(here: Installation, api: Things) -> None:
    here.constants |= {Constant.QUEUE_BUSY_SECONDS: 0.05}
    inbox = here.folder / "inbox"
    put(inbox, thing("a"))
    with locked(inbox / "data.db"):
        daemon = here.start("run")
        daemon.says("tasks wait in the inbox: .* is locked by another program")
        assert ended(here, 1) == ["completed"]
    daemon.says("over: tasks wait in the inbox")
    until(lambda: in_queue(inbox) == {})
    put(inbox, thing("b"))
    ended(here, 2)
    assert api.asked == {"/things/a": 1, "/things/b": 1}
    daemon.send(signal.SIGTERM)
    assert daemon.finish().code == 0


def test_dead_letters_go_to_another_program_and_come_back(here: Installation, api: Things) -> None:
    here.config["dead_letters"] = {"spool": "spool"}
    spool = here.folder / "spool"
    spool.write_text("a file")  # in the way
    daemon = here.start("run")
    put(here.folder / "inbox", thing("bad-1"), thing("bad-2"))
    ended(here, 1)
    daemon.says("dead letters wait for the spool, and none is lost: .* it is not a directory")
    assert "dead_letters.spool: " in here.run("status").stdout
    (gone,), (number,) = here.select("SELECT seq FROM dead ORDER BY seq")
    letter = here.run("dead", "show", str(number)).json
    assert here.run("dead", "drop", str(gone), "--reason", "x", "--yes").code == 0
    spool.unlink()
    until(lambda: len(in_queue(spool) or ()) == 2)
    got = taken(spool)
    assert {each["id"] for each in got} == {gone, number}, "also what has left meanwhile"
    kept = next(each for each in got if each["id"] == number)
    assert {**kept, "at": 0, "history": 0} == {**letter, "at": 0, "history": 0}
    assert [each["status"] for each in kept["history"]] == [each["status"] for each in letter["history"]] == [404]
    put(here.folder / "back", kept)
    assert here.run("dead", "import", str(here.folder / "back")).code == 0
    until(lambda: api.asked[f"/things/{json.loads(kept['payload'])['id']}"] == 2)
    until(lambda: len(taken(spool)) == 1)  # it has died once more
    daemon.send(signal.SIGTERM)
    assert daemon.finish().code == 0
    here.assert_conserved()


def test_a_large_inbox_waits_where_it_is(here: Installation, api: Things) -> None:
    here.constants |= {Constant.INBOX_ITEMS: 20, Constant.INBOX_MOST_OPEN: 60}
    api.held = {f"/things/{number}" for number in range(200)}
    inbox = here.folder / "inbox"
    put(inbox, *(thing(str(number)) for number in range(200)))
    daemon = here.start("run")
    until(lambda: len(in_queue(inbox) or ()) == 140)
    assert here.select("SELECT open FROM run") == [(60,)]
    api.release()
    until(lambda: in_queue(inbox) == {} and "running" not in here.states(), 30)
    assert len(here.imported("things", "things", "things")) == 200
    assert set(api.asked.values()) == {1}
    daemon.send(signal.SIGTERM)
    assert daemon.finish().code == 0
