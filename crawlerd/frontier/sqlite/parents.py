"""The parents whose lists an import has read to their end: what is new to it must be read from the beginning."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    import apsw

    from crawlerd.frontier.change import Place
    from crawlerd.frontier.sqlite.groups import Execute
    from crawlerd.frontier.sqlite.names import Names


class Parents:
    """Used in the frontier's transactions. A scope is a list as one import has read it into one sink."""

    def __init__(self, db: apsw.Connection, names: Names, execute: Execute, slice_rows: int) -> None:
        """slice_rows: parents of a scope that was dropped which one commit removes."""
        self._db, self._names, self._execute, self._slice_rows = db, names, execute, slice_rows
        self._dropped = True  # there may be scopes that were

    def __bool__(self) -> bool:
        """Something may be left to purge."""
        return self._dropped

    def find(self) -> None:
        """Call after scopes were dropped: nothing of them counts any more."""
        self._dropped = True
        self._names.forget_scopes()

    def note(self, places: Iterable[tuple[Place, bool]]) -> None:
        """Those that were read to the end of their list (True), and those that were not; the last word counts."""
        noted = {self._key(place): whole for place, whole in places}
        self._execute(
            "INSERT INTO parent SELECT value->>0, unhex(value->>1) FROM json_each(?) WHERE true ON CONFLICT DO NOTHING",
            sorted(key for key, whole in noted.items() if whole),
        )
        self._execute(
            "DELETE FROM parent WHERE (scope, hash) IN (SELECT value->>0, unhex(value->>1) FROM json_each(?))",
            sorted(key for key, whole in noted.items() if not whole),
        )

    def known(self, places: Iterable[Place]) -> set[Place]:
        """Those that were read to the end of their list before."""
        keys = {place: self._key(place) for place in places}
        found = {
            (scope, key)
            for scope, key in self._execute(
                "SELECT j.value->>0, j.value->>1 FROM json_each(?) AS j "
                "JOIN parent ON parent.scope = j.value->>0 AND parent.hash = unhex(j.value->>1)",
                set(keys.values()),
            )
        }
        return {place for place, key in keys.items() if key in found}

    def purge(self) -> None:
        """Removes a slice of what was dropped."""
        if not self._dropped:
            return
        scope = self._db.execute("SELECT id FROM scope WHERE dropped = 1 LIMIT 1").get
        if scope is None:
            self._dropped = False
            return
        self._db.execute(
            "DELETE FROM parent WHERE scope = ?1 AND hash IN (SELECT hash FROM parent WHERE scope = ?1 LIMIT ?2)",
            (scope, self._slice_rows),
        )
        if not self._db.changes():
            self._db.execute("DELETE FROM scope WHERE id = ?", (scope,))

    def _key(self, place: Place) -> tuple[int, str]:
        """The scope, and the hash among all accounts of the run."""
        run, account, of, parent = place
        if account != self._names.owner(run):
            parent = hashlib.blake2b(f"{parent}\0{account}".encode(), digest_size=16).hexdigest()
        return self._names.scope(run, of), parent
