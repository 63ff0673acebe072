"""The report at the end of `crawlerd import`, and the exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from crawlerd.cli.exits import ExitCode

if TYPE_CHECKING:
    from crawlerd.operations.import_report import Conclusion, ImportReport

EXIT_CODES: dict[Conclusion, ExitCode] = {
    "completed": ExitCode.DONE,
    "not complete": ExitCode.INCOMPLETE,
    "completed with dead letters": ExitCode.INCOMPLETE,
    "cancelled": ExitCode.INCOMPLETE,
    "stopped": ExitCode.INCOMPLETE,
    "failed": ExitCode.FAILED,
    "waiting for an API": ExitCode.UNAVAILABLE,
    "interrupted": ExitCode.INTERRUPTED,
}


class Outcome(NamedTuple):
    """How an import in the foreground ended."""

    exit_code: ExitCode
    report: dict[str, Any]  # what `--json` prints: `state`, `imports` with their runs and streams, and `not_started`


def outcome(report: ImportReport) -> Outcome:
    """The report with its exit code."""
    return Outcome(EXIT_CODES[report.state], msgspec.to_builtins(report))
