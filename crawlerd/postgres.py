"""Connections to PostgreSQL: what the frontier and the sinks of that kind share."""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from crawlerd.core.errors import CrawlerdError

R = TypeVar("R")

logging.getLogger("psycopg").setLevel(logging.CRITICAL)  # it logs what it also raises as errors

OLDEST = 14_00_00  # oldest supported version of servers
LONG_SECONDS = 6 * 3600.0  # patience with a statement that may touch all rows of a table
POOLED = "a pooler shares its connections: connect to the server itself, or set the pooler to session mode"
OPTIONS: Mapping[str, Any] = {
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
_ADVICE = {
    "53100": "free space on the server's disk",
    "53300": "no connection is left; raise max_connections or the role's CONNECTION LIMIT, or end others",
    "55P03": "another session has held a lock for too long; end its transaction",
    "40P01": "another session has written to the same tables; end it",
    "57014": "the server has canceled a statement; raise statement_timeout of the role",
    "57P01": "the server is ending its sessions",
    "57P02": "the server has crashed",
    "57P03": "the server is starting or stopping",
    "25006": "the server is read-only, as a standby is; name the primary, or all hosts, in the URL",
    "42501": "the role lacks a right; docs/how-to/postgresql.md has those that it needs",
    "3F000": "the role lacks a right to the schema; docs/how-to/postgresql.md has those that it needs",
    "3D000": "create the database",
    "28P01": "correct the password in the URL, or the role's",
    "no password": "give one in the URL, in PGPASSWORD, or in ~/.pgpass, which must have mode 0600",
    "28000": "the server's pg_hba.conf does not let this role in",
    "26000": POOLED,
    "42P05": POOLED,
}
# A connection that is refused has no SQLSTATE, only the server's message.
_CODES = (
    (re.compile("password authentication failed"), "28P01"),
    (re.compile("no password supplied"), "no password"),
    (re.compile("no pg_hba.conf entry|pg_hba.conf rejects"), "28000"),
    (re.compile('database ".*" does not exist'), "3D000"),
    (re.compile("session is read-only|server is in hot standby mode"), "25006"),
    (re.compile("too many (clients|connections)|connection slots are reserved"), "53300"),
)
_NO_ANSWER = ("wait timeout expired", "cannot exit pipeline mode while busy")  # in psycopg's and libpq's words
# Parts of libpq's messages, which guess at causes and repeat themselves.
_NOISE = re.compile("Is the server running|This probably means|before or while|Multiple connection attempts|- host: ")
_SURE = 6  # characters of a secret that no message contains by chance


class Session(psycopg.Connection[Any]):
    """patience: seconds after which a server that does not answer is given up."""

    patience = 20.0

    def wait(self, gen: Generator[Any, Any, R], interval: float = 0.1, timeout: float | None = None) -> R:
        return super().wait(gen, interval, self.patience if timeout is None else timeout)


@dataclass(frozen=True, repr=False)
class Place:
    """A schema of a database. Its texts have no secrets.

    url: with a password; never shown.
    schema: of all tables.
    """

    url: str
    schema: str
    subject: ClassVar[str]  # what is there, such as "sink"
    error: ClassVar[type[CrawlerdError]]

    def __repr__(self) -> str:
        return f"Place({self})"

    @property
    def address(self) -> str:
        """Host and database."""
        facts = self.facts()
        host = facts.get("host") or facts.get("hostaddr") or facts.get("service") or "the local server"
        port = f":{facts['port']}" if facts.get("port") else ""
        return f"{host}{port}/{facts.get('dbname') or ''}"

    def facts(self) -> Mapping[str, object]:
        """What the URL says, by libpq's names. Raises `error` if it cannot be read; libpq's own message could quote a
        password."""
        with suppress(psycopg.Error):
            return conninfo_to_dict(self.url)
        raise self.error(
            f'the URL of the {self.subject} cannot be read; it looks like "postgresql://USER:PASSWORD@HOST/DATABASE", '
            "with special characters of the password as %XX"
        )

    def options(self) -> dict[str, Any]:
        """What a connection needs and the URL does not say."""
        facts = self.facts()
        return {key: value for key, value in OPTIONS.items() if key not in facts}

    def without_secrets(self, text: str) -> str:
        for key in ("password", "sslpassword"):
            if secret := str(self.facts().get(key) or ""):
                around = ("", "") if len(secret) >= _SURE else (r"(?<!\w)", r"(?!\w)")
                text = re.sub(re.escape(secret).join(around), "…", text)
        return text


class Said(NamedTuple):
    """What an error says.

    code: its SQLSTATE; "" if no server has sent it.
    reason: one line, without secrets.
    advice: what to do; "" for none.
    """

    code: str
    reason: str
    advice: str


def said(place: Place, error: Exception) -> Said:
    """What an error of psycopg says to the person on call."""
    code = getattr(error, "sqlstate", None) or ""
    text = getattr(getattr(error, "diag", None), "message_primary", None) or str(error)
    if text in _NO_ANSWER:
        text = "the server has not answered in time"
    lines = [line.strip() for line in text.splitlines() if line.strip() and not _NOISE.match(line.strip())]
    short = re.sub("connection (failed|is bad): |consuming input failed: ", "", "; ".join(lines[:4]))
    reason = place.without_secrets(short)[:500] or type(error).__name__
    known = code or next((code for words, code in _CODES if words.search(reason)), "")
    return Said(code, reason, _ADVICE.get(known, ""))


def set_up(place: Place, session: psycopg.Connection[Any], settings: Mapping[str, str]) -> None:
    """Gives a session its settings. Raises the place's error if the server or the database cannot be used."""
    if session.info.server_version < OLDEST:
        raise place.error(f"{place} is older than PostgreSQL {OLDEST // 10_000}: upgrade the server")
    session.execute(
        "SELECT set_config(key, value, false) FROM unnest(%s::text[], %s::text[]) AS s(key, value)",
        (list(settings), list(settings.values())),
    )
    if session.info.parameter_status("server_encoding") != "UTF8":
        raise place.error(f"{place} does not hold UTF-8: create the database with ENCODING 'UTF8'")
