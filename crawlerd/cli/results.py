"""Results of commands that only commands have: what --json prints of them."""

from __future__ import annotations

from typing import Any

import msgspec

from crawlerd.core.lowered import LimitNote
from crawlerd.frontier.reports import RunReport, Status, StreamReport
from crawlerd.operations.account_trial import AccountTrial
from crawlerd.operations.import_report import ImportReport
from crawlerd.operations.troubles import Trouble  # noqa: TC001 - msgspec reads the annotations


class AskedFor(msgspec.Struct, frozen=True, kw_only=True):
    """What `import --no-wait` has asked the daemon for.

    runs: that are under way, by import.
    not_started: why others could not start, by import.
    """

    runs: dict[str, list[int]]
    not_started: dict[str, str]


class StatusRun(RunReport, frozen=True, kw_only=True):
    """A run, and what it brought by stream."""

    streams: dict[str, StreamReport]


class StatusNow(Status, frozen=True, kw_only=True):
    """The whole frontier now.

    pid: of the crawlerd that works on it; null where none does.
    trouble: what holds up its imports.
    troubles: what needs a look, the gravest first.
    accounts: the first 500 by name; `accounts --jsonl` lists all.
    accounts_by_reason: how many accounts wait for what, all of them.
    """

    pid: int | None
    trouble: str | None
    runs: list[StatusRun]  # type: ignore[assignment] # with more than those of a `Status`
    troubles: list[Trouble]
    accounts_by_reason: dict[str, int]


class StatusCheck(msgspec.Struct, frozen=True, kw_only=True):
    """
    wrong: what is, a line each; empty where nothing is.
    """

    wrong: list[str]


class Resumed(msgspec.Struct, frozen=True, kw_only=True):
    """What goes on again."""

    kind: str
    name: str


class LimitEnded(msgspec.Struct, frozen=True, kw_only=True):
    """A lowered limit that has ended.

    bucket: "" for the whole account.
    """

    account: str
    bucket: str


class ImportRenamed(msgspec.Struct, frozen=True, kw_only=True):
    old: str
    new: str


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """How many dead letters match."""

    count: int


class LettersExported(msgspec.Struct, frozen=True, kw_only=True):
    """
    count: of the letters that match.
    directory: that they were put into; null with --dry-run, and where none match.
    """

    count: int
    directory: str | None


class LettersTaken(msgspec.Struct, frozen=True, kw_only=True):
    """
    count: of the letters that are ready again.
    refused: items that could not be taken, with the reason.
    """

    count: int
    refused: list[str]


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """
    what: was checked: a file, or a sink.
    problems: what is wrong, a line each.
    note: why there was nothing to check; "" where it was checked.
    """

    what: str
    problems: list[str]
    note: str = ""


class Shrunk(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes in bytes."""

    before: int
    after: int


class Replaced(msgspec.Struct, frozen=True, kw_only=True):
    """
    aside: where what was there before is now; null where nothing was.
    """

    aside: str | None


class FileWritten(msgspec.Struct, frozen=True, kw_only=True):
    file: str
    bytes: int


class ConfigurationChecked(msgspec.Struct, frozen=True, kw_only=True):
    """
    accounts, sinks, imports: how many there are.
    warnings: what is allowed and should not be.
    online: what the accounts' APIs have answered, with --online.
    """

    file: str
    accounts: int
    sinks: int
    imports: int
    warnings: list[str]
    online: list[AccountTrial] = []


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """
    key: as it would stand in the file.
    value: of TOML. Of a secret the place that has it.
    origin: FILE:LINE, "environment variable NAME", "source NAME", or "default".
    """

    key: str
    value: Any
    origin: str


class NextStep(msgspec.Struct, frozen=True, kw_only=True):
    command: str
    why: str


class FirstConfiguration(msgspec.Struct, frozen=True, kw_only=True):
    """
    next: what to do then.
    """

    file: str
    next: list[NextStep]


class TokenMade(msgspec.Struct, frozen=True, kw_only=True):
    """
    token: a secret.
    """

    token: str


class FolderMade(msgspec.Struct, frozen=True, kw_only=True):
    folder: str


class SourceLine(msgspec.Struct, frozen=True, kw_only=True):
    """
    text: what it reads, or why it cannot be used.
    """

    name: str
    usable: bool
    text: str


class StreamName(msgspec.Struct, frozen=True, kw_only=True):
    """
    by_default: "*" means it as well.
    """

    name: str
    by_default: bool


class PageTried(msgspec.Struct, frozen=True, kw_only=True):
    """
    good: all of it was understood.
    lines: what was understood, and what would be asked next.
    """

    good: bool
    lines: list[str]


class DemoReport(msgspec.Struct, frozen=True, kw_only=True):
    """
    report: of the import.
    records: in the database; missing, extra: against what the API has.
    share: of the requests that the API permits, as it has counted.
    requests, throttled: as the API has counted.
    """

    report: ImportReport
    records: int
    missing: int
    extra: int
    share: float
    requests: int
    throttled: int
    database: str
    configuration: str


LimitChanged = LimitNote | LimitEnded
