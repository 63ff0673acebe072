"""What `crawlerd import` ends with: the report, and the exit code that follows from it."""

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
    """As the command prints it, and ends with it."""
    return Outcome(EXIT_CODES[report.state], msgspec.to_builtins(report))
