"""Retries and drops of dead letters that match a filter: requests, their checks, and the operations that they start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from crawlerd.core.row_numbers import GREATEST
from crawlerd.core.wording import agreeing
from crawlerd.frontier.letter_filter import ALL, LetterFilter
from crawlerd.frontier.reports import Act, LetterAct, OperationReport
from crawlerd.operations.pause_requests import reason_of
from crawlerd.operations.problem import Changed, Refused, Unknown

if TYPE_CHECKING:
    from crawlerd.frontier.reader_contract import FrontierReader
    from crawlerd.frontier.reports import LetterCount, LetterPage

MORE = 0.10  # share by which the number of letters may have grown since they were counted
MOST_READ = 20_000  # letters that are searched for a page of them, or to count the matching ones
LATEST = 253_402_300_800  # the year 10000, in Unix seconds
WORDS_LENGTH = 500  # characters of a name or text to search for


class LettersRequest(msgspec.Struct, frozen=True, kw_only=True, rename={"which": "filter"}, forbid_unknown_fields=True):
    """A request to retry or drop letters. Unknown fields are refused, so that a misspelled one does not mean all
    letters.

    which: the letters; all if it has no conditions.
    reason: for the audit; required for a drop.
    expect: how many letters matched when they were last counted.
    through: the last burial at that time, see `LetterCount`; letters that died later are not affected.
    """

    which: LetterFilter = ALL
    reason: str = ""
    expect: int | None = None
    through: int | None = None


def begun(
    reader: FrontierReader, act: LetterAct, request: LettersRequest, by: str, now: float
) -> tuple[OperationReport, Act]:
    """The operation to carry out, and its entry in the audit. Raises Refused, or Changed if there are far more letters
    than expected.

    now: Unix seconds.
    """
    check(request.which)
    reason = reason_of(request.reason) if act == "drop" or request.reason else ""
    found = reader.count_letters(request.which, request.through)
    if request.expect is not None and found.count > request.expect * (1 + MORE):
        now_text = agreeing(found.count, "dead letter", "match")
        raise Changed(f"{now_text} now, {agreeing(request.expect, 'letter', 'were')} expected: look again")
    text = f"{request.which.text}: {reason}" if reason else request.which.text
    operation = OperationReport(
        id=0,
        act=act,
        which=request.which,
        through=found.through,
        by=by,
        reason=reason,
        began_at=now,
        total=found.count,
    )
    return operation, Act(now, by, act, "dead letters", text, found.count)


def newest(reader: FrontierReader, which: LetterFilter, before: int | None, limit: int) -> LetterPage:
    """The letters that match, the newest first; several of the same task are one. Raises Refused as `check` does.

    before: only letters older than this one.
    """
    check(which)
    return reader.newest_letters(which, before=before, limit=limit, most_read=MOST_READ)


def counted(reader: FrontierReader, which: LetterFilter) -> LetterCount:
    """How many letters match, as far as can be counted quickly. Raises Refused as `check` does."""
    check(which)
    return reader.quick_count(which, MOST_READ)


def check(which: LetterFilter) -> None:
    """Raises Refused for values that the database cannot have."""
    numbers = [*which.ids, *([] if which.run is None else [which.run])]
    if any(not 0 <= number <= GREATEST for number in numbers):
        raise Refused(f"the number of a dead letter or run must be from 0 to {GREATEST}")
    if any(not 0 <= at < LATEST for at in (which.since, which.until) if at is not None):
        raise Refused("since and until must be Unix seconds, before the year 10000")
    words = (which.import_name, which.account, which.kind, which.stream, which.group, which.error)
    if any(word is not None and not 1 <= len(word) <= WORDS_LENGTH for word in words):
        raise Refused(f"a name or text to look for must have 1 to {WORDS_LENGTH} characters")


def operation(reader: FrontierReader, number: int) -> OperationReport:
    """An operation. Raises Unknown if there is none, or it was forgotten."""
    found = reader.operation(number)
    if found is None:
        raise Unknown(f"there is no operation {number}, or it was forgotten: operations are kept for a year")
    return found


def cancel_act(number: int, by: str, now: float) -> Act:
    """The audit's entry about canceling an operation."""
    return Act(now, by, "cancel", f"operation {number}", "", 1)


def not_under_way(reader: FrontierReader, number: int) -> Refused:
    """Why an operation cannot be canceled. Raises Unknown as `operation` does."""
    return Refused(f"operation {number} has ended already: {operation(reader, number).state}")
