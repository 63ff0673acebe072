"""Retrying the dead letters of a run, and forgetting a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from crawlerd.frontier.letter_filter import LetterFilter
from crawlerd.frontier.reports import Act
from crawlerd.operations.pause_requests import reason_of
from crawlerd.operations.problem import Refused, Unknown

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from crawlerd.frontier.reader_contract import FrontierReader

AT_ONCE = 5_000  # dead letters that are retried in one transaction


class RunRetried(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a retry.

    retried: how many dead letters are ready again.
    left: there may be more: repeat the request.
    """

    retried: int
    left: bool


class DropRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request to forget a run.

    reason: for the audit.
    """

    reason: str


class Dropped(msgspec.Struct, frozen=True, kw_only=True):
    """A run that is being forgotten.

    run: it is gone a moment later, with the last of its tasks.
    """

    run: int


def letters_of(reader: FrontierReader, run: int) -> list[int]:
    """The first dead letters of a run. Raises Unknown or Refused if there is nothing to retry."""
    found = reader.runs([run])
    if not found:
        raise Unknown(f"there is no run {run}, or it was forgotten: see `keep_runs`")
    if found[0].state == "cancelled":
        raise Refused(f"run {run} was cancelled: its dead letters are dropped with it")
    letters = [each.id for each in reader.dead_letters(LetterFilter(run=run), limit=AT_ONCE)]
    if not letters:
        raise Refused(f"run {run} has no dead letters")
    return letters


def are_left(numbers: Sequence[int]) -> bool:
    """Whether there may be more than `letters_of` has returned."""
    return len(numbers) == AT_ONCE


def retry_act(run: int, numbers: Sequence[int], by: str, now: float) -> Act:
    """The audit's entry about a retry.

    now: Unix seconds.
    """
    return Act(now, by, "retry", f"run {run}", "all its dead letters", len(numbers))


def check_drop(reader: FrontierReader, run: int, configured: Container[str], *, under_way: bool) -> None:
    """Raises Unknown or Refused if a run must not be forgotten.

    configured: the names of imports.
    under_way: a crawlerd performs unfinished runs.
    """
    found = reader.runs([run])
    if not found:
        raise Unknown(f"there is no run {run}, or it was forgotten already")
    if found[0].import_name not in configured:
        return
    if found[0].state != "running":
        raise Refused(
            f"run {run} has ended, and its import {found[0].import_name} is configured: `keep_runs` determines when it "
            "is forgotten"
        )
    if under_way:
        raise Refused(f"run {run} is under way: end it with `crawlerd run cancel {run} --reason …`")


def drop_act(run: int, request: DropRequest, by: str, now: float) -> Act:
    """The audit's entry about forgetting a run. Raises Refused without a reason."""
    return Act(now, by, "drop", f"run {run}", reason_of(request.reason), 1)


def dropped_already(run: int) -> Refused:
    """The error for a repeated request."""
    return Refused(f"run {run} is already being forgotten")
