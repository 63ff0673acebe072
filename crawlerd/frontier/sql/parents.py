"""The parents whose lists an import has read to their end. The list of a parent that is new to the import must be read
from the beginning."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crawlerd.frontier.change import Place
    from crawlerd.frontier.sql.database_contract import Database
    from crawlerd.frontier.sql.groups import Execute
    from crawlerd.frontier.sql.names import Names


class Parents:
    """Stores the parents whose lists were read to their end. Used in the frontier's transactions. A scope is a list as
    one import has read it into one sink."""

    def __init__(self, db: Database, names: Names, execute: Execute, slice_rows: int) -> None:
        """slice_rows: how many parents of dropped scopes one commit removes."""
        self._db, self._names, self._execute, self._slice_rows = db, names, execute, slice_rows
        self._dropped = True  # whether there may be dropped scopes

    def __bool__(self) -> bool:
        """Whether there may be something to purge."""
        return self._dropped

    def find(self) -> None:
        """Call after scopes were dropped: their parents do not count any more."""
        self._dropped = True
        self._names.forget_scopes()

    def note(self, places: Iterable[tuple[Place, bool]]) -> None:
        """Stores whether the lists of these parents were read to their end. For a parent that comes twice, the last
        value counts."""
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
        """The places among these whose list was read to its end before."""
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
        """Removes a slice of the parents of dropped scopes."""
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
        """The scope, and the parent's hash, which includes the account."""
        run, account, of, parent = place
        if account != self._names.owner(run):
            parent = hashlib.blake2b(f"{parent}\0{account}".encode(), digest_size=16).hexdigest()
        return self._names.scope(run, of), parent
