"""Where the records of an import come from: sync points of another account, address or list do not count for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import apsw

# A cursor or list belongs to the stream that its name begins with, up to a colon; if there is none, it may be of any.
_OF_STREAM = (
    "import = ?1 AND (substr({name}, 1, instr({name} || ':', ':') - 1) IN (SELECT value FROM json_each(?2)) "
    "OR substr({name}, 1, instr({name} || ':', ':') - 1) NOT IN (SELECT stream FROM origin WHERE import = ?1))"
)
_FORGET = (
    f"DELETE FROM cursor WHERE {_OF_STREAM.format(name='stream')}",  # noqa: S608 - our own text
    f"DELETE FROM last_full WHERE {_OF_STREAM.format(name='stream')}",  # noqa: S608 - our own text
    f"UPDATE scope SET dropped = 1 WHERE dropped = 0 AND {_OF_STREAM.format(name='list')}",  # noqa: S608 - our own text
)
TOLD = "."  # in a digest, before that of the streams which are made of a stream's records
SHOWN = 5  # streams that a reason names


class Origins:
    """Used in the frontier's transactions."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def note(self, import_name: str, origins: Mapping[str, str], *, ad_hoc: bool = False) -> str | None:
        """Drops what was believed of the streams that come from elsewhere now. Why, if there are any. ad_hoc: what is
        told of streams is another choice for one run, which is neither compared nor noted."""
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
            "INSERT INTO origin VALUES (?, ?, ?, NULL) ON CONFLICT DO UPDATE SET digest = excluded.digest", rows
        )
        if not changed:
            return None
        shown = ", ".join(changed) if len(changed) <= SHOWN else f"{len(changed)} streams"
        why = f"{shown}: the account, its address, or what is asked for, dropped or hashed is another than before"
        names = "[{}]".format(",".join(f'"{each}"' for each in changed))  # no name of a stream needs an escape
        for statement in _FORGET:
            self._db.execute(statement, (import_name, names))
        self._db.execute("UPDATE origin SET news = ? WHERE import = ?", (why, import_name))
        return why

    def elsewhere(self, import_name: str, origins: Mapping[str, str]) -> set[str]:
        """The streams of which another origin is noted. Where nothing is made of a stream's records, what was does not
        matter."""
        noted = self._noted(import_name)
        return {
            stream
            for stream, digest in origins.items()
            if stream in noted and digest not in (noted[stream], noted[stream].partition(TOLD)[0])
        }

    def _noted(self, import_name: str) -> dict[str, str]:
        return dict(self._db.execute("SELECT stream, digest FROM origin WHERE import = ?", (import_name,)))

    def news(self, import_name: str) -> str | None:
        """The last reason."""
        found: str | None = self._db.execute("SELECT max(news) FROM origin WHERE import = ?", (import_name,)).get
        return found
