"""Errors of PostgreSQL, with advice for the person on call. Of the URL, only the host and the database are shown."""

from __future__ import annotations

from crawlerd import postgres
from crawlerd.postgres import said
from crawlerd.sink import SinkError, StorageFailed

TOO_LARGE = ("54000", "22021", "22P05")  # errors that mean that a record can never be written
FENCED, ANOTHER = "CRW01", "CRW02"  # raised by our own function, see `crawlerd.sinks.postgresql.relations`


class Place(postgres.Place):
    """Where a sink is."""

    subject, error = "sink", SinkError

    def __str__(self) -> str:
        return f"PostgreSQL {self.address}, schema {self.schema}"


def failure(place: Place, error: Exception) -> SinkError:
    """An error of psycopg, as a SinkError."""
    code, reason, advice = said(place, error)
    if code == "53100":
        return StorageFailed(f"the disk of {place} is full ({reason}): {advice}", full=True)
    if code in ("58030", "XX001", "XX002"):
        return SinkError(f"{place} is damaged, or its disk fails ({reason}); look at the server's log")
    if code == "2BP01":
        advice = "a view of yours reads one that must change; drop yours, and create it again afterwards"
    failed = "cannot be written" if code else "cannot be reached"
    if advice:
        return SinkError(f"{place} {failed} ({reason}): {advice}")
    return SinkError(f"{place} {failed}: {reason}" + (f" (SQLSTATE {code})" if code else ""))
