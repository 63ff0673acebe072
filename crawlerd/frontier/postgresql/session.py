"""How the frontier's connections to PostgreSQL are opened, and what its errors are called."""

from __future__ import annotations

import logging
import re
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict

from crawlerd.core.errors import FrontierError, FrontierRefused, StartAgain, StorageFailed, TaskNotReady
from crawlerd.frontier.postgresql.database import AGAIN, adapt

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

R = TypeVar("R")

logging.getLogger("psycopg").setLevel(logging.CRITICAL)  # it tells what it raises as well

OLDEST = 14_00_00  # of servers
LONG_SECONDS = 6 * 3600.0
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
_CONNECTION: Mapping[str, Any] = {
    "application_name": "crawlerd",
    "client_encoding": "UTF8",
    "connect_timeout": 3,
    "gssencmode": "disable",
    "keepalives_count": 3,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "target_session_attrs": "read-write",  # of several hosts, the one that is not a standby
    "tcp_user_timeout": 15_000,
}
_POOLED = "a pooler shares its connections: connect to the server itself, or set the pooler to session mode"
_DAMAGED = (
    "a table, column or function of it is missing: restore it with pg_restore, or set it aside with "
    "`crawlerd frontier new --force`, after which each import reads everything"
)
_ADVICE = {
    "53100": "free space on the server's disk",
    "53300": "no connection is left; raise max_connections or the role's CONNECTION LIMIT, or end others",
    "55P03": "another session has kept a lock for too long; end its transaction",
    "57014": "the server has canceled a statement; raise statement_timeout of the role",
    "25006": "the server is read-only, as a standby is; name the primary, or all hosts, in the URL",
    "42501": "the role lacks a right; docs/how-to/postgresql.md has those that it needs",
    "3F000": "the role lacks a right to the schema; docs/how-to/postgresql.md has those that it needs",
    "3D000": "create the database",
    "28P01": "correct the password in the URL, or the role's",
    "no password": "give one in the URL, in PGPASSWORD, or in ~/.pgpass, which must have mode 0600",
    "28000": "the server's pg_hba.conf does not let this role in",
    "26000": _POOLED,
    "42P05": _POOLED,
    "42P01": _DAMAGED,
    "42703": _DAMAGED,
    "42883": _DAMAGED,
}
# A connection that is refused has no SQLSTATE, only the server's words.
_CODES = (
    (re.compile("password authentication failed"), "28P01"),
    (re.compile("no password supplied"), "no password"),
    (re.compile("no pg_hba.conf entry|pg_hba.conf rejects"), "28000"),
    (re.compile('database ".*" does not exist'), "3D000"),
    (re.compile("session is read-only|server is in hot standby mode"), "25006"),
    (re.compile("too many (clients|connections)|connection slots are reserved"), "53300"),
)
_NO_ANSWER = ("wait timeout expired", "cannot exit pipeline mode while busy")  # in psycopg's and libpq's words
_NOISE = re.compile("Is the server running|This probably means|before or while|Multiple connection attempts|- host: ")


class Session(psycopg.Connection[Any]):
    """patience: seconds after which a server that does not answer is given up."""

    patience = 20.0  # less than after which a thread counts as stuck

    def wait(self, gen: Generator[Any, Any, R], interval: float = 0.1, timeout: float | None = None) -> R:
        return super().wait(gen, interval, self.patience if timeout is None else timeout)


class Place(NamedTuple):
    """Where a frontier is.

    url: with a password; never shown.
    schema: of all tables.
    """

    url: str
    schema: str = "crawlerd_frontier"

    def __repr__(self) -> str:
        return f"Place({self})"

    def __str__(self) -> str:
        facts = self.facts()
        host = facts.get("host") or facts.get("hostaddr") or facts.get("service") or "the local server"
        port = f":{facts['port']}" if facts.get("port") else ""
        return f"the frontier in PostgreSQL {host}{port}/{facts.get('dbname') or ''}"

    def facts(self) -> Mapping[str, object]:
        """FrontierError when the URL cannot be read; libpq's own words could quote a password."""
        with suppress(psycopg.Error):
            return conninfo_to_dict(self.url)
        raise FrontierError(
            'the URL of the frontier cannot be read; it looks like "postgresql://USER:PASSWORD@HOST/DATABASE", '
            "with special characters of the password as %XX"
        )

    def without_secrets(self, text: str) -> str:
        for key in ("password", "sslpassword"):
            if secret := str(self.facts().get(key) or ""):
                text = text.replace(secret, "…")
        return text


def connect(place: Place, *, reading: bool = False, patient: bool = False) -> psycopg.Connection[Any]:
    """A connection with the frontier's settings. FrontierError, or StorageFailed where another try may succeed.

    reading: it can change nothing.
    patient: its statements may take hours, as those that touch all rows of a table.
    """
    facts = place.facts()
    missing = {key: value for key, value in _CONNECTION.items() if key not in facts}
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
                raise FrontierError(f"{place} cannot be used: {_POOLED}")


def _set_up(place: Place, session: psycopg.Connection[Any], *, reading: bool) -> None:
    if session.info.server_version < OLDEST:
        raise FrontierError(f"{place} is older than PostgreSQL {OLDEST // 10_000}: upgrade the server")
    settings = {**SESSION, "search_path": f'"{place.schema}"'}
    if reading:
        settings |= {"default_transaction_read_only": "on"}
    session.execute(
        "SELECT set_config(key, value, false) FROM unnest(%s::text[], %s::text[]) AS s(key, value)",
        (list(settings), list(settings.values())),
    )
    if session.info.parameter_status("server_encoding") != "UTF8":
        raise FrontierError(f"{place} does not hold UTF-8: create the database with ENCODING 'UTF8'")
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
    code = error.sqlstate or ""
    said = getattr(error.diag, "message_primary", None) or str(error)
    if said in _NO_ANSWER:
        said = "the server has not answered in time"
    lines = [line.strip() for line in said.splitlines() if line.strip() and not _NOISE.match(line.strip())]
    text = re.sub("connection (failed|is bad): |consuming input failed: ", "", "; ".join(lines[:4]))
    reason = place.without_secrets(text)[:500] or type(error).__name__
    if code == FENCED:
        return taken_over(place)
    if code == NOT_READY:
        return TaskNotReady(str(place))
    advised = code or next((code for words, code in _CODES if words.search(reason)), "")
    advice = f": {_ADVICE[advised]}" if advised in _ADVICE else ""
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
