"""What needs a look, the most serious first: for `status`, and for cron and monit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from crawlerd.core.reasons import Reason
from crawlerd.core.wording import counted, plain_error
from crawlerd.operations.account_reasons import account_waits
from crawlerd.operations.killing_kinds import killing
from crawlerd.operations.schedules import skipped

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from crawlerd.core.in_force import InForce
    from crawlerd.core.pauses import PauseNote
    from crawlerd.core.reasons import Waiting
    from crawlerd.frontier.reader_contract import FrontierReader
    from crawlerd.frontier.reports import OutageReport, Overview, RunReport
    from crawlerd.operations.configured import Configured
    from crawlerd.operations.live_facts import Live

NAMED = 3  # most names of subjects with the same trouble
MOST_LOOKED = 1_000  # imports whose data age is checked
LATE = 2.0  # data older than this many intervals need a look
LATE_SECONDS = 600.0  # and by this much in addition, since a run takes time
DAY = 86_400.0  # for this many seconds, a rejected item of the inbox needs a look
GRAVE = (Reason.REFUSED, Reason.SINK, Reason.STORE)
WORKING = (Reason.IMPORTING, Reason.WORKERS, Reason.LIMIT, Reason.IDLE, Reason.RETRY)
OUTAGE = "does not answer: "  # in the text about an outage, which ends with the next probe at the earliest
SAID = (Reason.PAUSED, Reason.OUTAGE)  # these have a line of their own


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """Something that needs a look.

    who: its subject, such as "import acme".
    text: what is wrong, and what to do.
    since, until: Unix seconds; None if unknown.
    grave: it does not end by itself, and nobody intended it: `status --check` reports it.
    """

    who: str
    text: str
    since: float | None = None
    until: float | None = None
    grave: bool = True


def troubles(
    reader: FrontierReader,
    live: Live | None,
    configured: Configured | None,
    found: Overview,
    now: float,
    *,
    held_up: str | None,
    workless: int = 0,
    hooks: Sequence[Trouble] = (),
) -> Iterator[Trouble]:
    """What needs a look.

    configured: None if the configuration was not read.
    held_up: what holds up the running crawlerd.
    workless: accounts that wait for a worker.
    hooks: problems with the hooks of `[notify]`.
    """
    refusals = live.refusals() if live else {}
    stuck = live.stuck_runs() if live else {}
    if held_up and held_up not in refusals.values() and held_up not in [text for _, text in stuck.values()]:
        yield Trouble(who="crawlerd", text=f"held up: {held_up}")
    for reason, text in dict.fromkeys(stuck.values()):
        runs = [str(run) for run, why in stuck.items() if why == (reason, text)]
        yield Trouble(who=_several("run", runs), text=f"{reason}: {text}")
    if live and (in_force := live.in_force()):
        yield from _configuration(in_force)
    for key, text in live.queue_troubles().items() if live else ():
        yield Trouble(who=key, text=text)
    yield from map(_outage, found.outages)
    yield from _cannot_start(refusals)
    if live is None:
        yield from _without_daemon(reader, configured, found)
    yield from _accounts([(each.name, account_waits(reader, live, each, now)) for each in found.accounts])
    if live and workless and (busy := live.busy):
        who = f"{workless:,} account{'s wait' if workless > 1 else ' waits'} for a worker"
        text = f"workers: {who}: {busy}; for more, raise [daemon] threads_per_process or worker_processes"
        yield Trouble(who="crawlerd", text=text, grave=False)
    yield from _not_configured(reader, configured)
    yield from (_unclean(reader, run) for run in found.running if run.dead)
    for run in found.unclean:
        if configured is None or run.import_name in configured.imports:
            yield _unclean(reader, run)
    yield from _late(reader, configured, found, now)
    yield from hooks
    missed = _skipped_while_paused(reader, found.pauses)
    for note in found.pauses:
        text = note.words + (missed.get(note.name, "") if note.kind == "import" else "")
        yield Trouble(who=f"{note.kind} {note.name}", text=text, since=note.since, until=note.until, grave=False)
    for lowered in found.lowered:
        text, since, until = lowered.text, lowered.since, lowered.until
        yield Trouble(who=lowered.subject, text=text, since=since, until=until, grave=False)
    for rejection in reader.rejections(1):  # another program's mistake, which holds up nothing
        if rejection.at > now - DAY:
            text = f"item {rejection.item} was rejected: {rejection.reason}; `crawlerd inbox` lists rejected items"
            yield Trouble(who="inbox", text=text, since=rejection.at, grave=False)
    yield from _notes(reader, configured, refusals)


def _configuration(in_force: InForce) -> Iterator[Trouble]:
    if in_force.problems:
        text = f"the file is wrong, so the previous configuration is used: {in_force.problems[0]}"
        more = f" and {len(in_force.problems) - 1:,} more" if len(in_force.problems) > 1 else ""
        yield Trouble(who="configuration", text=text + more, since=in_force.wrong_since)
    elif in_force.restart:
        text = f"the file has changes that need a restart: {', '.join(in_force.restart)}"
        yield Trouble(who="configuration", text=text, grave=False)


def _accounts(waiting: Sequence[tuple[str, Waiting]]) -> Iterator[Trouble]:
    """One trouble for all accounts that wait for the same."""
    groups: dict[tuple[Reason, str], dict[str, Waiting]] = {}
    for name, waits in waiting:
        if waits.reason not in SAID and waits.reason not in WORKING:
            groups.setdefault((waits.reason, waits.text), {})[name] = waits
    for (reason, text), several in groups.items():
        yield Trouble(
            who=_several("account", list(several)),
            text=f"{reason}: {text}",
            since=min((each.since for each in several.values() if each.since), default=None),
            until=min((each.until for each in several.values() if each.until), default=None),
            grave=reason in GRAVE,
        )


def _outage(outage: OutageReport) -> Trouble:
    who = f"account {outage.account}" if outage.account else outage.origin
    where = f"{outage.origin} " if outage.account else ""
    text = f"{where}{OUTAGE}{plain_error(outage.error)}"
    return Trouble(who=who, text=text, since=outage.since, until=outage.next_at)


def _cannot_start(refusals: Mapping[str, str]) -> Iterator[Trouble]:
    for reason in dict.fromkeys(refusals.values()):
        names = [name for name, why in refusals.items() if why == reason]
        yield Trouble(who=_several("import", names), text=f"cannot start: {reason}")


def _without_daemon(reader: FrontierReader, configured: Configured | None, found: Overview) -> Iterator[Trouble]:
    if found.running_count:
        name = found.running[0].import_name
        what = f"{found.running_count:,} run{'s' * (found.running_count != 1)}"
        text = f"{what} interrupted: start the daemon, or `crawlerd import {name}`"
        yield Trouble(who="crawlerd", text=text)
    if configured and any(each.every for each in configured.imports.values()):
        yield Trouble(
            who="crawlerd",
            text="no daemon runs, so nothing starts by its schedule: start one with `crawlerd run`",
        )


def _not_configured(reader: FrontierReader, configured: Configured | None) -> Iterator[Trouble]:
    if configured is None:
        return
    gone = [name for name in reader.running_imports(MOST_LOOKED) if name not in configured.imports]
    if gone:
        text = "no longer configured, but a run has not ended: configure it, or use `crawlerd imports rename`"
        yield Trouble(who=_several("import", gone), text=text)


def _unclean(reader: FrontierReader, run: RunReport) -> Trouble:
    who = f"import {run.import_name}"
    if run.dead:
        letters = f"{counted(run.dead, 'dead letter')} of run {run.id}{killing(reader, run.id)}"
        text = f"{letters}: `crawlerd dead list --import {run.import_name}`"
    elif run.state == "failed":
        text = f"run {run.id} has failed" + (f": {run.ended_reason}" if run.ended_reason else "")
    else:
        parts = [f"{each.stream} has {each.seen:,} records, before {each.before:,}" for each in run.doubts]
        text = f"run {run.id} is in doubt: {'; '.join(parts)}"
    return Trouble(who=who, text=text, since=run.ended_at)


def _late(reader: FrontierReader, configured: Configured | None, found: Overview, now: float) -> Iterator[Trouble]:
    """Scheduled imports that have not started on time, or whose data are old anyway."""
    if configured is None:
        return
    paused = {note.name for note in found.pauses if note.kind == "import"}
    every: dict[str, float] = {}
    for name, spec in configured.imports.items():
        if spec.every and name not in paused:
            every[name] = spec.every
        if len(every) == MOST_LOOKED:
            break
    fresh = reader.fresh(list(every))
    for name, note in reader.schedule_notes(list(every)).items():
        if text := skipped(name, note, fresh.get(name)):
            yield Trouble(who=f"import {name}", text=text, since=note.skipped_at)
    for name, at in fresh.items():
        if now - at > LATE * every[name] + LATE_SECONDS:
            yield Trouble(who=f"import {name}", text="its data are old: no run has completed in time", since=at)


def _skipped_while_paused(reader: FrontierReader, pauses: Sequence[PauseNote]) -> dict[str, str]:
    """For each import that is paused, by name, a remark if a scheduled start was skipped since."""
    since = {note.name: note.since for note in pauses if note.kind == "import"}
    notes = reader.schedule_notes(list(since)) if since else {}
    return {
        name: "; a scheduled start was skipped since then"
        for name, note in notes.items()
        if note.skipped_at is not None and note.skipped_at >= since[name]
    }


def _notes(reader: FrontierReader, configured: Configured | None, refusals: Mapping[str, str]) -> Iterator[Trouble]:
    """Remarks that need not be problems.

    refusals: imports that cannot start, which were reported.
    """
    if configured is None:
        return
    if not any(each.every for each in configured.imports.values()):
        yield Trouble(who="crawlerd", text="nothing is scheduled: no import has a `schedule`", grave=False)
    known = reader.known_imports(MOST_LOOKED)
    if len(known) < MOST_LOOKED:
        gone = [name for name in known if name not in configured.imports]
        scheduled = {name for name, each in configured.imports.items() if each.every}
        fresh = sorted(scheduled.difference(known, refusals))
        runs_not = "has not run yet" if len(fresh) == 1 else "have not run yet"
        for names, text in ((gone, "not configured any more"), (fresh, runs_not)):
            if names:
                yield Trouble(who=_several("import", names), text=text, grave=False)


def _several(kind: str, names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return f"{kind}{'s' * (len(names) > 1)} {', '.join(names[:NAMED])}{more}"
