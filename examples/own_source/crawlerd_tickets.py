"""The source tickets: tickets that have changed since the last run, and the comments of each."""

from collections.abc import Iterator
from dataclasses import dataclass

from crawlerd.source import Api, Cursor, Identity, Output, Record, RunPlan, Source, TaskArgs

source = Source(
    "tickets",
    base_url="https://tickets.example.com",
    streams=["tickets", "comments"],
    limits=["10/second"],
    auth=lambda key: {"Authorization": f"Bearer {key}"},
)


@dataclass(frozen=True)
class Tickets(TaskArgs, kind="tickets.tickets"):
    since: int
    comments: bool
    after: str | None = None


@dataclass(frozen=True)
class Comments(TaskArgs, kind="tickets.comments"):
    ticket: str


@dataclass(frozen=True)
class Me(TaskArgs, kind="tickets.me"):
    pass


@source.starts
def first_tasks(plan: RunPlan) -> Iterator[Tickets]:
    since = 0 if plan.full else int(plan.cursors.get("tickets", 0))
    yield Tickets(since, comments="comments" in plan.streams)


@source.handles(Tickets, sequential=True)
def tickets(api: Api, args: Tickets) -> Iterator[Output]:
    """The oldest change comes first, so the last page has the newest; what changes meanwhile comes again next time."""
    page = api.get("/v1/tickets", {"changed_since": args.since, "after": args.after})
    for ticket in page["tickets"]:
        yield Record("tickets", ticket["id"], ticket)
        yield Cursor("tickets", str(ticket["changed_at"]))
        if args.comments:
            yield Comments(ticket["id"])
    if page["more"]:
        yield Tickets(args.since, args.comments, after=page["tickets"][-1]["id"])


@source.handles(Comments)
def comments(api: Api, args: Comments) -> Iterator[Output]:
    for comment in api.get(f"/v1/tickets/{args.ticket}/comments")["comments"]:
        yield Record("comments", comment["id"], comment)


@source.tests(Me())
def me(api: Api, args: Me) -> Iterator[Output]:
    yield Identity(api.get("/v1/me")["name"])
