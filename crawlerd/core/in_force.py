"""Which configuration is in force, and what came of reading the file again. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec


class Reloaded(msgspec.Struct, frozen=True, kw_only=True):
    """What came of reading the configuration again.

    applied: what is in force now and was not, for people.
    restart: what differs from the file until a restart.
    problems: why nothing of the file is in force, else empty.
    rekeyed: accounts whose key is another one now, the first ones.
    keys: what is known of these keys, for people.
    """

    applied: list[str] = []
    restart: list[str] = []
    problems: list[str] = []
    rekeyed: list[str] = []
    keys: list[str] = []


class InForce(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration in force.

    read_at: when it was read; Unix seconds.
    restart: as of `Reloaded`.
    problems, wrong_since: of the file, when it was found to be wrong when it was last read; 0 when it was not.
    """

    read_at: float
    restart: list[str] = []
    problems: list[str] = []
    wrong_since: float = 0.0

    @property
    def note(self) -> str | None:
        """For people: how the file differs from what is in force, as far as that is known."""
        if self.problems:
            more = f" and {len(self.problems) - 1} more" if len(self.problems) > 1 else ""
            at = datetime.fromtimestamp(self.wrong_since, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
            return (
                f"the configuration file is wrong since {at}, so that the one before is used: {self.problems[0]}{more}"
            )
        if self.restart:
            return f"the configuration file has changed, which needs a restart: {', '.join(self.restart)}"
        return None
