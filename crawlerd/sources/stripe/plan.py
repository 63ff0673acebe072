"""How a run begins; and the accounts connected to a platform's account, each of which is read like it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from crawlerd.source import Api, Cursor, ForPart, Full, Gather, Output, RunPlan, TaskArgs
from crawlerd.sources.stripe.answers import CursorGone, created, listed
from crawlerd.sources.stripe.catalogue import LISTS, OF_PLATFORM, deletions, is_silent
from crawlerd.sources.stripe.loading import SKEW, Begin, Mark
from crawlerd.sources.stripe.paging import PAGE, once_more
from crawlerd.sources.stripe.stripe_api import VERSION, stripe, version_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DAY = 86_400
MAX_GAP = 28 * DAY  # seconds; Stripe keeps events for 30 days
CONNECTED = "connected"  # the cursor of all connected accounts
SIDE_BY_SIDE = 20  # connected accounts that are read at once, and one more for each hundred

log = logging.getLogger(__name__)


@stripe.starts
def first_tasks(plan: RunPlan) -> Iterable[TaskArgs | Full]:
    """Streams that were loaded before are followed. The others are loaded, and all if too much time has passed."""
    marks: dict[str, Mark] = {}
    for stream in plan.streams if not plan.full else ():
        if stream in plan.cursors:
            marks[stream] = msgspec.json.decode(plan.cursors[stream], type=Mark)
    late = [stream for stream, mark in marks.items() if plan.started_at - mark.noted > MAX_GAP]
    if late:
        days = (plan.started_at - min(marks[stream].noted for stream in late)) / DAY
        why = f"the last one ended clean {days:.0f} days ago, and events only go back 28 days"
        log.warning("stripe: a full load of %s: %s", ", ".join(late), why)
        yield Full(why, late)
    version = version_of(plan.account_options)
    other = [stream for stream, mark in marks.items() if mark.version != version]
    if other:
        why = f"it was read with version {marks[other[0]].version} of the API, and this is {version}"
        log.warning("stripe: a full load of %s: %s", ", ".join(other), why)
        yield Full(why, other)
    lone = [stream for stream in marks.keys() - {*late, *other} if deletions([stream]) and not marks[stream].parents]
    if lone:
        yield Full("an earlier version of crawlerd has not noted what its records lie below", sorted(lone))
    fresh = {stream: mark for stream, mark in marks.items() if stream not in {*late, *other, *lone}}
    if marks:
        if new := [stream for stream in plan.streams if stream not in marks]:
            yield Full("there is no sync point of it yet", new)
        if silent := [stream for stream in fresh if is_silent(stream)]:
            yield Full("Stripe does not report its changes", silent)
    if not plan.streams:
        return
    if plan.account_options.get("connected_accounts") or (plan.options and plan.options.connected_accounts):
        yield _connected(plan)
    yield Begin(
        plan.started_at,
        load=tuple(stream for stream in plan.streams if stream not in fresh),
        follow=tuple(fresh),
        since=min((mark.event for mark in fresh.values()), default=0),
        growth=int(min((mark.noted for mark in fresh.values()), default=0)),
    )


def _connected(plan: RunPlan) -> Connected:
    streams = tuple(stream for stream in plan.streams if stream not in OF_PLATFORM)
    value = None if plan.full else plan.cursors.get(CONNECTED)
    mark = None if value is None else msgspec.json.decode(value, type=ConnectedMark)
    since = None
    known = mark is not None and (mark.parents or not deletions(streams))
    if mark and known and mark.version == version_of(plan.account_options) and set(streams) <= set(mark.streams):
        if plan.started_at - mark.noted <= MAX_GAP:
            since = mark.noted
        else:
            log.warning("stripe: a full load of the connected accounts: events only go back 28 days")
    return Connected(plan.started_at, streams, since)


class ConnectedMark(msgspec.Struct, frozen=True):
    """What was read of the connected accounts, up to when, by our clock."""

    streams: tuple[str, ...]
    noted: float
    version: str = VERSION
    parents: bool = False  # as in a Mark


@dataclass(frozen=True)
class Connected(TaskArgs, kind="stripe.connected"):
    """One page of the connected accounts, of which `streams` are read. They are followed since `since`, by our
    clock."""

    noted: float
    streams: tuple[str, ...]
    since: float | None = None
    starting_after: str | None = None
    restarts: int = 0


@dataclass(frozen=True)
class OneByOne(TaskArgs, kind="stripe.one_by_one"):
    """Connected accounts, each to be read after the one before it, so that many thousands take little memory.

    accounts: of each, its id and when it was connected.
    """

    noted: float
    streams: tuple[str, ...]
    since: float | None
    accounts: tuple[tuple[str, int], ...]


@stripe.handles(Connected, stream="accounts", bucket="accounts", sequential=True)
def connected(api: Api, args: Connected) -> Iterator[Output]:
    """The first page's accounts are read in parallel, those of each other page one by one."""
    path = LISTS["accounts"].path
    try:
        accounts, more = listed(api.get(path, {"limit": PAGE, "starting_after": args.starting_after}))
    except CursorGone:
        yield replace(args, starting_after=None, restarts=once_more(args.restarts, path))
        return
    if args.starting_after is None and not args.restarts:
        mark = ConnectedMark(args.streams, args.noted, version_of(api.options), parents=True)
        yield Cursor(CONNECTED, msgspec.json.encode(mark).decode())
    pairs = tuple((each["id"], created(each.get("created")) or int(args.noted)) for each in accounts)
    lines = min(len(pairs), SIDE_BY_SIDE if args.starting_after is None else 1)
    for line in range(lines):
        yield OneByOne(args.noted, args.streams, args.since, pairs[line::lines])
    if more:
        yield replace(args, starting_after=accounts[-1]["id"])


@stripe.handles(OneByOne, stream="accounts", bucket="accounts", unique=True, cost=0)
def one_by_one(api: Api, args: OneByOne) -> Iterator[Output]:
    (account, connected_at), *others = args.accounts
    if args.since is not None and connected_at < args.since - SKEW:
        second = int(args.since) - SKEW
        begins = Begin(args.noted, (), args.streams, second, int(args.since), marks=False)
    else:
        begins = Begin(args.noted, args.streams, marks=False)
    if others:
        yield Gather([ForPart(account, begins)], replace(args, accounts=tuple(others)))
    else:
        yield ForPart(account, begins)
