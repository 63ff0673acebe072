"""Makes the limiters of accounts and buckets, and keeps what their laws have found out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from crawlerd.ratelimit.adaptive import Learned
from crawlerd.ratelimit.limiter import AUTO, Limiter, parse_limits
from crawlerd.ratelimit.window import StartLog

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from crawlerd.core.configuration import LimitSpec
    from crawlerd.engine.protocols import Supplier
    from crawlerd.engine.queues import AccountQueue


class Limiters:
    """All share one log of starts."""

    def __init__(self, store: Supplier, learned: Mapping[str, Learned] | None, quiet_since: float) -> None:
        """learned: what earlier processes have found out, by the keys of limiters. quiet_since: see `Limiter`."""
        self._store, self._quiet_since = store, quiet_since
        self._learned = dict(learned or {})
        self._log = StartLog()

    def of_account(self, number: int, spec: LimitSpec) -> Limiter:
        return self._make(str(number), spec.limits, spec, spec.concurrency)

    def of_bucket(self, account: AccountQueue, number: int, name: str) -> Limiter:
        spec = account.spec
        return self._make(f"{account.id}/{number}", spec.of_bucket(name), spec, spec.bucket_concurrency.get(name))

    def _make(
        self, key: str, limits: Sequence[str], spec: LimitSpec, concurrency: int | Literal["auto"] | None = None
    ) -> Limiter:
        return Limiter(
            key,
            parse_limits(limits),
            self._log,
            self._store.ask_quota,
            smooth=spec.smooth,
            auto=AUTO in limits,
            learned=self._learned.get(key),
            concurrency=concurrency,
            quiet_since=self._quiet_since,
        )

    def learn(self, limiter: Limiter) -> None:
        """Keeps what its law has found out since."""
        if limiter.law is None:
            return
        learned = limiter.law.learned()
        if learned != self._learned.get(limiter.key, Learned()):
            self._learned[limiter.key] = learned
            self._store.remember(limiter.key, learned)
