"""The test kit for sources: it passes right ones, and finds each way in which one can be wrong."""

from __future__ import annotations

import contextlib
import itertools
import json
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import responses
from support.aws_proxy import AwsProxy, organization
from support.mailchimp_api import KEY, Mailchimp
from support.rest_api import RestApi, objects

from crawlerd.core.errors import CrawlerdError
from crawlerd.demo.objects import STREAMS, expected
from crawlerd.demo.server import Fault, running
from crawlerd.source import (
    Api,
    Cursor,
    ForParent,
    Gather,
    Identity,
    Orphans,
    Output,
    ParentRead,
    Record,
    Response,
    RunPlan,
    Skip,
    Source,
    Sweep,
    TaskArgs,
    Transient,
)
from crawlerd.sources.aws.contacts import aws_contacts
from crawlerd.sources.mailchimp.members import MailchimpImport, mailchimp
from crawlerd.sources.rest import make
from crawlerd.sources.stripe import stripe
from crawlerd.sources.stripe.stripe_api import Connect
from crawlerd.testing import check
from crawlerd.testing.crawl import MOST_IDLE, MOST_TASKS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from crawlerd.demo.server import Server

API = "https://api.shop.example"
ITEMS = [{"id": f"i{number}", "number": number} for number in range(25)]
DECLARED = """
name = "api"
auth = { type = "none" }

[endpoints.items]
path = "/body/items"
records = "data"
paginator = { type = "cursor_in_body", cursor = "meta.next", parameter = "from" }

[endpoints.parts]
parent = "items"
path = "/link/items/{parent.id}/parts"
paginator = { type = "link_header" }
"""
EVERYTHING = {"items": {item["id"]: item for item in ITEMS}}


@dataclass(frozen=True)
class Page(TaskArgs, kind="shop.items"):
    cursor: int = 0


Handler = Any


def shop(handler: Handler, **options: Any) -> Source:
    """A source with one handler, which answers for `ITEMS` in pages of 10."""
    source = Source("shop", base_url=API, streams=["items"], **options)
    source.handles(Page, sequential=True)(handler)
    source.starts(lambda plan: [Page()])
    return source


def records(page: Any) -> Iterator[Record]:
    for item in page["data"]:
        yield Record("items", item["id"], item)


def onward(page: Any) -> Iterator[Page]:
    if page["next"]:
        yield Page(page["next"])


def right(api: Api, args: Page) -> Iterator[Output]:
    page = api.get("/items", {"from": args.cursor})
    yield from records(page)
    yield from onward(page)


@pytest.fixture(autouse=True)
def _api() -> Iterator[None]:
    def page(request: Any) -> tuple[int, dict[str, str], str]:
        first = int(request.params.get("from", 0))
        following = first + 10 if first + 10 < len(ITEMS) else None
        return 200, {}, json.dumps({"data": ITEMS[first : first + 10], "next": following})

    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.add_callback("GET", f"{API}/items", page)
        mock.add_passthru("http://127.0.0.1")
        yield


def problems(source: Source) -> str:
    with pytest.raises(AssertionError) as caught:
        check(source)
    return str(caught.value)


def test_a_right_source_passes_and_tells_what_it_imports() -> None:
    assert check(shop(right)) == EVERYTHING


def asks_twice(api: Api, args: Page) -> Iterator[Output]:
    yield from right(api, args)
    with contextlib.suppress(RuntimeError):
        api.get("/more")


def remembers_where_it_was() -> Handler:
    place = itertools.count(0, 10)

    def handler(api: Api, args: Page) -> Iterator[Output]:
        page = api.get("/items", {"from": next(place)})
        yield from records(page)
        yield from onward(page)

    return handler


def remembers_what_it_saw() -> Handler:
    seen: set[str] = set()

    def handler(api: Api, args: Page) -> Iterator[Output]:
        page = api.get("/items", {"from": args.cursor})
        yield from (each for each in records(page) if each.key not in seen)
        seen.update(each["id"] for each in page["data"])
        yield from onward(page)

    return handler


def notes_the_time() -> Handler:
    clock = itertools.count()

    def handler(api: Api, args: Page) -> Iterator[Output]:
        page = api.get("/items", {"from": args.cursor})
        for item in page["data"]:
            yield Record("items", item["id"], {**item, "imported": next(clock)})
        yield from onward(page)

    return handler


def turns_in_a_circle(api: Api, args: Page) -> Iterator[Output]:
    page = api.get("/items", {"from": args.cursor})
    yield from records(page)
    yield Page(page["next"] or 0)


