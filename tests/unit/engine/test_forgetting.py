"""Forgetting ends at any moment and begins again; what is old leaves sinks in slices."""

from __future__ import annotations

import json
import os
import shutil
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, TypeVar

import apsw
import pytest
from support.sink_batches import batch_of

from crawlerd.core.configuration import Receiver, SinkSpec
from crawlerd.core.erasure import Erasure, ErasureScope
from crawlerd.engine import forgetting
from crawlerd.engine.clock import Clock
from crawlerd.engine.forgetting import Forgettor, Forgot, Here
from crawlerd.engine.outgoing import outbox_of
from crawlerd.engine.retention import Retention
from crawlerd.frontier import open_frontier
from crawlerd.frontier.reports import Act
from crawlerd.sink import Delivery
from crawlerd.sinks import batch_to_send, check_sink, open_sink

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")
ROWS = 8
DAY = 86_400.0


class Killed(BaseException):
    """The process is."""


class Mortal:
    """Dies at a call; died: it has."""

    def __init__(self, at: int) -> None:
        self._left, self.died = at, False

    def __call__(self, function: Callable[[], T]) -> T:
        if not self._left:
            self.died = True
            raise Killed
        self._left -= 1
        return function()


def specs(folder: Path) -> dict[str, SinkSpec]:
    return {
        "rows": SinkSpec(name="rows", type="sqlite", path=folder / "rows.db"),
        "files": SinkSpec(name="files", type="jsonl", path=folder / "files", compress=False),
        "queue": SinkSpec(name="queue", type="persist-queue", path=folder / "queue"),
    }


def filled(folder: Path) -> None:
    folder.mkdir()
    for spec in specs(folder).values():
        sink = open_sink(spec)
        for version in ("old", "new"):
            for account in ("anna", "anna/part", "annabel"):
                rows = [(f"k{number}", {"v": f"{account}-{version}-{number}-mark"}) for number in range(ROWS)]
                run = 1 if version == "old" else 2
                sink.write([Delivery("shop", account, run, float(run), run, [batch_of("people", rows)])], 1.0)
        sink.ended(1)
        sink.close()


def texts(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def forgettor(folder: Path, which: Erasure) -> Forgettor:
    found = {name: (spec, which) for name, spec in specs(folder).items()}
    return Forgettor(
        found, ErasureScope(accounts=which.accounts, key=which.key), Act(1.0, "me", "forget", "", "", 0), None
    )


def rows_of(folder: Path, account: str) -> int:
    with closing(apsw.Connection(str(folder / "rows.db"), flags=apsw.SQLITE_OPEN_READONLY)) as database:
        found: int = database.execute("SELECT count(*) FROM shop_people WHERE account = ?", (account,)).get
        return found


@pytest.mark.slow
def test_killed_at_any_call_it_is_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forgetting, "SLICE_ROWS", 7)
    calls = 0
    died = True
    filled(tmp_path / "before")
    while died:
        folder = tmp_path / str(calls)
        shutil.copytree(tmp_path / "before", folder)
        frontier = open_frontier(folder, now=1.0)
        mortal = Mortal(calls)
        try:
            forgettor(folder, Erasure(accounts=("anna",))).run(frontier, mortal, Forgot())
        except Killed:
            died = mortal.died
        else:
            died = False
        forgot = Forgot()
        forgettor(folder, Erasure(accounts=("anna",))).run(frontier, Here(), forgot)
        frontier.close()
        assert forgot.left == []
        assert b"anna-" not in texts(folder)
        assert b"anna/part-" not in texts(folder)
        assert b"annabel-new-7-mark" in texts(folder)
        assert rows_of(folder, "annabel") == ROWS
        assert check_sink(specs(folder)["rows"]) == []
        calls += 1
    assert calls > 15


def test_a_key_leaves_with_what_lies_below_it(tmp_path: Path) -> None:
    for spec in specs(tmp_path).values():
        sink = open_sink(spec)
        cards = batch_of("cards", [("c1", {"v": "card-of-k1"}), ("c2", {"v": "card-of-k2"})])
        cards = type(cards)(cards.stream, 2, cards.keys, cards.data, cards.fields, [], cards.size, ["k1", "k2"])
        people = batch_of("people", [("k1", {"v": "person-k1"}), ("k2", {"v": "person-k2"})])
        sink.write([Delivery("shop", "anna", 1, 1.0, 1, [people, cards])], 1.0)
        sink.ended(1)
        sink.close()
    frontier = open_frontier(tmp_path, now=1.0)
    forgettor(tmp_path, Erasure(key="k1")).run(frontier, Here(), Forgot())
    frontier.close()
    left = texts(tmp_path)
    assert b"person-k1" not in left
    assert b"card-of-k1" not in left
    assert b"person-k2" in left
    assert b"card-of-k2" in left


