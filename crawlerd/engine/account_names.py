"""The accounts while the engine runs: their numbers, names, parts, sources and limits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from crawlerd.core.task import PART
from crawlerd.core.urls import origin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crawlerd.config.load import Settings
    from crawlerd.core.configuration import AccountSpec, LimitSpec
    from crawlerd.frontier.contract import Frontier
    from crawlerd.source import Source


class AccountNames:
    """May be read from any thread.

    numbers: the frontier's numbers of accounts, by name; also of accounts that are not configured any more.
    names: the names of these accounts, by number.
    parts: the names of the parts of accounts, by number; added when a part is first met.
    """

    def __init__(self, settings: Settings, frontier: Frontier) -> None:
        self._settings, self._frontier = settings, frontier
        self.numbers = frontier.account_numbers({name: spec.source for name, spec in settings.accounts.items()})
        self.names = {number: name for name, number in self.numbers.items()}
        self.parts: dict[int, str] = {}

    def add(self, accounts: Mapping[str, AccountSpec]) -> None:
        """Adds those of these accounts that are new. On the store's thread."""
        new = {name: spec.source for name, spec in accounts.items() if name not in self.numbers}
        if new:
            for name, number in self._frontier.account_numbers(new).items():
                self.numbers[name], self.names[number] = number, name

    def configured(self, number: int) -> bool:
        """Whether an account is configured. For a part: whether its account is."""
        return self.name(number).partition(PART)[0] in self._settings.accounts

    def source(self, account: str) -> Source | None:
        """The source of an account; None when the account is not configured."""
        spec = self._settings.accounts.get(account)
        return None if spec is None else self._settings.sources.get(spec.source)

    def source_name(self, account: int) -> str:
        """The name of the source of an account or part; "" when it is not configured."""
        spec = self._settings.accounts.get(self.name(account).partition(PART)[0])
        return "" if spec is None else spec.source

    def name(self, account: int) -> str:
        """The name of an account or part."""
        return self.names.get(account) or self.parts.get(account) or str(account)

    def number(self, name: str) -> int | None:
        """The number of an account, or of a part that was met before."""
        found = self.numbers.get(name)
        return found or next((number for number, part in list(self.parts.items()) if part == name), None)

    def usual_origin(self, account: int) -> tuple[str, float]:
        """The origin that an account is configured with, and its `give_up_after` in seconds."""
        spec = self._settings.accounts.get(self.name(account).partition(PART)[0])
        if spec is None:
            return "", math.inf
        return origin(spec.base_url) or spec.source, spec.retry.give_up_after

    def limits(self, number: int) -> tuple[str, LimitSpec] | None:
        """The name and limits of an account or part; None when it is not configured."""
        name = self.names.get(number) or self.parts.get(number)
        spec = None if name is None else self._settings.limits.get(name.partition(PART)[0])
        return None if name is None or spec is None else (name, spec)
