"""Outages of APIs: what each answer says of its origin, who may still ask it, what is logged and kept of it."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING

from crawlerd.core.outcome import Bury, Complete, Retry, charge
from crawlerd.frontier.contract import OutageNote
from crawlerd.ratelimit.outage import Origin, Outage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crawlerd.core.outcome import Outcome, Result
    from crawlerd.core.task import Task
    from crawlerd.engine.clock import Clock
    from crawlerd.engine.queues import Pick
    from crawlerd.engine.roles import OutageNotes, UsualOrigins
    from crawlerd.ratelimit.outage import Health

log = logging.getLogger(__name__)

SILENT_SECONDS = 1.0  # without a result, while requests are out
WHOLE = 0  # in the place of an account's number: the whole origin


class Outages:
    """Used by the dispatcher's thread, except where something else is said.

    down: since when an account has had no answer, by its number; monotonic. May be copied from any thread.
    hanging: origins of which nothing is heard.
    silent: requests that wait for these.
    moved: accounts whose next start has changed; emptied by its reader.
    """

    def __init__(self, names: UsualOrigins, store: OutageNotes, clock: Clock, kept: Iterable[OutageNote] = ()) -> None:
        """kept: what was noted by an earlier process."""
        self._names, self._store, self._clock = names, store, clock
        self._origins: dict[str, Origin] = {}
        self._open: dict[tuple[str, int], Outage] = {}
        self.silent = 0
        self.hanging: set[Origin] = set()
        self.down: dict[int, float] = {}
        self.moved: set[int] = set()
        for each in kept:
            outage = Outage(clock.monotonic(each.since), each.error, time.monotonic(), each.delay)  # a probe at once
            outage.told = True
            self._open[each.origin, each.account] = outage
            origin = self._origin(each.origin)
            if each.account == WHOLE:
                origin.suffer(outage)
            else:
                self.health(each.origin, each.account).suffer(outage)
                self.down[each.account] = outage.since

    def without_answer(self, since: float) -> set[str]:
        """The accounts that have had no answer since then; monotonic. From any thread."""
        return {
            self._names.name(account)
            for account, began in self.down.copy().items()
            if began <= since and self._answered_at(account) <= since
        }

    def _answered_at(self, account: int) -> float:
        """Its last good answer, at any origin."""
        of = [origin.accounts.get(account) for origin in list(self._origins.values())]
        return max((each.answered_at for each in of if each is not None), default=-math.inf)

    def listen(self, now: float) -> None:
        """Finds the origins of which nothing is heard. Call a few times a second."""
        self.hanging = {each for each in self._origins.values() if each.out and now - each.heard_at > SILENT_SECONDS}
        self.silent = sum(each.out for each in self.hanging)

    @property
    def several(self) -> bool:
        """Tasks of more than one origin are in memory."""
        return len(self._origins) > 1

    def usual(self, account: int) -> Health:
        """Of an account at the origin that it is configured with."""
        return self.health("", account)

    def health(self, origin: str, account: int) -> Health:
        """origin: "" for the usual one."""
        usual, give_up_seconds = self._names.usual_origin(account)
        found = self._origin(origin or usual)
        health = found.health(account, give_up_seconds)
        if found.outage is not None:
            self.down.setdefault(account, found.outage.since)
        return health

    def _origin(self, name: str) -> Origin:
        origin = self._origins.get(name)
        if origin is None:
            origin = self._origins[name] = Origin(name)
        return origin

    def forget(self, account: int) -> None:
        """Nothing of the account is in memory any more."""
        for name, origin in list(self._origins.items()):
            if origin.outage is None and (name, account) not in self._open:
                origin.accounts.pop(account, None)
                if not origin.accounts:
                    del self._origins[name]

    def heard(self, pick: Pick, task: Task, result: Result, outcome: Outcome, started_at: float, now: float) -> Outcome:
        """What a result says of the origin that it is from. Returns the outcome as it is to be settled: what a failure
        costs, and whether that is one too many, is decided here.

        started_at: when it was leased; monotonic.
        """
        health = self._health_of(pick, result.origin)
        if type(outcome) is Retry:
            fault, sent = outcome.fault, bool(result.sent_at)
            count = health.failed(
                task.seq, task.attempt, fault, sent=sent, started_at=result.sent_at or started_at, now=now
            )
            if pick.probe is not None:
                self._probed(pick.probe, now, None if fault == "task" else outcome.error)
            elif health.lost(now, outcome.error):
                self._lost(health, pick.account.id, now)
            return charge(outcome, task.attempt, count)
        if type(outcome) in (Complete, Bury) and result.sent_at:
            health.answered(task.seq, now)
            if pick.probe is not None:
                self._probed(pick.probe, now, None, good=True)
        return outcome

    def ended(self, probe: Outage, now: float) -> None:
        """The attempt that was a probe has ended, with or without a result."""
        if probe.probing:
            self._probed(probe, now, None)

    def _health_of(self, pick: Pick, origin: str) -> Health:
        """Of the account at this origin, where the bucket's next request is expected to go as well."""
        queue = pick.account if pick.bucket is None else pick.bucket
        name = origin or pick.account.origin
        if queue.health.origin.name != name:
            queue.health = self.health(name, pick.account.id)
        return queue.health

    def _lost(self, health: Health, account: int, now: float) -> None:
        """An account's outage begins, and perhaps that of the whole origin."""
        assert health.outage is not None  # noqa: S101 - it was lost
        origin = health.origin
        self._note(origin, account, health.outage)
        self.down[account] = health.outage.since
        self.moved.add(account)
        if origin.consider(now):
            assert origin.outage is not None  # noqa: S101 - see `consider`
            self._note(origin, WHOLE, origin.outage)
            self._tell(origin, WHOLE, origin.outage, now)
            for each in origin.accounts:
                self.down.setdefault(each, origin.outage.since)
            self.moved.update(origin.accounts)

    def _probed(self, probe: Outage, now: float, error: str | None, *, good: bool = False) -> None:
        """A probe has ended. error: why it got no answer; None when it says nothing of the origin."""
        key = next((key for key, outage in self._open.items() if outage is probe), None)
        if key is None:  # the outage has ended otherwise
            return
        origin, account = self._origins[key[0]], key[1]
        if good:
            probe.answered(now)
        elif error is None:
            probe.unknown(now)
        else:
            probe.failed(now, error)
            self._tell(origin, account, probe, now)
        self.moved.update(origin.accounts if account == WHOLE else [account])
        if not probe.over:
            self._note(origin, account, probe)
        elif account == WHOLE:
            for each in list(origin.accounts):
                self._over(origin, each, now)
            self._over(origin, WHOLE, now)
            origin.recover(now)
        else:
            self._over(origin, account, now)
            origin.accounts[account].recover(now)

    def _over(self, origin: Origin, account: int, now: float) -> None:
        self.down.pop(account, None)
        outage = self._open.pop((origin.name, account), None)
        if outage is not None:
            self._store.note_outage((origin.name, account), None)
            if outage.told:
                where = self._where(origin, account)
                log.warning("%s answers again, after %.0f s", where, now - outage.since)

    def _note(self, origin: Origin, account: int, outage: Outage) -> None:
        self._open[origin.name, account] = outage
        offset = self._clock.now() - time.monotonic()
        since, next_at = outage.since + offset, outage.next_at + offset
        note = OutageNote(origin.name, account, since, next_at, outage.delay, outage.error)
        self._store.note_outage((origin.name, account), note)

    def _tell(self, origin: Origin, account: int, outage: Outage, now: float) -> None:
        """Once an outage. That of an account alone is told after its first probe: by then it may be the origin's."""
        if outage.told or (account != WHOLE and origin.outage is not None):
            return
        outage.told = True
        log.warning(
            "%s has not answered for %.0f s: %s. Its tasks wait and lose no attempts; next try in %.0f s",
            self._where(origin, account),
            now - outage.since,
            outage.error,
            outage.next_at - now,
        )

    def _where(self, origin: Origin, account: int) -> str:
        return origin.name if account == WHOLE else f"{origin.name}, for account {self._names.name(account)},"
