"""Each statement of the frontier finds its rows by an index, on whatever the planner knows of the tables."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from crawlerd.frontier.postgresql import database
from crawlerd.frontier.postgresql.database import adapt
from crawlerd.frontier.postgresql.session import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

sys.path.insert(0, str(Path(__file__).parents[1] / "conformance"))
from places import PostgresPlace
from test_machine import FrontierMachine

# One row each, or few however much is queued; and what is read whole when the process starts or people ask for sums.
SMALL = {
    "next_seq",
    "buried",
    "spooling",
    "frontier",
    "version",
    "node",
    "kind",
    "outage",
    "pause",
    "lowered",
    "sink",
    "operation",
}
AT_START = ("WHERE ready = 0))", "UPDATE bucket SET blocked_until = 0 WHERE blocked_until > $1")
ROWS = 3_000
FILLED = f"""
INSERT INTO ready SELECT 1 + n % 7, 1 + n % 3, 5, 1000000 + n, 1, 0, 0, '{{}}' FROM generate_series(1, {ROWS}) AS n;
INSERT INTO delayed SELECT n, 2000000 + n, 1, 5, 1, 1, 0, '', '{{}}' FROM generate_series(1, {ROWS}) AS n;
INSERT INTO seen SELECT 1 + n % 3, decode(md5(n::text), 'hex') FROM generate_series(1, {ROWS}) AS n;
"""


@pytest.fixture(scope="module")
def statements() -> dict[str, list[Any]]:
    """Of PostgreSQL, with values: all that a hundred steps of the frontier's machine execute."""
    found: dict[str, list[Any]] = {}
    patch = pytest.MonkeyPatch()
    raw = database.Connection.raw

    def noting(self: database.Connection, statement: str, values: Any, **options: Any) -> Any:
        if statement.lstrip().startswith(("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")):
            found.setdefault(statement, list(values))
        return raw(self, statement, values, **options)

    patch.setattr(database.Connection, "raw", noting)
    run_state_machine_as_test(
        lambda: FrontierMachine(PostgresPlace.make),
        settings=settings(
            max_examples=4,
            stateful_step_count=25,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
    patch.undo()
    return found


def scanned(plan: dict[str, Any]) -> Iterator[str]:
    kind = plan["Node Type"]
    if kind == "Seq Scan" and plan["Relation Name"] not in SMALL:
        yield f"Seq Scan of {plan['Relation Name']}"
    if kind in ("Hash Join", "Merge Join"):
        yield kind
    for each in plan.get("Plans", []):
        yield from scanned(each)


@pytest.mark.parametrize("filled", ["empty", "full", "full and analyzed"])
def test_no_statement_reads_a_whole_table(statements: dict[str, list[Any]], filled: str) -> None:
    assert len(statements) > 100
    place = PostgresPlace.make()
    place.open()
    with closing(connect(place.place)) as session:
        adapt(session)
        session.execute("BEGIN")
        if filled != "empty":
            session.execute(FILLED.encode(), prepare=False)
        if filled == "full and analyzed":
            session.execute("ANALYZE")
        wrong = []
        for statement, values in statements.items():
            session.execute("SAVEPOINT one")
            try:
                cursor = psycopg.RawCursor(session)
                row = cursor.execute(f"EXPLAIN (FORMAT JSON) {statement}".encode(), values).fetchone()
            finally:
                session.execute("ROLLBACK TO one")
            assert row
            plan = json.loads(row[0]) if isinstance(row[0], str) else row[0]
            if seen := list(scanned(plan[0]["Plan"])):
                wrong.append(f"{', '.join(seen)}: {' '.join(statement.split())[:200]}")
        session.execute("ROLLBACK")
    place.remove()
    wrong = [each for each in wrong if not each.endswith(AT_START)]
    assert not wrong, "\n".join(wrong)
