"""Outages of APIs: learns from each result whether its origin answers, holds up requests to origins that do not, logs
and stores outages."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from crawlerd.core.log_events import Event, tell
from crawlerd.core.outcome import Bury, Complete, Retry, charge
from crawlerd.core.wording import plain_error
from crawlerd.frontier.contract import OutageNote
from crawlerd.ratelimit.outage import Origin, Outage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crawlerd.core.outcome import Outcome, Result
    from crawlerd.core.task import Task
    from crawlerd.engine.clock import Clock
    from crawlerd.engine.protocols import OutageNotes, UsualOrigins
    from crawlerd.engine.queues import Pick
    from crawlerd.ratelimit.outage import Health

UNUSED_SECONDS = 900.0  # an outage that no account waits for is dropped after this; longer than between two probes
SILENT_SECONDS = 1.0  # an origin with open requests is hanging after this time without a result
WHOLE = 0  # used as an account's number: the whole origin


class Outages:
    """Knows which origins answer which accounts, and handles outages. To be used by the dispatcher's thread, unless a
    method says otherwise. Times are monotonic seconds.

    hanging: origins that have given no result for a while.
    silent: how many requests wait for these origins.
    moved: accounts whose outages have changed, so that their tasks may start at another time; the reader empties it.
    """

    def __init__(self, names: UsualOrigins, store: OutageNotes, clock: Clock, kept: Iterable[OutageNote] = ()) -> None:
        """kept: the outages that an earlier process has stored."""
        self._names, self._store, self._clock = names, store, clock
        self._origins: dict[str, Origin] = {}
        self._origins_of: dict[int, set[Origin]] = {}  # by account
        self._open: dict[tuple[str, int], Outage] = {}
        self._unused_at: dict[tuple[str, int], float] = {}  # since when no account waits for the end of an outage
        self._began_at = time.monotonic()
        self.silent = 0
        self.hanging: set[Origin] = set()
        self.moved: set[int] = set()
        for each in kept:
            outage = Outage(clock.monotonic(each.since), each.error, time.monotonic(), each.delay)  # a probe at once
            outage.told, outage.tried = True, False
            self._open[each.origin, each.account] = outage
            origin = self._origin(each.origin)
            if each.account == WHOLE:
                origin.suffer(outage)

    def without_answer(self, since: float) -> set[str]:
        """The accounts that have had no answer since that time. An outage that an earlier process has stored counts
        from the start of this process until a probe has failed, since the API may answer again. From any thread."""
        down: set[int] = set()
        for (name, account), outage in list(self._open.items()):
            if (outage.since if outage.tried else self._began_at) <= since:
                origin = self._origins.get(name)
                down |= {account} if account != WHOLE or origin is None else set(origin.accounts)
        return {self._names.name(each) for each in down if each != WHOLE and self._answered_at(each) <= since}

    def _answered_at(self, account: int) -> float:
        """When the account got its last good answer, from any origin."""
        of = [origin.accounts.get(account) for origin in list(self._origins_of.get(account, ()))]
        return max((each.answered_at for each in of if each is not None), default=-math.inf)

    def origins_down(self) -> set[str]:
        """The origins that do not answer at least one account. From any thread."""
        return {origin for origin, _ in list(self._open)}

    def listen(self, now: float) -> None:
        """Finds the origins that give no results, and drops outages that no account waits for. Call a few times a
        second."""
        self.hanging = {each for each in self._origins.values() if each.out and now - each.heard_at > SILENT_SECONDS}
        self.silent = sum(each.out for each in self.hanging)
        for key in list(self._open):
            origin, account = self._origins[key[0]], key[1]
            if account in origin.accounts or (account == WHOLE and origin.accounts):
                self._unused_at.pop(key, None)
            elif now - self._unused_at.setdefault(key, now) > UNUSED_SECONDS:
                self._close(origin, account)
                if account == WHOLE:
                    origin.outage = None
                self._drop(origin)

    @property
    def several(self) -> bool:
        """Whether tasks for more than one origin are in memory."""
        return len(self._origins_of) > 1 and len(self._origins) > 1

    def usual(self, account: int) -> Health:
        """The health of the account at its configured origin."""
        return self.health("", account)

    def health(self, origin: str, account: int) -> Health:
        """The health of an account at an origin. origin: "" for the configured one."""
        usual, give_up_seconds = self._names.usual_origin(account)
        found = self._origin(origin or usual)
        self._origins_of.setdefault(account, set()).add(found)
        health = found.health(account, give_up_seconds)
        if outage := self._open.get((found.name, account)):
            health.suffer(outage)
        return health

    def _origin(self, name: str) -> Origin:
        origin = self._origins.get(name)
        if origin is None:
            origin = self._origins[name] = Origin(name)
        return origin

    def forget(self, account: int) -> None:
        """The account has left memory."""
        for origin in self._origins_of.pop(account, ()):
            del origin.accounts[account]
            self._drop(origin)

    def _drop(self, origin: Origin) -> None:
        if not origin.accounts and not any(name == origin.name for name, _ in self._open):
            del self._origins[origin.name]

    def heard(self, pick: Pick, task: Task, result: Result, outcome: Outcome, started_at: float, now: float) -> Outcome:
        """Learns from a result whether its origin answers. Returns the outcome to settle, after deciding whether a
        failure counts as an attempt, and whether the task becomes a dead letter.

        result: the worker's result, with the origin and the time of its request.
        started_at: when the task was leased.
        """
        health = self._health_of(pick, result.origin)
        if type(outcome) is Retry or (type(outcome) is Bury and outcome.fault != "task"):
            fault, sent = outcome.fault, bool(result.sent_at)
            if fault == "answer" and pick.bucket is None:
                fault = "connection"  # a guard runs alone: no other task can show that the origin works
            if pick.probe is not None and fault != "task":
                if fault == "answer" and pick.probe.blames(task.seq):
                    self._recover(pick.probe, now)
                pick.probe.bad[task.seq] = task.attempt > 0
            count = health.failed(
                task.seq, task.attempt, fault, sent=sent, started_at=result.sent_at or started_at, now=now
            )
            if pick.probe is not None:
                self._probed(pick.probe, now, None if fault == "task" else outcome.error)
            elif fault != "task" and (given_up := health.given_up(now)) is not None:
                given_up.worse(outcome.error)
            elif health.lost(now, outcome.error):
                self._lost(health, pick.account.id, now)
            if type(outcome) is not Retry:
                health.ended(task.seq)
                return outcome
            return charge(outcome, task.attempt, count)
        if type(outcome) in (Complete, Bury) and result.sent_at:
            health.answered(task.seq, now)
            # After `give_up_after` seconds all requests are sent, and each good answer counts like that of a probe.
            probe = pick.probe or health.given_up(now)
            if probe is not None:
                self._probed(probe, now, None, good=True)
        return outcome

    def ended(self, probe: Outage, now: float) -> None:
        """The attempt that was the probe of this outage has ended, with or without a result."""
        if probe.probing:
            self._probed(probe, now, None)

    def _health_of(self, pick: Pick, origin: str) -> Health:
        """The health of the account at this origin. Expects the bucket's next request to go there as well."""
        queue = pick.account if pick.bucket is None else pick.bucket
        name = origin or pick.account.origin
        if queue.health.origin.name != name:
            queue.health = self.health(name, pick.account.id)
        return queue.health

    def _lost(self, health: Health, account: int, now: float) -> None:
        """Begins an account's outage, and perhaps one of the whole origin."""
        assert health.outage is not None  # noqa: S101 - `Health.lost` has set it
        origin = health.origin
        self._note(origin, account, health.outage)
        self.moved.add(account)
        if origin.consider(now):
            assert origin.outage is not None  # noqa: S101 - see `consider`
            self._note(origin, WHOLE, origin.outage)
            self._tell(origin, WHOLE, origin.outage, now)
            self.moved.update(origin.accounts)

    def _probed(self, probe: Outage, now: float, error: str | None, *, good: bool = False) -> None:
        """A probe has ended. error: why it got no answer; None when its result shows nothing about the origin."""
        if (where := self._place_of(probe)) is None:  # the outage has ended already
            return
        origin, account = where
        if good:
            probe.answered(now)
        elif error is None:
            probe.unknown(now)
        else:
            probe.failed(now, error)
            self._tell(origin, account, probe, now)
        self.moved.update(origin.accounts if account == WHOLE else [account])
        if probe.over:
            self._recover(probe, now)
        else:
            self._note(origin, account, probe)

    def _place_of(self, outage: Outage) -> tuple[Origin, int] | None:
        """The origin of an outage, and its account or WHOLE; None when the outage is over."""
        key = next((key for key, each in self._open.items() if each is outage), None)
        return None if key is None else (self._origins[key[0]], key[1])

    def _recover(self, outage: Outage, now: float) -> None:
        """Ends an outage, if it has not ended already."""
        if (where := self._place_of(outage)) is None:
            return
        origin, account = where
        self.moved.update(origin.accounts if account == WHOLE else [account])
        if account == WHOLE:
            for name, each in list(self._open):
                if name == origin.name:
                    self._over(origin, each, now, quietly=each != WHOLE)
            origin.recover(now)
        else:
            self._over(origin, account, now)
            origin.accounts[account].recover(now)

    def _over(self, origin: Origin, account: int, now: float, *, quietly: bool = False) -> None:
        """Removes an outage and logs its end. quietly: do not log it: it was a part of the whole origin's outage."""
        outage = self._close(origin, account)
        if outage is not None and outage.told and not quietly:
            tell(
                Event.OUTAGE_ENDED,
                "%s answers again, after %.0f s",
                *(self._where(origin, account), now - outage.since),
                origin=origin.name,
                account=self._account(account),
                seconds=round(now - outage.since, 3),
            )

    def _close(self, origin: Origin, account: int) -> Outage | None:
        key = (origin.name, account)
        self._unused_at.pop(key, None)
        outage = self._open.pop(key, None)
        if outage is not None:
            self._store.note_outage(key, None)
        return outage

    def _note(self, origin: Origin, account: int, outage: Outage) -> None:
        self._open[origin.name, account] = outage
        offset = self._clock.now() - time.monotonic()
        since, next_at = outage.since + offset, outage.next_at + offset
        note = OutageNote(origin.name, account, since, next_at, outage.delay, _reason(outage))
        self._store.note_outage((origin.name, account), note)

    def _tell(self, origin: Origin, account: int, outage: Outage, now: float) -> None:
        """Logs each outage once. One of an account alone is logged after its first probe: until then, it may turn out
        to be an outage of the whole origin."""
        if outage.told or (account != WHOLE and origin.outage is not None):
            return
        outage.told = True
        tell(
            Event.OUTAGE_BEGAN,
            "%s does not answer: %s. Its tasks wait and lose no attempts; next try in %.0f s",
            *(self._where(origin, account), _reason(outage), outage.next_at - now),
            origin=origin.name,
            account=self._account(account),
            error=_reason(outage),
            seconds=round(outage.next_at - now, 3),
        )

    def _account(self, account: int) -> str | None:
        return None if account == WHOLE else self._names.name(account)

    def _where(self, origin: Origin, account: int) -> str:
        return origin.name if account == WHOLE else f"{origin.name}, for account {self._names.name(account)},"


def _reason(outage: Outage) -> str:
    """The last failure, without the name of its error class."""
    return plain_error(outage.error)
