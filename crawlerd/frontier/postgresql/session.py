"""How the frontier's connections to PostgreSQL are opened, and what its errors are called."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg

from crawlerd import postgres
from crawlerd.core.errors import FrontierError, FrontierRefused, StartAgain, StorageFailed, TaskNotReady
from crawlerd.frontier.postgresql.database import AGAIN, adapt
from crawlerd.postgres import LONG_SECONDS, POOLED, Session, said, set_up

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FENCED = "CRW01"  # raised by begin_commit
NOT_READY = "CRW02"  # raised by expect_tasks
SESSION = {
    "client_connection_check_interval": "1s",  # the sessions of a process or machine that is gone end by themselves,
    "tcp_keepalives_idle": "10",  # so that the next one is not told that the frontier is in use
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "15s",
    "client_min_messages": "warning",
    "array_nulls": "on",  # what statements mean must not depend on the role's or the database's defaults
    "DateStyle": "ISO",
    "extra_float_digits": "1",
    "transform_null_equals": "off",
    "default_transaction_isolation": "read committed",
    "idle_session_timeout": "0",  # a daemon may have nothing to do
    "idle_in_transaction_session_timeout": "10s",  # a daemon that is frozen between two answers keeps no locks
    "lock_timeout": "5s",
    "synchronous_commit": "on",
    "TimeZone": "UTC",
    # A statement may be prepared while its tables are empty, and is used when they have millions of rows: so the
    # planner has no other way than the indexes, and joins are made in the order in which they are written.
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_material": "off",
    "enable_memoize": "off",
    "enable_bitmapscan": "off",
    "from_collapse_limit": "1",
    "join_collapse_limit": "1",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
}
_DAMAGED = (
    "a table, column or function of it is missing: restore it with pg_restore, or set it aside with "
    "`crawlerd frontier new --force`, after which each import reads everything"
)
_LACKS = ("42P01", "42703", "42883")


class Place(postgres.Place):
    """Where a frontier is."""

    subject, error = "frontier", FrontierError

    def __init__(self, url: str, schema: str = "crawlerd_frontier") -> None:
        super().__init__(url, schema)

    def __str__(self) -> str:
        return f"the frontier in PostgreSQL {self.address}"


def connect(place: Place, *, reading: bool = False, patient: bool = False) -> psycopg.Connection[Any]:
    """A connection with the frontier's settings. FrontierError, or StorageFailed where another try may succeed.

    reading: it can change nothing.
    patient: its statements may take hours, as those that touch all rows of a table.
    """
    missing = place.options()
    if reading:
        missing["target_session_attrs"] = "any"
    with errors(place):
        session = Session.connect(place.url, autocommit=True, **missing)
        if patient:
            session.patience = LONG_SECONDS
        try:
            _refuse_shared(place, session, missing)
            _set_up(place, session, reading=reading)
        except BaseException:
            session.close()
            raise
    return session


def _refuse_shared(place: Place, session: psycopg.Connection[Any], options: Mapping[str, Any]) -> None:
    """Settings, and the owner that a frontier's node names, are those of one process of the server."""
    row = session.execute("SELECT pg_backend_pid()", prepare=False).fetchone()
    if row and row[0] != session.info.backend_pid:  # a pooler has answered
        with Session.connect(place.url, autocommit=True, **options) as other:
            if row == other.execute("SELECT pg_backend_pid()", prepare=False).fetchone():
                raise FrontierError(f"{place} cannot be used: {POOLED}")


def _set_up(place: Place, session: psycopg.Connection[Any], *, reading: bool) -> None:
    settings = {**SESSION, "search_path": f'"{place.schema}"'}
    if reading:
        settings |= {"default_transaction_read_only": "on"}
    set_up(place, session, settings)
    adapt(session)


@contextmanager
def errors(place: Place) -> Iterator[None]:
    """psycopg's errors as crawlerd's."""
    try:
        yield
    except psycopg.Error as error:
        raise named(place, error) from error


def named(place: Place, error: psycopg.Error) -> FrontierError:
    """What to tell of it. StorageFailed when the same may be tried again."""
    code, reason, advice = said(place, error)
    if code == FENCED:
        return taken_over(place)
    if code == NOT_READY:
        return TaskNotReady(str(place))
    advice = f": {_DAMAGED if code in _LACKS else advice}" if advice or code in _LACKS else ""
    if not code:
        return StorageFailed(
            f"{place} cannot be reached ({reason}){advice}" if advice else f"{place} cannot be reached: {reason}",
            full=True,
        )
    if AGAIN.match(code):
        return StorageFailed(f"{place} cannot be used ({reason}){advice}", full=True)
    return FrontierError(f"{place} cannot be used ({reason}; SQLSTATE {code}){advice}")


def taken_over(place: Place) -> FrontierRefused:
    return FrontierRefused(
        f"{place}: another crawlerd has taken it over; this one has written nothing since: let one of them run"
    )


def older_state(place: Place) -> StartAgain:
    """Commits that were confirmed are gone."""
    return StartAgain(
        f"{place} went back to an older state: a standby took over that lacked the newest commits, or a backup was put "
        "in place: start again; it goes on from there, and sends the requests of those commits again"
    )
