"""How letters are looked for: from any number on, a page costs what it shows, and not all that matches."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import apsw
import pytest

from crawlerd.frontier import open_frontier
from crawlerd.frontier.letter_filter import ALL, LetterFilter
from crawlerd.frontier.sqlite.database import FILE_NAME
from crawlerd.frontier.sqlite.reader import SqliteReader

if TYPE_CHECKING:
    from pathlib import Path

FILTERS = [
    ALL,
    LetterFilter(import_name="shop"),
    LetterFilter(run=1),
    LetterFilter(account="acme"),
    LetterFilter(kind="shop.page", stream="pages"),
    LetterFilter(group="000000000000"),
    LetterFilter(group="000000000000", import_name="shop", error="gone", since=1.0, until=2.0),
    LetterFilter(ids=[1, 2]),
]


@pytest.mark.parametrize("which", FILTERS)
@pytest.mark.parametrize("asked", ["list", "one each", "next", "newest"])
def test_letters_come_in_their_order_without_being_sorted(tmp_path: Path, which: LetterFilter, asked: str) -> None:
    open_frontier(tmp_path, now=1.0).close()
    said: list[tuple[str, Any]] = []

    def trace(_: object, statement: str, bindings: Any) -> bool:
        said.append((statement, bindings))
        return True

    reader = SqliteReader.open(tmp_path)
    assert reader is not None
    with closing(reader):
        reader._db.exec_trace = trace
        if asked == "next":
            reader.next_letters(which, through=9, after=3, most=10)
        elif asked == "newest":
            reader.newest_letters(which, before=9, limit=10, most_read=-1)  # more than few are sorted
        else:
            reader.dead_letters(which, after=3, limit=10, one_each=asked == "one each")
    statement, bindings = said[-1]
    with closing(apsw.Connection(str(tmp_path / FILE_NAME))) as database:
        plan = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {statement}", bindings)]
    assert not any("ORDER BY" in line for line in plan)
    first = next(line for line in plan if line.split()[1] == "dead")
    assert first.startswith("SEARCH dead USING ")
    if asked in ("one each", "newest"):
        others = [line for line in plan if line.split()[1] == "other"]
        assert others
        assert all("dead_key (key=?" in line for line in others)
