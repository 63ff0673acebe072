"""The parts of the configuration that questions about imports and accounts need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crawlerd.core.schedule_rules import Schedule


class ConfiguredImport(Protocol):
    """A configured import.

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
    """Imports and accounts, by name."""

    @property
    def imports(self) -> Mapping[str, ConfiguredImport]: ...
    @property
    def accounts(self) -> Mapping[str, ConfiguredAccount]: ...
