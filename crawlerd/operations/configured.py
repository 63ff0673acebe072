"""What the configuration has, as far as questions about imports and accounts need it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crawlerd.core.schedule_rules import Schedule


class ConfiguredImport(Protocol):
    """
    schedule: None for on demand.
    every: the longest time between two starts, in seconds.
    """

    @property
    def account(self) -> str: ...
    @property
    def schedule(self) -> Schedule | None: ...
    @property
    def every(self) -> float | None: ...


class ConfiguredAccount(Protocol):
    @property
    def source(self) -> str: ...


class Configured(Protocol):
    """By name."""

    @property
    def imports(self) -> Mapping[str, ConfiguredImport]: ...
    @property
    def accounts(self) -> Mapping[str, ConfiguredAccount]: ...