def never_ends(api: Api, args: Page) -> Iterator[Output]:
    yield Page(args.cursor + 1)


def never_ends_with_new_records(api: Api, args: Page) -> Iterator[Output]:
    yield Record("items", f"{args.cursor}", {})
    yield Page(args.cursor + 1)


def yields_what_json_cannot_hold(api: Api, args: Page) -> Iterator[Output]:
    for each in right(api, args):
        yield Record("items", each.key, {"of": each.data, "at": object()}) if isinstance(each, Record) else each


def yields_nan(api: Api, args: Page) -> Iterator[Output]:
    for each in right(api, args):
        yield Record("items", each.key, {"n": [{"m": float("nan")}]}) if isinstance(each, Record) else each


def yields_to_another_stream(api: Api, args: Page) -> Iterator[Output]:
    yield from right(api, args)
    yield Record("others", "o1", {})


def one_key_for_all(api: Api, args: Page) -> Iterator[Output]:
    for each in right(api, args):
        yield Record("items", "item", each.data) if isinstance(each, Record) else each


def swallows_errors(api: Api, args: Page) -> Iterator[Output]:
    try:
        page = api.get("/items", {"from": args.cursor})
    except CrawlerdError:
        return
    yield from records(page)
    yield from onward(page)


def parses_by_itself(api: Api, args: Page) -> Iterator[Output]:
    page = json.loads(api.request("GET", "/items", params={"from": args.cursor}).body)
    yield from records(page)
    yield from onward(page)


def sweeps_what_it_has_not_read(api: Api, args: Page) -> Iterator[Output]:
    page = api.get("/items", {"from": args.cursor})
    yield from records(page)
    yield from (Page(first) for first in (10, 20) if not args.cursor)
    if args.cursor == 10:
        yield Sweep("items", "i2")


def fails(api: Api, args: Page) -> Iterator[Output]:
    raise KeyError("data")
    yield


