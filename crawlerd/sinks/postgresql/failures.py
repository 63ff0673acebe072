"""Errors of PostgreSQL, with advice for the person on call. Of the URL, only the host and the database are shown."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import psycopg
from psycopg.conninfo import conninfo_to_dict

from crawlerd.sink import SinkError, StorageFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

TOO_LARGE = ("54000", "22021", "22P05")  # errors that mean that a record can never be written
FENCED, ANOTHER = "CRW01", "CRW02"  # raised by our own function, see `crawlerd.sinks.postgresql.relations`

_POOLED = "a pooler shares its connections; connect to the server itself, or set the pooler to session mode"
_ADVICE = {
    "53100": "free space on the server's disk",
    "53300": "the server has no connection left; raise max_connections, or end others",
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
    "28000": "the server's pg_hba.conf does not let this role in",
    "26000": _POOLED,
    "42P05": _POOLED,
    "2BP01": "a view of yours reads one that must change; drop yours, and create it again afterwards",
}


# Parts of libpq's messages, which guess at causes and repeat themselves.
_NOISE = re.compile("Is the server running|This probably means|before or while|Multiple connection attempts|- host: ")
_NO_ANSWER = ("wait timeout expired", "cannot exit pipeline mode while busy")  # in psycopg's and libpq's words


class Place(NamedTuple):
    """Where a sink is.

    url: contains the password; never shown.
    schema: of all tables.
    """

    url: str
    schema: str

    def __repr__(self) -> str:
        return f"Place({self})"

    def __str__(self) -> str:
        facts = self.facts()
        host = facts.get("host") or facts.get("hostaddr") or facts.get("service") or "the local server"
        port = f":{facts['port']}" if facts.get("port") else ""
        return f"PostgreSQL {host}{port}/{facts.get('dbname') or ''}, schema {self.schema}"

    def facts(self) -> Mapping[str, object]:
        """Raises SinkError if the URL cannot be read; libpq's own message could quote a password."""
        with suppress(psycopg.Error):
            return conninfo_to_dict(self.url)
        raise SinkError(
            'the URL of the sink cannot be read; it must look like "postgresql://USER:PASSWORD@HOST/DATABASE", '
            "with special characters of the password as %XX"
        )

    def without_secrets(self, text: str) -> str:
        for key in ("password", "sslpassword"):
            if secret := str(self.facts().get(key) or ""):
                text = text.replace(secret, "…")
        return text


def failure(place: Place, error: Exception) -> SinkError:
    """An error of psycopg, as a SinkError."""
    code = getattr(error, "sqlstate", None) or ""
    said = getattr(getattr(error, "diag", None), "message_primary", None) or str(error)
    if said in _NO_ANSWER:
        said = "the server has not answered in time"
    lines = [line.strip() for line in said.splitlines() if line.strip() and not _NOISE.match(line.strip())]
    text = re.sub("connection (failed|is bad): |consuming input failed: ", "", "; ".join(lines[:4]))
    reason = place.without_secrets(text)[:500] or type(error).__name__
    if code == "53100":
        return StorageFailed(f"the disk of {place} is full ({reason}): {_ADVICE[code]}", full=True)
    if code in ("58030", "XX001", "XX002"):
        return SinkError(f"{place} is damaged, or its disk fails ({reason}); look at the server's log")
    if advice := _ADVICE.get(code):
        return SinkError(f"{place} cannot be written ({reason}): {advice}")
    if code:
        return SinkError(f"{place} cannot be written: {reason} (SQLSTATE {code})")
    return SinkError(f"{place} cannot be reached: {reason}")