def test_what_is_still_to_be_delivered_leaves(tmp_path: Path) -> None:
    receiver = Receiver(account="crm", base_url="http://127.0.0.1:1", path="/people")
    spec = SinkSpec(name="crm", type="http", path=tmp_path / "outbox.db", receiver=receiver)
    sink = open_sink(spec)
    for account in ("anna", "bob"):
        rows = [(f"k{number}", {"v": f"{account}-{number}-mark"}) for number in range(ROWS)]
        sink.write([Delivery("shop", account, 1, 1.0, 1, [batch_of("people", rows)])], 1.0)
    outbox = outbox_of(sink)
    assert outbox is not None
    tasks = [task for tasks in outbox.take_errands().values() for task in tasks]
    frontier = open_frontier(tmp_path, now=1.0)
    which = Erasure(accounts=("anna",))
    Forgettor({"crm": (spec, which)}, ErasureScope(accounts=("anna",)), Act(1.0, "me", "", "", "", 0), None).run(
        frontier, Here(), Forgot()
    )
    frontier.close()
    assert b"anna-" not in texts(tmp_path)
    assert b"bob-7-mark" in texts(tmp_path)
    with closing(apsw.Connection(str(spec.path), flags=apsw.SQLITE_OPEN_READONLY)) as database:
        lines = [json.loads(data)["v"] for (data,) in database.execute("SELECT data FROM _crawlerd_line ORDER BY key")]
    assert lines == [f"bob-{number}-mark" for number in range(ROWS)]
    batches = [batch_to_send(spec.path, json.loads(task.payload)["batch"], 1) for task in tasks]
    assert None in batches  # what anna's task finds
    assert any(batches)
    sink.close()


def test_old_tombstones_and_files_leave_in_slices(tmp_path: Path) -> None:
    for name, spec in specs(tmp_path).items():
        retained: dict[str, Any] = {"retain_tombstones": 10 * DAY}
        if name == "files":
            retained["retain_files"] = 5 * DAY
        sink = open_sink(SinkSpec(**{field: getattr(spec, field) for field in spec.__struct_fields__} | retained))
        now = time.time()
        live: list[tuple[str, Any]] = [(f"k{number}", {"v": number}) for number in range(20)]
        gone: list[tuple[str, Any]] = [(f"k{number}", None) for number in range(10)]
        sink.write([Delivery("shop", "anna", 1, 1.0, 1, [batch_of("people", live)])], now - 30 * DAY)
        sink.write([Delivery("shop", "anna", 2, 2.0, 2, [batch_of("people", gone[:6])])], now - 20 * DAY)
        sink.write([Delivery("shop", "anna", 3, 3.0, 3, [batch_of("people", gone[6:])])], now - 2 * DAY)
        sink.ended(3)
        if name == "files":
            sink.write([Delivery("shop", "anna", 4, 4.0, 4, [batch_of("people", [("k19", {"v": -1})])])], now)
            sink.ended(4)
            *old, last = sorted((tmp_path / "files").glob("*.jsonl"))
            for path in old:
                os.utime(path, (now - 6 * DAY, now - 6 * DAY))
        slices = 1
        while sink.expire(now, 4):
            slices += 1
        assert slices == 2, name
        if name == "files":
            assert [path.name for path in (tmp_path / "files").glob("*.jsonl")] == [last.name]
        sink.close()
        with closing(apsw.Connection(str(spec.database), flags=apsw.SQLITE_OPEN_READONLY)) as database:
            left = database.execute("SELECT count(*), sum(deleted_at IS NULL) FROM shop_people").get
        assert left == (14, 10), name
        assert check_sink(spec) == []


def test_retention_looks_at_open_sinks_now_and_then(tmp_path: Path) -> None:
    spec = SinkSpec(name="rows", type="sqlite", path=tmp_path / "rows.db", retain_tombstones=DAY)
    sink = open_sink(spec)
    gone: list[tuple[str, Any]] = [(f"k{number}", None) for number in range(10)]
    sink.write([Delivery("shop", "anna", 1, 1.0, 1, [batch_of("people", gone)])], time.time() - 2 * DAY)
    retention = Retention({"rows": sink}, Clock())
    retention.look()
    assert rows_of(tmp_path, "anna") == 0
    sink.write([Delivery("shop", "anna", 2, 2.0, 2, [batch_of("people", gone)])], time.time() - 2 * DAY)
    retention.look()
    assert rows_of(tmp_path, "anna") == 10  # not looked at each time
    sink.close()


def test_what_another_program_reads_is_left_and_said(tmp_path: Path) -> None:
    folder = tmp_path / "here"
    filled(folder)
    frontier = open_frontier(folder, now=1.0)
    which, forgot = Erasure(accounts=("anna",)), Forgot()
    with closing(apsw.Connection(str(folder / "rows.db"), flags=apsw.SQLITE_OPEN_READONLY)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM shop_people").fetchall()
        forgettor(folder, which).run(frontier, Here(), forgot)
        (left,) = forgot.left
        assert left.startswith("sinks.rows: another program reads")
        reader.execute("COMMIT")
    forgot = Forgot()
    forgettor(folder, which).run(frontier, Here(), forgot)
    frontier.close()
    assert forgot.left == []
    assert b"anna-" not in texts(folder)


def test_a_large_database_is_left_while_a_daemon_runs(tmp_path: Path) -> None:
    folder = tmp_path / "here"
    filled(folder)
    frontier = open_frontier(folder, now=1.0)
    forgot = Forgot()
    forgettor(folder, Erasure(accounts=("anna",)))._replace(most_bytes=1).run(frontier, Here(), forgot)
    frontier.close()
    assert len(forgot.left) == 4  # three sinks and the frontier
    assert rows_of(folder, "anna") == 0