WRONG: dict[str, tuple[Callable[[], Handler], str]] = {
    "second request": (lambda: asks_twice, "shop.items: 2 requests in one task"),
    "paging in memory": (remembers_where_it_was, "in another order, 25 records are missing"),
    "memory of keys": (remembers_what_it_saw, "after the next run|when each task crashes once"),
    "time in data": (notes_the_time, "performed twice, it is not the same: other records"),
    "circle": (lambda: turns_in_a_circle, 'paging returns to an earlier page: {"cursor":0}'),
    "endless": (lambda: never_ends, f"paging does not end: nothing new for {MOST_IDLE:,} tasks"),
    "endless news": (lambda: never_ends_with_new_records, f"paging does not end: more than {MOST_TASKS:,} tasks"),
    "unserializable": (lambda: yields_what_json_cannot_hold, "the record 'i0' of items cannot be serialized"),
    "nan": (lambda: yields_nan, "the record 'i0' of items has NaN or an infinity"),
    "other stream": (lambda: yields_to_another_stream, "records of others, a stream that was not requested"),
    "one key": (lambda: one_key_for_all, "two records of items have the key 'item'"),
    "swallowed": (lambda: swallows_errors, "500: it must be tried again (Transient), but: it counted as done"),
    "own parsing": (lambda: parses_by_itself, "a body that is cut off: it must be tried again"),
    "early sweep": (lambda: sweeps_what_it_has_not_read, "items i20 comes after the sweep of its stream"),
    "dead": (lambda: fails, "shop.items {\"cursor\":0}: a dead letter: unexpected KeyError: 'data'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_a_handler_is_found(name: str) -> None:
    make, wanted = WRONG[name]
    said = problems(shop(make()))
    assert any(each in said for each in wanted.split("|")), said


@dataclass(frozen=True)
class Ended(TaskArgs, kind="shop.ended"):
    missing: tuple[str, ...] = ()


@responses.activate
def test_what_lies_below_a_parent_that_is_gone_is_not_there() -> None:
    responses.get(f"{API}/items", json={"data": [{"id": "i1"}, {"id": "i2"}, {"id": "i3"}]})
    source = Source("shop", base_url=API, streams=["items"])
    asked: list[str] = []

    @source.starts
    def first(plan: RunPlan) -> Iterator[Gather]:
        yield Gather([Page()], Ended())

    @source.handles(Page, sequential=True)
    def page(api: Api, args: Page) -> Iterator[Output]:
        for place, each in enumerate(api.get("/items")["data"]):
            yield Record("items", each["id"], each, parent="pq"[place % 2])

    @source.handles(Ended, cost=0)
    def ended(api: Api, args: Ended) -> Iterator[Output]:
        asked.extend(args.missing)
        yield Orphans("items", "q")
        if not args.missing:
            yield Orphans("items", "p", otherwise=Ended())

    assert check(source) == {"items": {"i1": {"id": "i1"}, "i3": {"id": "i3"}}}
    assert asked == []  # all below p was read


def test_a_request_that_no_limit_counts_is_found() -> None:
    source = Source("shop", base_url=API, streams=["items"])
    source.handles(Page, sequential=True, cost=0)(right)
    source.starts(lambda plan: [Page()])
    assert "a task whose kind has cost 0 makes no request" in problems(source)


def test_only_what_is_wrong_is_told() -> None:
    lines = problems(shop(swallows_errors)).splitlines()
    assert lines[0] == "the source shop:"
    named = [line.removeprefix("- shop.items: ").partition(":")[0] for line in lines[1:]]
    assert named == ["401", "429", "429 with Retry-After", "500", "a body that is cut off"]


def classify_to(error: Exception, *statuses: int) -> Callable[[Response], Exception | None]:
    return lambda response: error if response.status in statuses else None


@pytest.mark.parametrize(
    ("statuses", "named"),
    [
        ([401], "401: the account must be paused"),
        ([403], "403: the stream must be denied"),
        ([404], "404: it must be a dead letter"),
        ([429], "429 with Retry-After: 7: it must be throttled (Throttled) for 7 s"),
    ],
)
def test_errors_that_are_taken_for_others(statuses: list[int], named: str) -> None:
    said = problems(shop(right, classify=classify_to(Transient("later"), *statuses)))
    assert f"shop.items: {named}, but: tried again: Transient: later" in said or "tried again" in said.split(named)[1]


def test_a_run_that_begins_and_ends_with_groups() -> None:
    @dataclass(frozen=True)
    class Last(TaskArgs, kind="shop.last"):
        pass

    source = shop(right)
    source.starts(lambda plan: [Gather([Page()], Last())])

    @source.handles(Last)
    def last(api: Api, args: Last) -> Iterator[Output]:
        yield Sweep("items")
        yield Skip("items", "i99", "not ours")

    assert check(source) == EVERYTHING


def test_a_later_run_that_begins_where_the_first_ended_changes_nothing() -> None:
    def incremental(wrong: bool) -> Source:
        def handler(api: Api, args: Page) -> Iterator[Output]:
            yield from right(api, args)
            yield Cursor("items", f"{args.cursor + 5:03}", greatest=True)

        source = shop(handler)

        @source.starts
        def first(plan: RunPlan) -> Iterator[Output]:
            since = int(plan.cursors.get("items", 0))
            if since and wrong:
                yield Gather([], Swept())
            elif since < len(ITEMS):
                yield Page(since)

        @source.handles(Swept)
        def swept(api: Api, args: Swept) -> Iterator[Output]:
            yield Sweep("items")

        return source

    @dataclass(frozen=True)
    class Swept(TaskArgs, kind="shop.swept"):
        pass

    assert check(incremental(wrong=False)) == EVERYTHING
    assert "after the next run, 25 records are missing, such as items i0" in problems(incremental(wrong=True))


def test_guards_and_starts_are_checked_too() -> None:
    @dataclass(frozen=True)
    class Who(TaskArgs, kind="shop.who"):
        pass

    def guarded(*outputs: Output) -> Source:
        source = shop(right)

        @source.guards(Who())
        def who(api: Api, args: Who) -> Iterator[Output]:
            api.get("/items")
            yield from outputs

        return source

    assert check(guarded(Identity("me"))) == EVERYTHING
    assert "shop.who: guards the account, but yields no Identity" in problems(guarded())
    source = shop(right)
    source.starts(lambda plan: [Page()] if plan.cursors["x"] else [])
    assert "cannot begin: KeyError: 'x'" in problems(source)


def test_an_api_that_fails_is_told_with_the_task() -> None:
    with running(accounts=1, customers=5, rate=0) as server:
        server.control(Fault("500", endpoint="charges"))
        with pytest.raises(AssertionError, match=r"stripe\.charges .*tried again: Transient: HTTP 500"):
            check(stripe, base_url=server.url, secret=server.key(1), streams=["charges"])


def test_stripe(quiet_api: Server) -> None:
    found = check(stripe, base_url=quiet_api.url, secret=quiet_api.key(1))
    for stream in STREAMS:
        assert found.get(stream, {}) == dict(expected(1, stream, 40)), stream


def test_stripe_with_connected_accounts() -> None:
    with running(accounts=1, customers=5, connected=2, rate=0) as server:
        found = check(
            stripe,
            base_url=server.url,
            secret=server.key(1),
            streams=["customers", "payment_methods"],
            import_options=Connect(connected_accounts=True),
        )
    parts = {stream.partition("/")[0] for stream in found if "/" in stream}
    assert len(parts) == 2
    assert all(found[f"{part}/customers"].keys() for part in parts)


def test_mailchimp() -> None:
    with Mailchimp({"a": 120, "b": 30}, most=50) as server:
        found = check(mailchimp, base_url=server.url, secret=KEY, import_options=MailchimpImport())
        assert found["members"].keys() == server.everything().keys()


def test_a_declared_source_with_a_list_below_another() -> None:
    with RestApi() as api:
        api.lists = {
            "/items": objects(12),
            "/items/*/parts": lambda parent: objects(11 if parent == "o5" else 1, f"{parent}-"),
        }
        found = check(make(tomllib.loads(DECLARED)), base_url=api.url)
    assert (len(found["items"]), len(found["parts"])) == (12, 22)


def test_aws() -> None:
    with organization(accounts=25, units=1, policies=0) as org, AwsProxy(org.address, limits={}) as proxy:
        proxy.management = "123456789012"
        options = {"endpoint_url": proxy.url}
        found = check(aws_contacts, secret="AKID:key", streams=["alternate_contacts"], options=options)
    assert {key: row.get("EmailAddress") for key, row in found["alternate_contacts"].items()} == org.truth["contacts"]


def test_what_a_later_run_does_not_find_is_asked_for_by_itself_and_by_its_keys_alone() -> None:
    """A list that has lost most of its objects on the second run, though they live."""

    @dataclass(frozen=True)
    class Compare(TaskArgs, kind="shop.compare"):
        after: str = ""

    @dataclass(frozen=True)
    class Lost(TaskArgs, kind="shop.lost"):
        missing: tuple[str, ...] = ()

    def lossy(wrong: bool) -> Source:
        source = shop(right)
        lost: list[tuple[str, ...]] = []

        @source.starts
        def first(plan: RunPlan) -> Iterator[Output]:
            yield Gather([Page(20 if plan.cursors else 0)], Compare())

        @source.handles(Compare, cost=0)
        def compare(api: Api, args: Compare) -> Iterator[Output]:
            yield Cursor("items", "1")
            yield Sweep("items", "i1", otherwise=Lost(), after="i14")

        @source.handles(Lost, cost=0)
        def ask(api: Api, args: Lost) -> Iterator[Output]:
            lost.append(args.missing)
            yield from (Record("items", key, None) for key in args.missing if wrong)

        found = check(source)
        assert found == EVERYTHING
        assert lost == [("i15", "i16", "i17", "i18", "i19")]
        return source

    lossy(wrong=False)
    with pytest.raises(AssertionError, match="after the next run, 5 records are missing, such as items i15"):
        lossy(wrong=True)


def test_a_list_below_a_parent_is_read_in_full_until_it_was_read_to_its_end() -> None:
    @dataclass(frozen=True)
    class Below(TaskArgs, kind="shop.below"):
        first: int
        last: int

    def by_shelves(whole: bool) -> tuple[Source, list[Below]]:
        source = shop(right)
        seen: list[Below] = []

        @source.starts
        def first(plan: RunPlan) -> Iterator[Output]:
            for shelf in (0, 5, 10, 15, 20):
                yield ForParent("shelves", str(shelf), since=Below(shelf, shelf), full=Below(shelf, shelf + 5))

        @source.handles(Below, unique=True)
        def below(api: Api, args: Below) -> Iterator[Output]:
            seen.append(args)
            page = api.get("/items", {"from": args.first})
            yield from list(records(page))[: args.last - args.first]
            yield ParentRead("shelves", str(args.first), whole=whole or args.first == 0)

        return source, seen

    source, seen = by_shelves(whole=True)
    assert check(source) == EVERYTHING
    assert seen[:5] == [Below(shelf, shelf + 5) for shelf in (0, 5, 10, 15, 20)]
    assert seen[-5:] == [Below(shelf, shelf) for shelf in (0, 5, 10, 15, 20)]
    source, seen = by_shelves(whole=False)
    assert check(source) == EVERYTHING
    assert seen[-5:] == [Below(0, 0), *(Below(shelf, shelf + 5) for shelf in (5, 10, 15, 20))]
