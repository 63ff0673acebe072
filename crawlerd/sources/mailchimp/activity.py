"""What each contact did with each campaign: opens, clicks, bounces.

A campaign's list has each contact with everything it did, or, if a time is given, what it did since then. So a record
is one event: it never changes, and is the same whether everything was requested or only the last days.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from crawlerd.core.lenient_json import parsed
from crawlerd.source import (
    Api,
    Cursor,
    ForParent,
    Full,
    Gather,
    NotFound,
    Output,
    ParentRead,
    Permanent,
    Record,
    RunPlan,
    Skip,
    Source,
    Sweep,
    TaskArgs,
)
from crawlerd.sources.mailchimp.pages import PAGE, Page, behind, is_last, tail_of, time_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from crawlerd.source import FirstOutput

STREAM = "email_activity"
STREAMS = (STREAM,)
OVERLAP_SECONDS = 3_600.0  # read again before the last run's start, since an event may appear late


@dataclass(frozen=True)
class Sent(TaskArgs, kind="mailchimp.sent"):
    """One page of the campaigns that were sent.

    since: only events since this time, in the API's format; "" for all.
    noted: of campaigns that were read to their end before, only events since `since`; of others all. Otherwise the same
        for each.
    """

    since: str = ""
    noted: bool = True
    skip: int = 0
    tail: tuple[str, ...] = ()


@dataclass(frozen=True)
class Activity(TaskArgs, kind="mailchimp.email_activity"):
    """One page of the contacts of a campaign that did something.

    noted: it is recorded that the campaign was read to its end.
    second: the campaign is read again in the run, since something was missing.
    """

    campaign: str
    since: str = ""
    noted: bool = True
    second: bool = False
    skip: int = 0
    tail: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unread(TaskArgs, kind="mailchimp.activity_unread"):
    """Becomes a dead letter: something could not be read, so nothing may be taken for deleted."""

    reason: str


@dataclass(frozen=True)
class Read(TaskArgs, kind="mailchimp.activity_read"):
    """All campaigns were read.

    whole: with everything since their beginning.
    started: the run's start, in the API's format.
    """

    whole: bool
    started: str


@dataclass(frozen=True)
class Compared(TaskArgs, kind="mailchimp.activity_compared"):
    pass


@dataclass(frozen=True)
class Missing(TaskArgs, kind="mailchimp.activity_missing"):
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Swept(TaskArgs, kind="mailchimp.activity_swept"):
    started: str


def first_tasks(plan: RunPlan) -> Iterable[FirstOutput]:
    if STREAM not in plan.streams:
        return
    if plan.since is not None:
        yield Sent(time_text(plan.since), noted=False)
        return
    cursor = "" if plan.full else plan.cursors.get(STREAM, "")
    since = time_text(datetime.fromisoformat(cursor).timestamp() - OVERLAP_SECONDS) if cursor else ""
    if not since and plan.cursors and not plan.full:
        yield Full("no sync point", STREAMS)
    yield Gather([Sent(since)], then=Read(not since, time_text(plan.started_at)), if_dead="fail")


def registers(source: Source) -> None:
    source.handles(Sent, stream=STREAM, bucket="reports", sequential=True)(sent)
    source.handles(Activity, stream=STREAM, sequential=True)(activity)
    free: dict[str, Any] = {"stream": STREAM, "bucket": "sweep", "cost": 0}
    source.handles(Unread, **free)(unread)
    source.handles(Read, **free)(read)
    source.handles(Compared, **free)(compared)
    source.handles(Missing, **free)(missing)
    source.handles(Swept, **free)(swept)


def sent(api: Api, args: Sent) -> Iterator[Output]:
    parameters = {"fields": "reports.id,total_items", "count": PAGE, "offset": args.skip}
    page = _page(api, "/reports", "reports", "id", parameters)
    unread = behind(args.tail, page)
    if unread is None and args.skip:  # more has moved since the last page than the tail is long
        yield replace(args, skip=max(0, args.skip - PAGE // 2))
        return
    for key in page.ids[unread or 0 :]:
        if key is None:
            yield Unread("/reports has a report without id")
        elif args.noted and args.since:
            yield ForParent(STREAM, key, since=Activity(key, args.since), full=Activity(key))
        else:
            yield Activity(key, args.since, args.noted)
    if not is_last(page, args.skip):
        tail = tail_of(page)
        yield replace(args, skip=args.skip + len(page) - len(tail), tail=tail)


def activity(api: Api, args: Activity) -> Iterator[Output]:
    path = f"/reports/{quote(args.campaign, safe='')}/email-activity"
    parameters = {"exclude_fields": "emails._links,_links", "count": PAGE, "offset": args.skip}
    try:
        page = _page(api, path, "emails", "email_id", {**parameters, "since": args.since or None})
    except NotFound:  # the campaign was deleted since it was listed
        return
    unread = behind(args.tail, page)
    if unread is None and args.skip:
        yield replace(args, skip=max(0, args.skip - PAGE // 2))
        return
    odd = 0
    for at in range(unread or 0, len(page)):
        for output in _events(args.campaign, page.ids[at], page.objects[at], f"{path} #{args.skip + at}"):
            odd += isinstance(output, Skip)
            yield output
    if odd and not args.since:
        yield Unread(f"{path} has {odd} contacts or events that could not be read: see the skipped ones")
    if not is_last(page, args.skip):
        tail = tail_of(page)
        yield replace(args, skip=args.skip + len(page) - len(tail), tail=tail)
    elif args.noted and not args.second:
        yield ParentRead(STREAM, args.campaign)


def _events(campaign: str, contact: str | None, text: bytes, place: str) -> Iterator[Record | Skip]:
    """What a contact did.

    text: as the API wrote it.
    """
    try:
        email = parsed(text)
    except (ValueError, RecursionError) as error:
        yield Skip(STREAM, place, str(error))
        return
    events = email.get("activity")
    if contact is None or not isinstance(events, list):
        yield Skip(STREAM, place, "no email_id, or no list `activity`")
        return
    common = {key: value for key, value in email.items() if key not in ("activity", "_links")}
    for event in events:
        if not isinstance(event, dict) or not isinstance(event.get("timestamp"), str):
            yield Skip(STREAM, place, "an event without timestamp")
            continue
        # Several links may be clicked in one second. If all of these fields are equal, it is one event.
        what = [event.get(name) for name in ("url", "type", "ip")]
        digest = blake2b(msgspec.json.encode(what), digest_size=6).hexdigest()
        key = f"{campaign}/{contact}/{event['timestamp']}/{event.get('action')}/{digest}"
        yield Record(STREAM, key, {**common, "campaign_id": campaign, **event})


def unread(api: Api, args: Unread) -> Iterator[Output]:
    raise Permanent(args.reason)
    yield


def read(api: Api, args: Read) -> Iterator[Output]:
    if args.whole:
        yield Gather([Compared()], then=Swept(args.started), if_dead="fail")
    else:
        yield Cursor(STREAM, args.started)


def compared(api: Api, args: Compared) -> Iterator[Output]:
    yield Sweep(STREAM, otherwise=Missing())


def missing(api: Api, args: Missing) -> Iterator[Output]:
    """Reads every campaign that lacks something once more, completely."""
    for campaign in dict.fromkeys(key.partition("/")[0] for key in args.missing):
        yield Activity(campaign, second=True)
    if args.missing:
        yield Sweep(STREAM, otherwise=Missing(), after=args.missing[-1])


def swept(api: Api, args: Swept) -> Iterator[Output]:
    yield Sweep(STREAM)
    yield Cursor(STREAM, args.started)


def _page(api: Api, path: str, what: str, name: str, parameters: dict[str, Any]) -> Page:
    objects, also = api.listing(path, parameters, at=what, wanted=[name], also=["total_items"])
    ids = [each if isinstance(each, str) and each else None for each in objects.column(name)]
    total = also["total_items"]
    return Page(objects, ids, [""] * len(ids), total if isinstance(total, int) else 0)
