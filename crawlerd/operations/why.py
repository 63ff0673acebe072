"""Why an import, an account, a run or a task waits: what for, why, and until when."""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from crawlerd.core.lowered import Lowered
from crawlerd.core.reasons import ORDER, Reason, Waiting
from crawlerd.core.wording import counted, plain_error
from crawlerd.operations.account_reasons import account_waits
from crawlerd.operations.killing_kinds import killing
from crawlerd.operations.problem import Unknown
from crawlerd.operations.schedules import skipped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from crawlerd.core.pauses import PauseNote
    from crawlerd.core.reasons import Subject
    from crawlerd.frontier.reader_contract import FrontierReader
    from crawlerd.frontier.reports import RunReport
    from crawlerd.operations.live_facts import Live

SHOWN, MOST = 5, 50  # accounts of a run that are named, and that are checked
NOT_RUNNING = "no crawlerd works on it: start the daemon, or `crawlerd import {name}`"


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """Why something waits.

    subject: what the question is about, such as "import acme".
    sentences: for people.
    waits: what it waits for, the most important first; empty if it waits for nothing.
    """

    subject: str
    sentences: list[str]
    waits: list[Waiting] = []


def why(reader: FrontierReader, live: Live | None, subject: Subject, name: str, now: float) -> Why:
    """Why something waits. Raises Unknown if it does not exist.

    live: None if no crawlerd works on the frontier.
    now: Unix seconds.
    """
    match subject:
        case "import":
            run = reader.latest(name)
            if run is None:
                raise Unknown(f"import {name} has not run yet, or does not exist")
            return _run(reader, live, run, f"import {name}", now)
        case "run":
            if not name.isdecimal() or not (runs := reader.runs([int(name[:18])])):
                raise Unknown(f"there is no run {name[:40]}")
            return _run(reader, live, runs[0], f"run {name}", now)
        case "account":
            account = reader.account(name)
            if account is None:
                raise Unknown(f"account {name} has not been used yet, or does not exist")
            waits = [account_waits(reader, live, account, now)]
            count = f"{account.ready:,} task{'s' * (account.ready != 1)} of account {name} {_are(account.ready)} ready"
            sentences = [count + ".", *_sentences(waits, now), *_lowered(reader, [name], now)]
            return Why(subject=f"account {name}", sentences=sentences, waits=waits)
        case "task":
            return _task(reader, live, name, now)


def _run(reader: FrontierReader, live: Live | None, run: RunReport, subject: str, now: float) -> Why:
    name = f"run {run.id} of import {run.import_name}"
    if run.state != "running":
        ended = f"{name} has ended: {run.state}" + (f", {_time(run.ended_at, now)}" if run.ended_at else "")
        ended += f", {run.ended_reason}" if run.ended_reason else ""
        letters = counted(run.dead, "dead letter") + (killing(reader, run.id) if run.dead else "")
        dead = f"; {letters}: `crawlerd dead list --import {run.import_name}`" if run.dead else ""
        ended = f"{ended}{dead}. None of its tasks is under way."
        if note := _import_pause(reader, run.import_name) or _account_pause(reader, run.account):
            waits = [note.waiting(subject)]
            return Why(subject=subject, sentences=[ended, *_sentences(waits, now)], waits=waits)
        if live and (held := live.holds(run.id, run.import_name)):
            waits = [Waiting(who=subject, reason=held[0], text=held[1])]
            return Why(subject=subject, sentences=[ended, *_sentences(waits, now)], waits=waits)
        idle = Waiting(who=subject, reason=Reason.IDLE, text="nothing is under way")
        noted = reader.schedule_notes([run.import_name]).get(run.import_name)
        missed = skipped(run.import_name, noted, run.started_at)
        return Why(subject=subject, sentences=[ended, *([f"{_capital(missed)}."] if missed else [])], waits=[idle])
    counts = [
        f"{count:,} {text}"
        for count, text in (
            (run.ready, "ready or with a worker"),
            (run.delayed, "waiting for a retry"),
            (run.waiting, "waiting for others of their group"),
            (run.done, "done"),
        )
        if count
    ]
    sentences = [f"{name} is under way: tasks {', '.join(counts) or 'none'}."]
    if run.dead and (killers := killing(reader, run.id)):
        sentences.append(f"It has {counted(run.dead, 'dead letter')}{killers}.")
    waits = _waits(reader, live, run, subject, now)
    sentences += [*_sentences(waits, now), *_lowered(reader, reader.accounts(run.id), now)]
    return Why(subject=subject, sentences=sentences, waits=waits)


