"""Where the records of an import come from. When the account, the address or the list has changed, the import's sync
points do not count any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crawlerd.frontier.sql.database_contract import Database


# A cursor or list belongs to the stream that its name begins with, up to a colon. If there is no such stream, it may
# belong to any stream.
_OF_STREAM = (
    "import = ?1 AND (substr({name}, 1, instr({name} || ':', ':') - 1) IN (SELECT value FROM json_each(?2)) "
    "OR substr({name}, 1, instr({name} || ':', ':') - 1) NOT IN (SELECT stream FROM origin WHERE import = ?1))"
)
_FORGET = (
    f"DELETE FROM cursor WHERE {_OF_STREAM.format(name='stream')}",  # noqa: S608 - our own text
    f"DELETE FROM last_full WHERE {_OF_STREAM.format(name='stream')}",  # noqa: S608 - our own text
    f"UPDATE scope SET dropped = 1 WHERE dropped = 0 AND {_OF_STREAM.format(name='list')}",  # noqa: S608 - our own text
)
TOLD = "."  # in a digest, precedes the digest of the extensions' streams that are made from a stream's records
SHOWN = 5  # most streams that a reason names


class Origins:
    """Stores and compares the origins of streams. Used in the frontier's transactions."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def note(self, import_name: str, origins: Mapping[str, str], *, ad_hoc: bool = False) -> str | None:
        """Stores the origins of an import's streams, and drops the sync points of streams whose origin has changed.
        Returns why, if there are any. ad_hoc: the part after TOLD holds for one run only: it is neither compared nor
        stored."""
        noted = self._noted(import_name)
        if ad_hoc:
            origins = {
                stream: "".join([digest.partition(TOLD)[0], *noted[stream].partition(TOLD)[1:]])
                for stream, digest in origins.items()
                if stream in noted
            }
        changed = sorted(stream for stream, digest in origins.items() if noted.get(stream, digest) != digest)
        rows = [(import_name, stream, digest) for stream, digest in origins.items() if noted.get(stream) != digest]
        self._db.executemany(
            "INSERT INTO origin VALUES (?, ?, ?, NULL) "
            "ON CONFLICT (import, stream) DO UPDATE SET digest = excluded.digest",
            rows,
        )
        if not changed:
            return None
        shown = ", ".join(changed) if len(changed) <= SHOWN else f"{len(changed)} streams"
        why = f"{shown}: the account, its address, or what is asked for, dropped or hashed is another than before"
        names = "[{}]".format(",".join(f'"{each}"' for each in changed))  # names of streams need no escapes in JSON
        for statement in _FORGET:
            self._db.execute(statement, (import_name, names))
        self._db.execute("UPDATE origin SET news = ? WHERE import = ?", (why, import_name))
        return why

    def elsewhere(self, import_name: str, origins: Mapping[str, str]) -> set[str]:
        """The streams for which another origin is stored. If no extension uses a stream now, the stored part after TOLD
        does not matter."""
        noted = self._noted(import_name)
        return {
            stream
            for stream, digest in origins.items()
            if stream in noted and digest not in (noted[stream], noted[stream].partition(TOLD)[0])
        }

    def _noted(self, import_name: str) -> dict[str, str]:
        return dict(self._db.execute("SELECT stream, digest FROM origin WHERE import = ?", (import_name,)))

    def news(self, import_name: str) -> str | None:
        """Why sync points were last dropped."""
        found: str | None = self._db.execute("SELECT max(news) FROM origin WHERE import = ?", (import_name,)).get
        return found
