"""The numbers that stand for the names of accounts, buckets and kinds of task, those used lately kept in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crawlerd.core.task import PART, Task

if TYPE_CHECKING:
    import apsw

    from crawlerd.core.task import NewTask
    from crawlerd.frontier.change import ReadyRow

CACHE = 20_000  # buckets, and runs, looked up lately; bounds memory at many accounts


class Names:
    """Looks numbers up, and gives new names theirs, in the frontier's transaction. `forget` when one is rolled back:
    its numbers were given out to nobody."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        self.forget()

    def forget(self) -> None:
        self.accounts: dict[str, int] = dict(self._db.execute("SELECT name, id FROM account"))
        self._kinds: dict[str, int] = dict(self._db.execute("SELECT name, id FROM kind"))
        self._kind_names = {number: name for name, number in self._kinds.items()}
        self._buckets: dict[tuple[int, str], int] = {}
        self._owners: dict[int, int] = {}
        self._borrowers: dict[int, set[int]] = {}
        self.forget_scopes()

    def forget_scopes(self) -> None:
        """After some were dropped."""
        self._scopes: dict[tuple[int, str], int] = {}

    def end_run(self, run: int) -> None:
        """Nothing of the run is asked for any more."""
        self._owners.pop(run, None)
        self._borrowers.pop(run, None)

    def kind(self, name: str) -> int:
        number = self._kinds.get(name)
        if number is None:
            number = self._kinds[name] = self._db.execute("INSERT INTO kind(name) VALUES (?) RETURNING id", (name,)).get
            self._kind_names[number] = name
        return number

    def task(self, row: ReadyRow) -> Task:
        """A row that has become ready."""
        bucket, priority, seq, run, kind, attempt, payload, *group = row
        return Task(seq, bucket, priority, run, self._kind_names[kind], attempt, payload, 0, *group)

    def bucket(self, account: int, name: str) -> int:
        number = self._buckets.get((account, name))
        if number is None:
            number = self._db.execute(
                "INSERT INTO bucket(account, name) VALUES (?, ?) "
                "ON CONFLICT DO UPDATE SET name = excluded.name RETURNING id",
                (account, name),
            ).get
            if len(self._buckets) >= CACHE:
                self._buckets.clear()
            self._buckets[account, name] = number
        return number

    def account(self, account: int, task: NewTask) -> int:
        """The account that a task is for, which one of `account` has led to. What it names after PART is a part of that
        account, made known here."""
        if not task.account:
            return account
        name = task.account
        if name.startswith(PART):
            of: str = self._db.execute("SELECT name FROM account WHERE id = ?", (account,)).get
            name = of.partition(PART)[0] + name
            if name not in self.accounts:
                self.accounts[name] = self._db.execute(
                    "INSERT INTO account(name, source) SELECT ?, source FROM account WHERE id = ? RETURNING id",
                    (name, account),
                ).get
        return self.accounts[name]

    def owner(self, run: int) -> int:
        """The run's own account."""
        number = self._owners.get(run)
        if number is None:
            if len(self._owners) >= CACHE:
                self._owners.clear()
            number = self._owners[run] = self._db.execute("SELECT account FROM run WHERE id = ?", (run,)).get
        return number

    def scope(self, run: int, of: str) -> int:
        """A list below parents, as the run's import reads it into its sink."""
        number = self._scopes.get((run, of))
        if number is None:
            if len(self._scopes) >= CACHE:
                self._scopes.clear()
            number = self._scopes[run, of] = self._db.execute(
                "INSERT INTO scope(import, sink, list) SELECT import, sink, ?2 FROM run WHERE id = ?1 "
                "ON CONFLICT (import, sink, list) WHERE dropped = 0 DO UPDATE SET list = excluded.list RETURNING id",
                (run, of),
            ).get
        return number

    def borrows(self, run: int, account: int) -> bool:
        """Whether, for all that is known here, this is the run's first task for an account that is not its own."""
        if account == self.owner(run) or account in (known := self._borrowers.setdefault(run, set())):
            return False
        known.add(account)
        return True
