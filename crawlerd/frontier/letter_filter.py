"""Selects dead letters: a letter must match all fields that are set."""

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
    """A filter of dead letters. Unknown fields are an error: a misspelled field must not select all letters.

    ids: the numbers of letters; empty for any.
    account: the account of the task, or of the part that the task is for.
    stream: the stream that the letter is reported under.
    group: its fingerprint.
    error: a part of its error text; upper and lower case are equal.
    since, until: when it became a dead letter; Unix seconds, without the end itself.
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
        """Whether it leaves out any letters."""
        return self != ALL

    @property
    def text(self) -> str:
        """The filter as text, for people."""
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
