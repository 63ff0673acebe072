"""A frontier of the first version of crawlerd goes on where it was."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import apsw
import pytest
from support.ready_tasks import bucket_heads

from crawlerd.core.errors import FrontierError
from crawlerd.core.outcome import Bury, Complete, Outcome
from crawlerd.core.task import NewGather, NewTask, Task
from crawlerd.frontier import backup, check, open_frontier, open_reader
from crawlerd.frontier.contract import Settled
from crawlerd.frontier.sqlite.database import FILE_NAME
from crawlerd.frontier.sqlite.migrations import MIGRATIONS
from crawlerd.frontier.waiting_contract import FIRST

if TYPE_CHECKING:
    from pathlib import Path

    from crawlerd.frontier.contract import Frontier

NOW = 1_000_000.0
OLD = """
INSERT INTO account(name, source) VALUES ('acme', 'shop');
INSERT INTO bucket(account, name, ready) VALUES (1, 'pages', 2);
INSERT INTO kind(name) VALUES ('shop.page');
INSERT INTO run(import, account, "full", state, started_at, open, delayed, done, dead)
    VALUES ('shop', 1, 0, 'running', 5.0, 3, 1, 7, 1);
INSERT INTO ready VALUES (1, 5, 1, 1, 1, 0, 0, '"a"'), (1, 5, 2, 1, 1, 2, 1, '"b"');
INSERT INTO delayed VALUES (1000060.0, 3, 1, 5, 1, 1, 1, 'reset', '"c"');
INSERT INTO dead VALUES (4, 1, 1, 5, 1, 1, 0, 'page', 'gone', '"d"', 5.0);
INSERT INTO seen VALUES (1, unhex('{key}'));
UPDATE next_seq SET value = 5;
PRAGMA user_version = 1;
"""


def task(name: str, *, unique: bool = False) -> NewTask:
    return NewTask("shop.page", "pages", 5, f'"{name}"', unique)


def ready(frontier: Frontier) -> dict[str, Task]:
    """All ready tasks, by name."""
    return {task.payload.strip('"'): task for task in bucket_heads(frontier, 1, FIRST, 100)}


def settle(frontier: Frontier, now: float = NOW, **outcomes: Outcome) -> list[int]:
    """The runs that ended."""
    tasks = ready(frontier)
    return frontier.commit([Settled(tasks[name], 1, outcome) for name, outcome in outcomes.items()], now=now).ended


def dead(old: Path) -> list[int]:
    reader = open_reader(old)
    assert reader is not None
    with closing(reader):
        return [letter.id for letter in reader.dead_letters()]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A state directory of the first version, amid a run, as a killed daemon leaves it."""
    folder = tmp_path / "old"
    folder.mkdir()
    with closing(apsw.Connection(str(folder / FILE_NAME))) as database:
        database.pragma("journal_mode", "wal")
        database.execute(MIGRATIONS[0] + OLD.format(key=task("e", unique=True).key()))
    return folder


def test_a_frontier_of_the_first_version_goes_on_where_it_was(old: Path) -> None:
    frontier = open_frontier(old, now=NOW)
    assert frontier.account("acme", "shop") == 1
    assert frontier.account("zenith", "shop") == 2
    assert check(old, full=True).broken == []
    tasks = ready(frontier)
    assert tasks == {
        "a": Task(1, 1, 5, 1, "shop.page", 0, '"a"'),
        "b": Task(2, 1, 5, 1, "shop.page", 2, '"b"', crashes=1),
    }
    settle(frontier, a=Complete([], [task("e", unique=True)], gathers=[NewGather([task("f")], task("then"), "fail")]))
    assert ready(frontier).keys() == {"b", "f"}  # e was asked for before the upgrade
    settle(frontier, b=Complete(), f=Bury("gone"), now=NOW + 60.0)
    assert settle(frontier, c=Complete()) == [1]
    assert frontier.retry_dead(dead(old)) == (3, ["shop"])
    settle(frontier, d=Complete(), f=Complete())
    assert settle(frontier, then=Complete()) == [1]
    assert frontier.run(1).state == "completed"
    assert check(old, full=True).broken == []
    frontier.close()


def test_an_old_frontier_is_not_read_but_can_be_copied_before_it_is_brought_up_to_date(
    old: Path, tmp_path: Path
) -> None:
    with pytest.raises(FrontierError, match=r"was written by an older crawlerd \(version 1, .*brings it up to date"):
        open_reader(old)
    assert backup(old, tmp_path / "copy.db") > 0
    with closing(apsw.Connection(str(tmp_path / "copy.db"))) as copy:
        assert copy.pragma("user_version") == 1
