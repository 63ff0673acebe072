"""Mailchimp Marketing: lists and their members."""

from __future__ import annotations

from base64 import b64encode
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec

from crawlerd.core.durations import parse_duration
from crawlerd.source import (
    Api,
    Cursor,
    Full,
    Gather,
    Identity,
    Limits,
    Output,
    Permanent,
    RunPlan,
    Source,
    Sweep,
    TaskArgs,
)
from crawlerd.sources.mailchimp import activity, marketing
from crawlerd.sources.mailchimp.answers import address, classify
from crawlerd.sources.mailchimp.missing import Comparing, registers
from crawlerd.sources.mailchimp.options import MailchimpImport
from crawlerd.sources.mailchimp.pages import PAGE, Page, behind, is_last, page_of, seconds, tail_of, time_of, time_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from crawlerd.source import FirstOutput

OVERLAP_SECONDS = 60.0  # read again before the last change that was read, since changes may appear late

mailchimp = Source(
    "mailchimp",
    base_url="https://DC.api.mailchimp.com/3.0",
    address=address,
    streams=["lists", "members"],
    optional=marketing.STREAMS,
    limits=Limits(concurrency=10),
    auth=lambda key: {"Authorization": f"Basic {b64encode(f'crawlerd:{key}'.encode()).decode()}"},
    classify=classify,
    import_options=MailchimpImport,
    since=["lists", "members", *activity.STREAMS],  # each run reads all lists
    needs={"*": {"id": "the key of its records"}, "members": {"last_changed": "its sync point"}},
)
marketing.registers(mailchimp)


@dataclass(frozen=True)
class Account(TaskArgs, kind="mailchimp.account"):
    """The owner of the key."""


@mailchimp.guards(Account())
def account(api: Api, args: Account) -> Iterator[Output]:
    try:
        body = api.get("/", {"fields": "account_id"})
    except Permanent:  # a key without this permission may still read lists
        return
    if isinstance(body, dict) and isinstance(name := body.get("account_id"), str) and name:
        yield Identity(name)


class Synced(msgspec.Struct, frozen=True):
    """How far a list's members have been read: the value of a cursor.

    since: the last change that was read, of those before the run began.
    """

    since: str = ""


@dataclass(frozen=True)
class Job:
    """What a run does with the members of each list.

    started: when the run began, in the API's format.
    whole: reads everything, not only what has changed.
    second: reads a list once more in the run, since something was missing.
    """

    started: str
    whole: bool = False
    second: bool = False


@dataclass(frozen=True)
class Members(TaskArgs, kind="mailchimp.members"):
    """One page of a list's members, by the time of their last change.

    Offsets lose rows while a list changes, since edited members move to the end. So a page requests what has changed
    since `since`, a time up to which everything was read. The last time on it is read again by the next page, because
    it may be incomplete. Only if a page has a single time, `skip` counts within it. It then begins at the `tail` of
    what was read: as long as one of those members is found, none was lost in between.

    newest: the last change that was read, of those before the run.
    """

    list: str
    job: Job
    since: str = ""
    skip: int = 0
    tail: tuple[str, ...] = ()
    newest: str = ""


def _first_page(key: str, job: Job, known: Mapping[str, Synced]) -> Members:
    synced = known.get(key) or known.get("") or Synced()
    overlap = time_text(seconds(synced.since) - OVERLAP_SECONDS) if synced.since else ""
    return Members(key, job, since="" if job.whole else overlap, newest="" if job.whole else synced.since)


