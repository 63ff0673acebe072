"""The accounts: their numbers, the owners of their credentials, and why their tasks are not leased."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from crawlerd.frontier.sql.database_contract import Database
    from crawlerd.frontier.sql.groups import Execute


class Accounts:
    """See `Frontier`. Call the methods that change something in a transaction of the frontier."""

    def __init__(self, db: Database, read: Callable[..., list[Any]], execute: Execute) -> None:
        self._db, self._read, self._execute = db, read, execute

    def known(self, sources: Mapping[str, str]) -> dict[str, int]:
        """The numbers of the accounts that are known and have the same source."""
        rows = self._read(
            "SELECT account.name, source, account.id FROM json_each(?) AS j JOIN account ON account.name = j.value",
            msgspec.json.encode(list(sources)).decode(),
        )
        return {name: number for name, source, number in rows if sources[name] == source}

    def add(self, sources: Mapping[str, str]) -> dict[str, int]:
        """Adds accounts that are new, or have another source than before. Returns their numbers."""
        return dict(
            self._execute(
                "INSERT INTO account(name, source) SELECT value->>0, value->>1 FROM json_each(?) WHERE true "
                "ON CONFLICT (name) DO UPDATE SET source = excluded.source RETURNING name, id",
                sources.items(),
            )
        )

    def name(self, number: int) -> str:
        name: str = self._read("SELECT name FROM account WHERE id = ?", number)[0][0]
        return name

    def identities(self, accounts: Sequence[int]) -> list[str | None]:
        rows = self._read(
            "SELECT identity FROM json_each(?) AS j JOIN account ON account.id = j.value ORDER BY j.key",
            msgspec.json.encode(accounts).decode(),
        )
        return [identity for (identity,) in rows]

    def confirm(self, account: int, identity: str) -> str | None:
        self._db.execute("UPDATE account SET identity = ? WHERE id = ? AND identity IS NULL", (identity, account))
        noted: str = self._db.execute("SELECT identity FROM account WHERE id = ?", (account,)).get
        return None if noted == identity else noted

    def refuse(self, account: int, reason: str | None) -> bool:
        """Stores why an account is refused; None when its credentials work. Returns whether this has changed."""
        before = self._db.execute("SELECT refused FROM account WHERE id = ?", (account,)).get
        self._db.execute("UPDATE account SET refused = ? WHERE id = ?", (reason, account))
        return (before is None) != (reason is None)
