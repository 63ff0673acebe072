"""Which configuration is in force, and the result of the last reload. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec


class Reloaded(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a reload.

    applied: texts that describe the changes in force, for people.
    restart: the settings whose change needs a restart.
    problems: what is wrong with the file, so that none of it is in force; empty if nothing is.
    rekeyed: the first few accounts whose key has changed.
    keys: whether these keys work, for people.
    """

    applied: list[str] = []
    restart: list[str] = []
    problems: list[str] = []
    rekeyed: list[str] = []
    keys: list[str] = []


class InForce(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration in force.

    read_at: when it was read; Unix seconds.
    restart: see `Reloaded`.
    problems: what was wrong with the file when it was last read.
    wrong_since: since when; Unix seconds, 0 when nothing was wrong.
    """

    read_at: float
    restart: list[str] = []
    problems: list[str] = []
    wrong_since: float = 0.0

    @property
    def note(self) -> str | None:
        """A text for people about how the file differs from the configuration in force; None if it does not, as far as
        known."""
        if self.problems:
            more = f" and {len(self.problems) - 1} more" if len(self.problems) > 1 else ""
            at = datetime.fromtimestamp(self.wrong_since, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
            return (
                f"the configuration file is wrong since {at}, so that the one before is used: {self.problems[0]}{more}"
            )
        if self.restart:
            return f"the configuration file has changed, which needs a restart: {', '.join(self.restart)}"
        return None
