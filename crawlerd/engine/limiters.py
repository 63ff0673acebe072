"""Makes the limiters of accounts and buckets, and stores what they have learned about the APIs' limits."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal

import msgspec

from crawlerd.core.log_events import Event, tell
from crawlerd.core.lowered import Lowered
from crawlerd.ratelimit.adaptive import Learned
from crawlerd.ratelimit.limiter import AUTO, Limiter, parse_limits
from crawlerd.ratelimit.lowered_limits import LoweredLimits
from crawlerd.ratelimit.window import StartLog

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from crawlerd.core.configuration import LimitSpec
    from crawlerd.core.lowered import LimitNote
    from crawlerd.engine.protocols import Supplier
    from crawlerd.engine.queues import AccountQueue

log = logging.getLogger(__name__)

MOVED = 1.2  # a learned rate is logged again when it has changed by this factor


def learned_of(rows: Mapping[str, str]) -> dict[str, Learned]:
    """Decodes what limiters have learned, as the frontier stores it. Leaves out, and logs, rows that cannot be read."""
    learned = {}
    for key, value in rows.items():
        try:
            learned[key] = msgspec.json.decode(value, type=Learned)
        except msgspec.MsgspecError as error:
            log.warning("what was learned of the limit %s is not usable, and will be learned again: %s", key, error)
    return learned


class Limiters:
    """Makes limiters, which all share one log of starts."""

    def __init__(self, store: Supplier, learned: Mapping[str, Learned] | None, quiet_since: float) -> None:
        """
        learned: what earlier processes have learned, by the keys of limiters.
        quiet_since: see `Limiter`.
        """
        self._store, self._quiet_since = store, quiet_since
        self._learned = dict(learned or {})
        self._told = dict(self._learned)
        self._configured: dict[str, str] = {}  # the limits of each limiter, as texts
        self._log = StartLog()
        self._lowered = Lowered()

    def of_account(self, number: int, name: str, spec: LimitSpec) -> Limiter:
        limiter = self._make(str(number), spec.limits, spec, spec.concurrency)
        self._lower(limiter, self._lowered.of(name), self._quiet_since)
        return limiter

    def of_bucket(self, account: AccountQueue, number: int, name: str) -> Limiter:
        spec = account.spec
        limiter = self._make(f"{account.id}/{number}", spec.of_bucket(name), spec, spec.bucket_concurrency.get(name))
        self._lower(limiter, self._lowered.of(account.name, name), self._quiet_since)
        return limiter

    def lower(self, lowered: Lowered, accounts: Iterable[AccountQueue], now: float) -> None:
        """Applies the limits that people have lowered. accounts: those in memory. now: monotonic seconds."""
        self._lowered = lowered
        for account in accounts:
            self._lower(account.limiter, lowered.of(account.name), now)
            for bucket in account.buckets.values():
                self._lower(bucket.limiter, lowered.of(account.name, bucket.name), now)

    def _lower(self, limiter: Limiter, notes: list[LimitNote], quiet_since: float) -> None:
        if notes == (limiter.lowered.notes if limiter.lowered else []):
            return
        key, limits = f"{limiter.key}/lowered", parse_limits(limit for note in notes for limit in note.limits)
        limiter.lower(
            LoweredLimits(key, limits, self._log, self._store.ask_quota, notes=notes, quiet_since=quiet_since)
            if notes
            else None
        )

    def change(self, account: AccountQueue, spec: LimitSpec, now: float) -> None:
        """Applies other limits to an account. Requests started before count against them."""
        old, before = account.spec, self._quiet_since
        self._quiet_since = now  # starts that the old limits did not count are unknown
        try:
            account.spec, account.keys = spec, [(item, [account.name]) for item in parse_limits(spec.limits)]
            if _of_account(old) != _of_account(spec):
                self.learn(account.limiter, account.name)
                made = self.of_account(account.id, account.name, spec)
                made.follow(account.limiter)
                account.limiter = made
            for bucket in account.buckets.values():
                if _of_bucket(old, bucket.name) != _of_bucket(spec, bucket.name):
                    self.learn(bucket.limiter, account.name, bucket.name)
                    made = self.of_bucket(account, bucket.id, bucket.name)
                    made.follow(bucket.limiter)
                    bucket.limiter = made
                    bucket.name_keys()
        finally:
            self._quiet_since = before

    def _make(
        self, key: str, limits: Sequence[str], spec: LimitSpec, concurrency: int | Literal["auto"] | None = None
    ) -> Limiter:
        self._configured[key] = text = " ".join(limits)
        learned = self._learned.get(key)
        if learned and learned.under not in (None, text):
            learned = None  # who writes other limits knows more about the API than what was learned under the old ones
        return Limiter(
            key,
            parse_limits(limits),
            self._log,
            self._store.ask_quota,
            smooth=spec.smooth,
            auto=AUTO in limits,
            learned=learned,
            concurrency=concurrency,
            quiet_since=self._quiet_since,
        )

    def learn(self, limiter: Limiter, account: str, bucket: str = "") -> None:
        """Stores what the limiter has learned since the last call, and logs it if it is new."""
        if limiter.law is None:
            return
        learned = limiter.law.learned()
        if learned != Learned():
            learned = msgspec.structs.replace(learned, under=self._configured[limiter.key])
        if learned != self._learned.get(limiter.key, Learned()):
            self._learned[limiter.key] = learned
            self._store.remember(limiter.key, learned)
            if is_news(learned, self._told.get(limiter.key, Learned())):
                self._told[limiter.key] = learned
                tell_learned(learned, account, bucket)


def is_news(learned: Learned, told: Learned) -> bool:
    """Whether to log it: a limit was found, or differs much from the one that was logged last."""
    if learned.concurrency is not None and learned.concurrency != told.concurrency:
        return True
    if learned.rate is None:
        return False
    return told.rate is None or not told.rate / MOVED < learned.rate < told.rate * MOVED


def tell_learned(learned: Learned, account: str, bucket: str) -> None:
    """Logs the limits that were learned about an account, or about one of its buckets."""
    rate = None if learned.rate is None else float(f"{learned.rate:.3g}")
    limits = [] if rate is None else [f"{rate:g} requests per second"]
    limits += [] if learned.concurrency is None else [f"{learned.concurrency} requests at once"]
    tell(
        Event.LIMIT_LEARNED,
        "%s: its API permits about %s, by what it has refused",
        *(f"bucket {account}/{bucket}" if bucket else f"account {account}", " and ".join(limits)),
        account=account,
        bucket=bucket,
        rate=rate,
        concurrency=learned.concurrency,
    )


def _of_account(spec: LimitSpec) -> tuple[object, ...]:
    """The limits that the account's own limiter applies, to compare two configurations."""
    return spec.limits, spec.concurrency, spec.smooth


def _of_bucket(spec: LimitSpec, name: str) -> tuple[object, ...]:
    return spec.of_bucket(name), spec.bucket_concurrency.get(name), spec.smooth
