"""The options of an import of Mailchimp."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from crawlerd.core.durations import parse_duration
from crawlerd.sources.http import Delivery

if TYPE_CHECKING:
    from collections.abc import Iterator


class MailchimpImport(msgspec.Struct, frozen=True):
    """The options.

    lists: ids, or "*".
    sweep: how often a run reads everything, to find deletions.
    deliver: where members are delivered, in addition to the sink or in place of it.
    """

    lists: tuple[str, ...] | str = "*"
    sweep: str = "1d"
    deliver: Delivery | None = None

    def __post_init__(self) -> None:
        if not self.wanted:
            raise ValueError('lists must be a list of ids, or ["*"]')
        parse_duration(self.sweep)

    @property
    def wanted(self) -> tuple[str, ...]:
        """The ids of lists, without duplicates; ("*",) for all."""
        named = re.split(r"[\s,;]+", self.lists.strip()) if isinstance(self.lists, str) else self.lists
        return ("*",) if "*" in named else tuple(dict.fromkeys(each for each in named if each))

    def accounts(self) -> Iterator[str]:
        if self.deliver:
            yield self.deliver.account

    def needs_sink(self) -> bool:
        return self.deliver is None
