"""The numbers of accounts, buckets and kinds of task, by name; those used lately are kept in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crawlerd.core.task import PART, Task

if TYPE_CHECKING:
    from crawlerd.core.task import NewTask
    from crawlerd.frontier.change import ReadyRow
    from crawlerd.frontier.sql.database_contract import Database


class Names:
    """Looks numbers up, and assigns numbers to new names, in the frontier's transactions. Call `forget` after a
    rollback: the numbers that were assigned in the transaction are void."""

    def __init__(self, db: Database, most: int) -> None:
        """most: how many accounts, buckets, runs and scopes are each kept in memory."""
        self._db, self._most = db, most
        self.forget()

    def forget(self) -> None:
        self._accounts: dict[tuple[int, str], int] = {}  # by (account of the yielding task, account of the new task)
        self._kinds: dict[str, int] = dict(self._db.execute("SELECT name, id FROM kind"))
        self._kind_names = {number: name for name, number in self._kinds.items()}
        self._buckets: dict[tuple[int, str], int] = {}
        self._owners: dict[int, int] = {}
        self._borrowers: dict[int, set[int]] = {}
        self.forget_scopes()

    def forget_scopes(self) -> None:
        """Call when scopes were dropped."""
        self._scopes: dict[tuple[int, str], int] = {}

    def end_run(self, run: int) -> None:
        """The run has ended: forgets what is cached of it."""
        self._owners.pop(run, None)
        self._borrowers.pop(run, None)

    def kind(self, name: str) -> int:
        number = self._kinds.get(name)
        if number is None:
            number = self._kinds[name] = self._db.execute("INSERT INTO kind(name) VALUES (?) RETURNING id", (name,)).get
            self._kind_names[number] = name
        return number

    def task(self, row: ReadyRow) -> Task:
        """Makes a task of a row of `ready`."""
        bucket, run, priority, seq, kind, attempt, payload, *others = row
        return Task(seq, bucket, priority, run, self._kind_names[kind], attempt, payload, 0, *others)

    def bucket(self, account: int, name: str) -> int:
        number = self._buckets.get((account, name))
        if number is None:
            number = self._db.execute(
                "INSERT INTO bucket(account, name) VALUES (?, ?) "
                "ON CONFLICT (account, name) DO UPDATE SET name = excluded.name RETURNING id",
                (account, name),
            ).get
            if len(self._buckets) >= self._most:
                self._buckets.clear()
            self._buckets[account, name] = number
        return number

    def account(self, account: int, task: NewTask) -> int:
        """The target account of a task that a task of `account` has yielded. If the task names a part after PART, it is
        a part of that account, and added if it is new."""
        if not task.account:
            return account
        key = (account if task.account.startswith(PART) else 0, task.account)
        number = self._accounts.get(key)
        if number is None:
            if len(self._accounts) >= self._most:
                self._accounts.clear()
            number = self._accounts[key] = self._part(*key) if key[0] else self._number(task.account)
        return number

    def _number(self, name: str) -> int:
        """The number of an account. Raises KeyError when it is unknown."""
        number: int | None = self._db.execute("SELECT id FROM account WHERE name = ?", (name,)).get
        if number is None:
            raise KeyError(name)
        return number

    def _part(self, account: int, part: str) -> int:
        of: str = self._db.execute("SELECT name FROM account WHERE id = ?", (account,)).get
        number: int = self._db.execute(
            "INSERT INTO account(name, source) SELECT ?, source FROM account WHERE id = ? "
            "ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id",
            (of.partition(PART)[0] + part, account),
        ).get
        return number

    def owner(self, run: int) -> int:
        """The run's own account."""
        number = self._owners.get(run)
        if number is None:
            if len(self._owners) >= self._most:
                self._owners.clear()
            number = self._owners[run] = self._db.execute("SELECT account FROM run WHERE id = ?", (run,)).get
        return number

    def scope(self, run: int, of: str) -> int:
        """The number of a scope: a list below parents, as the run's import reads it into its sink."""
        number = self._scopes.get((run, of))
        if number is None:
            if len(self._scopes) >= self._most:
                self._scopes.clear()
            number = self._scopes[run, of] = self._db.execute(
                "INSERT INTO scope(import, sink, list) SELECT import, sink, ?2 FROM run WHERE id = ?1 "
                "ON CONFLICT (import, sink, list) WHERE dropped = 0 DO UPDATE SET list = excluded.list RETURNING id",
                (run, of),
            ).get
        return number

    def borrows(self, run: int, account: int) -> bool:
        """Whether this may be the run's first task for an account other than its own, as far as the cache knows."""
        if account == self.owner(run) or account in (known := self._borrowers.setdefault(run, set())):
            return False
        known.add(account)
        return True
