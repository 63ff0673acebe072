"""Which dead letters are meant: everything that matches all that is said."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec


class LetterFilter(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename={"import_name": "import"},
    forbid_unknown_fields=True,
):
    """Another field than these is an error: a misspelled one must not mean all letters.

    ids: numbers of letters; empty: whichever.
    account: of the task, or the account that it is a part of.
    stream: that the letter is reported under.
    group: its fingerprint.
    error: is in its error text, whatever the case.
    since, until: when it became one; Unix seconds, the end is not included.
    """

    ids: list[int] = []
    import_name: str | None = None
    account: str | None = None
    kind: str | None = None
    stream: str | None = None
    group: str | None = None
    error: str | None = None
    since: float | None = None
    until: float | None = None
    run: int | None = None

    @property
    def narrow(self) -> bool:
        """Whether it leaves out anything."""
        return self != ALL

    @property
    def text(self) -> str:
        """For people."""
        numbers = ", ".join(map(str, self.ids[:10])) + (f" and {len(self.ids) - 10:,} more" if self.ids[10:] else "")
        said = {
            "id": numbers,
            "import": self.import_name,
            "account": self.account,
            "kind": self.kind,
            "stream": self.stream,
            "group": self.group,
            "error": None if self.error is None else repr(self.error),
            "since": _time(self.since),
            "until": _time(self.until),
            "run": self.run,
        }
        return ", ".join(f"{name} {value}" for name, value in said.items() if value not in (None, "")) or "all"


ALL = LetterFilter()


def _time(at: float | None) -> str | None:
    return None if at is None else f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"
