"""Types of results that only commands have: what --json prints."""

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

    runs: the runs that are under way, by import.
    not_started: why an import could not start, by import.
    """

    runs: dict[str, list[int]]
    not_started: dict[str, str]


class StatusRun(RunReport, frozen=True, kw_only=True):
    """A run with its counts by stream."""

    streams: dict[str, StreamReport]


class StatusNow(Status, frozen=True, kw_only=True):
    """The whole frontier now.

    pid: the process id of the crawlerd that works on it; null if there is none.
    trouble: what holds up its imports; null if nothing does.
    troubles: what needs a look, the most serious first.
    accounts: the first 500 by name; `accounts --jsonl` lists all.
    accounts_by_reason: how many accounts wait, by reason; of all accounts.
    """

    pid: int | None
    trouble: str | None
    runs: list[StatusRun]  # type: ignore[assignment] # with more than those of a `Status`
    troubles: list[Trouble]
    accounts_by_reason: dict[str, int]


class StatusCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What `status --check` has found.

    wrong: one line for each problem; empty if there is none.
    """

    wrong: list[str]


class Resumed(msgspec.Struct, frozen=True, kw_only=True):
    """An import, account, bucket or source that was resumed."""

    kind: str
    name: str


class LimitEnded(msgspec.Struct, frozen=True, kw_only=True):
    """A lowered limit that was removed.

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
    """What `dead export` has written.

    count: how many letters match.
    directory: the queue that has them; null with --dry-run, and if no letter matches.
    """

    count: int
    directory: str | None


class LettersTaken(msgspec.Struct, frozen=True, kw_only=True):
    """What `dead import` has taken back.

    count: how many letters are ready again.
    refused: the reasons why other items were refused, one for each.
    """

    count: int
    refused: list[str]


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What a check has found.

    what: the file or sink that was checked.
    problems: what is wrong, one line for each problem.
    note: why nothing was checked; "" if it was.
    """

    what: str
    problems: list[str]
    note: str = ""


class Copied(msgspec.Struct, frozen=True, kw_only=True):
    """A frontier was copied.

    to: "postgresql" or "file".
    rows: of all tables.
    """

    to: str
    rows: int


class Shrunk(msgspec.Struct, frozen=True, kw_only=True):
    """The size of the frontier before and after, in bytes."""

    before: int
    after: int


class Replaced(msgspec.Struct, frozen=True, kw_only=True):
    """What has become of the frontier that was replaced.

    aside: the path of the old frontier; null if there was none.
    """

    aside: str | None


class FileWritten(msgspec.Struct, frozen=True, kw_only=True):
    file: str
    bytes: int


class ConfigurationChecked(msgspec.Struct, frozen=True, kw_only=True):
    """What `config check` has found.

    accounts, sinks, imports: how many the configuration has.
    warnings: what the configuration allows but should not.
    online: what the accounts' APIs have answered, with --online.
    """

    file: str
    accounts: int
    sinks: int
    imports: int
    warnings: list[str]
    online: list[AccountTrial] = []


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """A setting and its value in force.

    key: the full key, such as daemon.listen.
    value: the TOML value. For a secret, the place it comes from.
    origin: FILE:LINE, "environment variable NAME", "source NAME", or "default".
    """

    key: str
    value: Any
    origin: str


class NextStep(msgspec.Struct, frozen=True, kw_only=True):
    command: str
    why: str


class FirstConfiguration(msgspec.Struct, frozen=True, kw_only=True):
    """What `init` has written.

    next: the commands to run next.
    """

    file: str
    next: list[NextStep]


class TokenMade(msgspec.Struct, frozen=True, kw_only=True):
    """A new token.

    token: the token itself, a secret.
    """

    token: str


class FolderMade(msgspec.Struct, frozen=True, kw_only=True):
    folder: str


class SourceLine(msgspec.Struct, frozen=True, kw_only=True):
    """An installed source.

    text: what it reads, or why it cannot be used.
    """

    name: str
    usable: bool
    text: str


class StreamName(msgspec.Struct, frozen=True, kw_only=True):
    """A stream of a source.

    by_default: "*" includes it.
    """

    name: str
    by_default: bool


class PageTried(msgspec.Struct, frozen=True, kw_only=True):
    """What `source test` has understood of a page.

    good: everything was understood.
    lines: what was understood, and what would be requested next.
    """

    good: bool
    lines: list[str]


class DemoReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `demo` has measured.

    report: the report of the import.
    records: how many records the database has.
    missing: how many of the API's records the database lacks.
    extra: how many of the database's records the API does not have.
    share: the share of the permitted requests that were made, as counted by the API (1 is all).
    requests: how many requests the API has counted.
    throttled: how many of them it has answered with 429.
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