@mailchimp.handles(Members, sequential=True)
def members(api: Api, args: Members) -> Iterator[Output]:
    path = f"/lists/{quote(args.list, safe='')}/members"
    page = page_of(api, path, "members", "last_changed", args.skip, args.since)
    stamps = _stamps(page, args.since)
    times = [seconds(each) if each else 0.0 for each in stamps]
    if any(later < earlier for earlier, later in pairwise(times)):
        raise Permanent(f"{path} is not in the requested order, by last_changed")
    unread = behind(args.tail, page)
    if unread is None and args.skip:  # more was edited or deleted since the last page than the tail is long
        yield replace(args, skip=max(0, args.skip - PAGE // 2))
        return
    done = bisect_right(times, seconds(args.since)) if args.since else 0  # whether `since` is inclusive or not
    last, following = len(page), None
    if not is_last(page, args.skip):
        cut = bisect_left(times, times[-1])
        if cut > done:
            last, following = cut, replace(args, since=stamps[cut - 1], skip=0, tail=())
        else:
            tail = tail_of(page)
            following = replace(args, skip=args.skip + len(page) - len(tail), tail=tail)
    unread = max(unread or 0, done)
    if args.job.whole and not all(page.ids):
        yield Unread(f"{path} has members without id: see the skipped ones")
    # With a time given, the API may leave out a member without a time of change, so it is taken wherever it appears.
    places = [at for at in range(len(page)) if unread <= at < last or time_of(page.times[at]) is None]
    # its time does not mean that other members with the neighbor's time were taken
    upto = stamps[last - 1] if last else args.since
    taken = [stamps[at] if at < last else upto for at in places]
    yield from _take(args, page.select(places), taken, following, path)


def _stamps(page: Page, since: str) -> list[str]:
    """The times of change; for one that cannot be read, that of the member before, or of the next one."""
    read = [each if time_of(each) is not None else "" for each in page.times]
    stamp = next(filter(None, read), since)
    stamps = []
    for each in read:
        stamp = each or stamp
        stamps.append(stamp)
    return stamps


def _take(args: Members, page: Page, stamps: list[str], following: Members | None, path: str) -> Iterator[Output]:
    """The output for the members of a page, and what follows it.

    stamps: their times of change.
    """
    job = args.job
    times = [seconds(each) if each else 0.0 for each in stamps]
    begun = bisect_left(times, seconds(job.started))  # these have changed since the run began
    late = begun < len(times)
    newest = _later(args.newest, stamps[begun - 1]) if begun else args.newest or (job.started if late else "")
    yield page.records("members", f"{args.list}/", path)  # an address has the same id in each list
    if following is not None:
        yield replace(following, newest=newest)
    elif newest and not job.second:
        yield Cursor(f"members:{args.list}", msgspec.json.encode(Synced(newest)).decode())


def _later(one: str, other: str) -> str:
    return other if not one or (other and seconds(other) > seconds(one)) else one


@dataclass(frozen=True)
class Unread(TaskArgs, kind="mailchimp.unread"):
    """Becomes a dead letter: for an object without an id, nobody knows whether it was deleted, so nothing may be taken
    for deleted."""

    reason: str


@mailchimp.handles(Unread, cost=0)
def unread(api: Api, args: Unread) -> Iterator[Output]:
    raise Permanent(args.reason)


@dataclass(frozen=True)
class Lists(TaskArgs, kind="mailchimp.lists"):
    """One page of the account's lists.

    records: they are for the sink.
    only: the ids of these, () for all.
    job: what to do with their members, None for nothing.
    synced: how far those were read, by list; "" for others.
    """

    records: bool
    only: tuple[str, ...]
    job: Job | None
    synced: dict[str, Synced]
    skip: int = 0
    tail: tuple[str, ...] = ()


@mailchimp.handles(Lists, sequential=True)
def lists(api: Api, args: Lists) -> Iterator[Output]:
    page = page_of(api, "/lists", "lists", "date_created", args.skip)
    unread = behind(args.tail, page)
    if unread is None and args.skip:
        yield replace(args, skip=max(0, args.skip - PAGE // 2))
        return
    new = page.select(range(unread or 0, len(page)))
    if args.records:
        wanted = [at for at, key in enumerate(new.ids) if not args.only or key is None or key in args.only]
        yield new.select(wanted).records("lists", "", "/lists")
    if not all(new.ids):
        yield Unread("/lists has lists without id: see the skipped ones")
    for key in filter(None, new.ids) if args.job else ():
        assert args.job is not None  # noqa: S101 - for mypy
        yield _first_page(key, args.job, args.synced)
    if not is_last(page, args.skip):
        tail = tail_of(page)
        yield replace(args, skip=args.skip + len(page) - len(tail), tail=tail)


@dataclass(frozen=True)
class Swept(TaskArgs, kind="mailchimp.sweep"):
    """Everything was read: other records in the sink are deleted.

    prefixes: prefixes of the streams' keys.
    started: Unix seconds.
    """

    prefixes: tuple[tuple[str, str], ...]
    started: float


@mailchimp.handles(Swept, cost=0)
def sweep(api: Api, args: Swept) -> Iterator[Output]:
    for stream, prefix in args.prefixes:
        yield Sweep(stream, prefix)
    yield Cursor("sweep", str(args.started))


def _once_more(key: str) -> Members:
    return Members(key, Job(time_text(0.0), whole=True, second=True))


registers(mailchimp, Swept, _once_more)


@mailchimp.starts
def first_pages(plan: RunPlan) -> Iterable[FirstOutput]:
    """The first tasks. The first run and every `sweep` after it read everything, so that deletions are found; other
    runs read what has changed."""
    options = plan.options or MailchimpImport()
    only = () if options.wanted == ("*",) else options.wanted
    due = plan.started_at - float(plan.cursors.get("sweep", "-inf")) >= parse_duration(options.sweep)
    whole = plan.full or (due and not plan.ad_hoc)
    job = Job(time_text(plan.started_at), whole)
    of_lists, of_members = "lists" in plan.streams, "members" in plan.streams
    synced = _synced(plan.cursors) if plan.since is None else {"": Synced(time_text(plan.since))}
    tasks: list[TaskArgs] = []
    if of_lists or (of_members and not only):
        tasks.append(Lists(of_lists, only, job if of_members and not only else None, synced if not only else {}))
    if of_members:
        tasks += [_first_page(key, job, synced) for key in only]
    if whole and not plan.ad_hoc:
        streams = [("lists", each) for each in only or ("",) if of_lists]
        streams += [("members", f"{each}/" if each else "") for each in only or ("",) if of_members]
        if "sweep" in plan.cursors:
            yield Full(f"the last run that read everything was more than {options.sweep} ago")
        yield Gather(tasks, then=Comparing(tuple(streams), plan.started_at), if_dead="fail")
    else:
        yield from tasks
    yield from marketing.first_tasks(plan, only)


def _synced(cursors: Mapping[str, str]) -> dict[str, Synced]:
    """What earlier runs have published, by list."""
    names = ((name.partition(":"), value) for name, value in cursors.items())
    return {key: msgspec.json.decode(value, type=Synced) for (of, _, key), value in names if of == "members"}
