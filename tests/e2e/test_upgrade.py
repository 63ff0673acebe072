"""An import that the first release had begun, and that was killed, is finished by this one with every record once."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import apsw
from support.installation import QUICK

from crawlerd.demo.objects import STREAMS, expected
from crawlerd.demo.server import running

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.installation import Installation

RELEASED = Path(__file__).parents[1] / "frontier/sqlite/released"
CUSTOMERS = 8  # of the account that was being imported


def put(dump: str, path: Path) -> None:
    with closing(apsw.Connection(str(path))) as database:
        database.execute((RELEASED / dump).read_text())
        database.pragma("journal_mode", "wal")


def test_an_import_of_the_first_release_is_finished_exactly(install: Callable[..., Installation]) -> None:
    with running(accounts=1, customers=CUSTOMERS, rate=0) as server:
        here = install(url=server.url, account=QUICK)
        here.state_dir.mkdir(mode=0o700)
        put("frontier-0.1.0.sql", here.state_dir / "frontier.db")
        put("sink-0.1.0.sql", here.sink_path)
        before = here.run("frontier", "backup", "before.db")  # what an upgrade should begin with
        assert before.code == 0
        done = here.run("import", "a1", "--json")
        assert done.code == 0, done.stderr
        assert here.select("SELECT id, state FROM run") == [(1, "completed")]  # it has gone on with what was begun
        for stream in STREAMS:
            assert here.imported("a1", stream) == dict(expected(1, stream, CUSTOMERS)), stream
        here.assert_conserved()
        assert here.run("frontier", "check").code == 0
        assert here.run("sink", "check").code == 0
        assert here.run("import", "a1").code == 0  # a full one: of another version of the API than the first release's
        assert here.select("SELECT state FROM run WHERE id = 2") == [("completed",)]
        for stream in STREAMS:
            assert here.imported("a1", stream) == dict(expected(1, stream, CUSTOMERS)), stream