def _waits(reader: FrontierReader, live: Live | None, run: RunReport, subject: str, now: float) -> list[Waiting]:
    if note := _import_pause(reader, run.import_name):
        return [note.waiting(subject)]
    found = []
    if live is None:
        found.append(Waiting(who=subject, reason=Reason.WORKERS, text=NOT_RUNNING.format(name=run.import_name)))
    elif held := live.holds(run.id, run.import_name):
        found.append(Waiting(who=subject, reason=held[0], text=held[1]))
    if run.ready:
        accounts = (account for name in reader.accounts(run.id) if (account := reader.account(name)) and account.ready)
        told = [account_waits(reader, live, each, now) for each in islice(accounts, MOST)]
        found += [each for each in told if live or each.reason is not Reason.WORKERS]
    if run.delayed and (retry := reader.next_retry(run.id)):
        text = f"the next attempt of a task: {plain_error(retry.error)}"
        found.append(Waiting(who=subject, reason=Reason.RETRY, text=text, until=retry.due_at))
    if run.waiting and not (run.ready or run.delayed):
        found.append(Waiting(who=subject, reason=Reason.GROUP, text="unfinished tasks of a group"))
    return sorted(found, key=lambda each: (live is None and each.reason is not Reason.WORKERS, ORDER[each.reason]))


def _lowered(reader: FrontierReader, accounts: Sequence[str], now: float) -> Iterator[str]:
    """Sentences about lowered limits, whatever the accounts wait for now."""
    lowered = Lowered(reader.lowered())
    notes = dict.fromkeys((note.account, note.bucket) for name in accounts for note in lowered.all_of(name))
    for key in islice(notes, SHOWN):
        note = lowered.notes[key]
        over = f"crawlerd accounts limit {note.account} --off" + (f" --bucket {note.bucket}" if note.bucket else "")
        until = f"until {_time(note.until, now)}{_in(note.until - now)}, or " if note.until else ""
        yield f"{note.subject}: {note.text}. It holds {until}until `{over}`."


def _import_pause(reader: FrontierReader, name: str) -> PauseNote | None:
    return next((note for note in reader.pauses() if note.kind == "import" and note.name == name), None)


def _account_pause(reader: FrontierReader, name: str) -> PauseNote | None:
    account = reader.account(name)
    paused = (("account", name), ("source", account.source if account else ""))
    return next((note for note in reader.pauses() if (note.kind, note.name) in paused), None)


def _task(reader: FrontierReader, live: Live | None, name: str, now: float) -> Why:
    number = int(name[:18]) if name.isdecimal() else -1
    letter = reader.dead_letter(number)
    if letter:
        after = f"after {counted(letter.attempts, 'attempt')}: {plain_error(letter.error)}"
        told = f"task {number} of run {letter.run} is a dead letter {after}."
        cure = f"To see why: `crawlerd dead show {number}`; to retry it: `crawlerd dead retry {number}`."
        return Why(subject=f"task {number}", sentences=[told, cure])
    task = reader.task(number)
    if task is None:
        raise Unknown(f"there is no task {name[:40]}: it is done, or never existed")
    what = f"task {number} ({task.kind}, run {task.run})"
    if task.retry:
        text = f"its next attempt, after {task.attempts:,} that failed: {plain_error(task.retry.error)}"
        waits = [Waiting(who=what, reason=Reason.RETRY, text=text, until=task.retry.due_at)]
    else:
        account = reader.account(task.account)
        waits = [account_waits(reader, live, account, now)] if account else []
    return Why(subject=f"task {number}", sentences=[f"{what} is queued.", *_sentences(waits, now)], waits=waits)


def _sentences(waits: Sequence[Waiting], now: float) -> Iterator[str]:
    """The waits as sentences. Equal ones of several accounts become one."""
    groups: dict[tuple[Reason, str, str], list[Waiting]] = {}
    for each in waits:
        groups.setdefault((each.reason, each.text, each.cure), []).append(each)
    for (reason, text, cure), several in list(groups.items())[:SHOWN]:
        who = ", ".join(each.who for each in several[:SHOWN])
        more = f" and {len(several) - SHOWN:,} more" if len(several) > SHOWN else ""
        if reason is Reason.IMPORTING:
            yield f"{who}{more} {'is' if len(several) == 1 else 'are'} importing: {text}."
            continue
        since = f", since {_time(min(start), now)}" if (start := [each.since for each in several if each.since]) else ""
        until = min((each.until for each in several if each.until), default=None)
        then = f"; it continues at {_time(until, now)}{_in(until - now)}" if until and until > now else ""
        yield f"{who}{more} {'waits' if len(several) == 1 else 'wait'} ({reason}): {text}{since}{then}."
        if cure:
            yield cure
    if len(groups) > SHOWN:
        yield f"There are {len(groups) - SHOWN:,} more reasons."


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _time(seconds: float, now: float) -> str:
    """A time in this machine's zone, with the date if it is not today."""
    at, today = datetime.fromtimestamp(seconds).astimezone(), datetime.fromtimestamp(now).astimezone()
    return at.strftime("%H:%M:%S" if at.date() == today.date() else "%Y-%m-%d %H:%M:%S")


def _in(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{hours} h" * (hours > 0), f"{minutes} min" * (minutes > 0), f"{rest} s" * (hours == 0 and minutes < 5)]
    return f" (in {' '.join(filter(None, parts))})"
