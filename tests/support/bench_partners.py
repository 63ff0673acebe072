"""What a workbench in a test needs around it: accounts with limits, and notes of what it asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crawlerd.core.configuration import LimitSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crawlerd.frontier.waiting_contract import Queue
    from crawlerd.ratelimit.adaptive import Learned
    from crawlerd.ratelimit.quota import Ask


class Limits:
    """Of accounts by their numbers, or of all; the account 1 is called "a1"."""

    def __init__(self, specs: Mapping[int, LimitSpec] | LimitSpec) -> None:
        self._specs = specs

    def limits(self, number: int) -> tuple[str, LimitSpec] | None:
        spec = self._specs if isinstance(self._specs, LimitSpec) else self._specs.get(number)
        return None if spec is None else (f"a{number}", spec)


class Asked:
    """In the place of the store.

    heads: (bucket, count) of refills.
    quotas: what was asked of quotas.
    learned: by limiter.
    """

    def __init__(self) -> None:
        self.heads: list[tuple[int, int]] = []
        self.quotas: list[Ask] = []
        self.learned: dict[str, Learned] = {}

    def refill(self, queue: Queue, count: int) -> None:
        self.heads.append((queue[0], count))

    def ask_quota(self, ask: Ask) -> None:
        self.quotas.append(ask)

    def remember(self, key: str, learned: Learned) -> None:
        self.learned[key] = learned
