"""What is reported about imports and accounts that are configured but have not been used yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crawlerd.core.reasons import Reason, Waiting
from crawlerd.operations.schedules import skipped
from crawlerd.operations.why import Why

if TYPE_CHECKING:
    from crawlerd.core.reasons import Subject
    from crawlerd.frontier.reader_contract import FrontierReader
    from crawlerd.operations.configured import Configured
    from crawlerd.operations.live_facts import Live

NAMED = 3  # imports of an account that are named


def unused(
    reader: FrontierReader | None,
    live: Live | None,
    configured: Configured | None,
    subject: Subject,
    name: str,
    *,
    file: str = "the configuration",
) -> Why | None:
    """The report; None if it is not configured either.

    reader: None while there is no frontier.
    live: None if no crawlerd runs.
    file: the file in which it is configured.
    """
    if configured is None:
        return None
    who = f"{subject} {name}"
    if subject == "import" and (spec := configured.imports.get(name)):
        return _import(reader, live, name, f"{who} has not run yet; it is configured in {file}", spec.every)
    if subject == "account" and name in configured.accounts:
        theirs = [each for each, spec in configured.imports.items() if spec.account == name]
        more = f" and {len(theirs) - NAMED:,} more" if len(theirs) > NAMED else ""
        used = f"for {', '.join(theirs[:NAMED])}{more}" if theirs else "and no import uses it"
        told = f"{who} has not been used yet; it is configured in {file}, {used}"
        return Why(subject=who, sentences=[f"{told}."], waits=[Waiting(who=who, reason=Reason.IDLE, text=told)])
    return None


def _import(reader: FrontierReader | None, live: Live | None, name: str, told: str, every: float | None) -> Why:
    who = f"import {name}"
    pauses = reader.pauses() if reader else []
    if note := next((each for each in pauses if each.kind == "import" and each.name == name), None):
        waiting = note.waiting(who)
        return Why(subject=who, sentences=[f"{told}.", f"{note.text}.", waiting.cure], waits=[waiting])
    if live and (refusal := live.refusals().get(name)):
        waiting = Waiting(who=who, reason=Reason.RETRY, text=f"it could not start: {refusal}")
        return Why(
            subject=who,
            sentences=[f"{told}.", f"It could not start: {refusal}. The daemon tries again."],
            waits=[waiting],
        )
    if every is None:
        then = f"It has no `schedule`: `crawlerd import {name}` starts it"
    else:
        then = "The daemon starts it when its turn has come" if live else "No daemon is running to start it"
    noted = reader.schedule_notes([name]).get(name) if reader else None
    missed = skipped(name, noted, None)
    sentences = [f"{told}.", *([f"{missed[0].upper()}{missed[1:]}."] if missed else []), f"{then}."]
    return Why(subject=who, sentences=sentences, waits=[Waiting(who=who, reason=Reason.IDLE, text=told)])
