"""What each source makes of a page: any valid JSON, in any charset, comes as it is; what is odd is set aside alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import responses
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.json_texts import json_objects, json_texts

from crawlerd.clients.http import HttpClient
from crawlerd.core.configuration import AccountSpec
from crawlerd.core.jsontext import compact, with_members
from crawlerd.core.outcome import Complete
from crawlerd.core.task import Task
from crawlerd.engine import kinds
from crawlerd.engine.attempt import attempt
from crawlerd.sources.mailchimp.members import Job, Lists, Members, mailchimp
from crawlerd.sources.rest.endpoints import make
from crawlerd.sources.stripe.again import AGAIN
from crawlerd.sources.stripe.below import PAGES_BELOW
from crawlerd.sources.stripe.pages import PAGES
from crawlerd.sources.stripe.stripe_api import stripe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crawlerd.source import Source, TaskArgs

API = "https://api.example.com"
STARTED = "2026-01-01T00:00:00+00:00"
JOB = Job(STARTED)
REST = make(
    {
        "name": "shop",
        "endpoints": {
            "plain": {"path": "/plain", "records": "@"},
            "inside": {"path": "/inside", "records": "a.data"},
            "chosen": {"path": "/chosen", "records": "data[?id]"},
            "two": {"path": "/two", "records": "[].parts[]"},
        },
    }
)


def rest(name: str) -> tuple[Source, TaskArgs]:
    return REST, REST.kinds[f"shop.{name}"].args(wanted=(name,), started=0.0)


# source, task, path, what stands before and after the texts, the keys' prefix
PLACES: dict[str, tuple[Source, TaskArgs, str, str, str, str]] = {
    "stripe": (stripe, PAGES["charges"](("charges",)), "/v1/charges", '{"data":[', '],"has_more":false}', ""),
    "stripe, with more asked for": (
        stripe,
        PAGES["customers"](("customers", "customer_sources")),
        "/v1/customers",
        '{"data":[',
        '],"has_more":false}',
        "",
    ),
    "stripe, below": (
        stripe,
        PAGES_BELOW["persons"]("acct_1"),
        "/v1/accounts/acct_1/persons",
        '{"has_more":false, "data":[',
        "]}",
        "",
    ),
    "stripe, embedded": (
        stripe,
        PAGES["invoices"](("invoice_lines",)),
        "/v1/invoices",
        '{"data":[{"id":"in_1","lines":{"data":[',
        '],"has_more":false}}],"has_more":false}',
        "",
    ),
    "mailchimp": (mailchimp, Members("l", JOB), "/3.0/lists/l/members", '{"members":[', "]}", "l/"),
    "mailchimp, lists": (mailchimp, Lists(True, (), None, {}), "/3.0/lists", '{"x":1,"lists":[', "]}", ""),
    "rest": (*rest("plain"), "/plain", "[", "]", ""),
    "rest, inside": (*rest("inside"), "/inside", '{"a" : {"data":[', "]}}", ""),
    "rest, chosen": (*rest("chosen"), "/chosen", '{"data":[', "]}", ""),
    "rest, of two levels": (*rest("two"), "/two", '[{"parts":[', "]}]", ""),
}
ODD = [
    b'{"id":"odd","n":NaN}',
    b'{"id":"odd","n":[-Infinity]}',
    b'{"id":"odd","n":"\\ud800x"}',
    b'{"id":"odd","n":"\xff\xfe"}',
    b'{"id":"odd","n":"\xc3"}',
    b'{"id":"odd","n":' + b"[" * 1000 + b"]" * 1000 + b"}",
    b'{"id":"odd","n":' + b"[" * 4_000 + b"]" * 4_000 + b"}",
    b'{"id":null}',
    b'{"n":1}',
    b'{"id":""}',
]


@pytest.fixture(scope="module")
def client() -> Iterator[HttpClient]:
    client = HttpClient(connections=2)
    yield client
    client.close()


def performed(client: HttpClient, place: str, texts: list[bytes], charset: str = "") -> Complete:
    source, args, path, before, after, _ = PLACES[place]
    body = before.encode() + b",".join(texts) + after.encode()
    if charset:
        body = body.decode().encode(charset)
    base = API + ("/3.0" if source is mailchimp else "")
    account = AccountSpec(name="acme", source=source.name, base_url=base, secret="x-us1")
    task = kinds.new_task(source, args)
    with responses.RequestsMock() as mock:
        mock.get(API + path, body=body, content_type=f"application/json; charset={charset or 'utf-8'}")
        lease = Task(1, 1, 5, 1, task.kind, 0, task.payload)
        outcome = attempt(source, account, client.open(source, account), lease, jitter=0.5)
    assert isinstance(outcome, Complete), outcome
    return outcome


def kept(outcome: Complete) -> dict[str, bytes | None]:
    return {key: data for batch in outcome.batches for key, data in zip(batch.keys, batch.data, strict=True)}


@st.composite
def pages(draw: st.DrawFn) -> list[bytes]:
    """The texts of objects, some of which have more digits than anybody reads."""
    found = []
    for number, each in enumerate(draw(st.lists(json_objects(), max_size=4))):
        spaced = draw(st.booleans())
        each = {name: value for name, value in each.items() if name not in ("id", "last_changed", "sources")}
        text = draw(json_texts({**each, "id": f"o{number}", "last_changed": STARTED}, spaced=spaced))
        found.append(text)
    return found


@pytest.mark.parametrize("place", PLACES)
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pages(), st.data())
def test_objects_come_as_the_api_wrote_them(client: HttpClient, place: str, texts: list[bytes], data: Any) -> None:
    charset = data.draw(st.sampled_from(["", "utf-16", "utf-8-sig", "iso-8859-1", "windows-1252"]))
    try:
        b"".join(texts).decode().encode(charset or "utf-8").decode(charset or "utf-8")
    except UnicodeError:
        charset = ""
    outcome = performed(client, place, texts, charset)
    prefix = PLACES[place][-1]
    assert kept(outcome) == {f"{prefix}o{number}": compact(text) for number, text in enumerate(texts)}
    assert outcome.skipped == []


@pytest.mark.parametrize(
    ("place", "odd"),
    [
        pytest.param(place, odd, id=f"{number}-{place}")
        for number, odd in enumerate(ODD)
        for place in PLACES
        if place != "rest, chosen" or b'"odd"' in odd  # its expression leaves out what has no such id
    ],
)
def test_what_is_odd_is_set_aside_alone(client: HttpClient, place: str, odd: bytes) -> None:
    for at in range(3):
        texts = [
            b'{"id":"a","n":1.10,"last_changed":"2025-01-01"}',
            b'{"id":"b","x":1e999,"last_changed":"2025-01-02"}',
        ]
        texts.insert(at, odd)
        outcome = performed(client, place, texts)
        prefix = PLACES[place][-1]
        good = [text for text in texts if text is not odd]
        assert kept(outcome) == {f"{prefix}{key}": text for key, text in zip("ab", good, strict=True)}
        (skipped,) = outcome.skipped
        assert (skipped.key == f"{prefix}odd") == (b'"odd"' in odd)


def test_one_object_that_is_read_again_is_kept_as_it_is(client: HttpClient) -> None:
    source, task = stripe, kinds.new_task(stripe, AGAIN["customers"](("customers",), "cus_1"))
    account = AccountSpec(name="acme", source="stripe", base_url=API, secret="x")
    for text in (b'{"id":"cus_1","n":955031734.1681486901,"m":1e5}', b'{"id":"cus_1","n":NaN}'):
        with responses.RequestsMock() as mock:
            mock.get(f"{API}/v1/customers/cus_1", body=text)
            lease = Task(1, 1, 5, 1, task.kind, 0, task.payload)
            outcome = attempt(source, account, client.open(source, account), lease, jitter=0.5)
        assert isinstance(outcome, Complete)
        assert kept(outcome) == ({} if b"NaN" in text else {"cus_1": text})
        assert [each.key for each in outcome.skipped] == (["cus_1"] if b"NaN" in text else [])


def test_what_was_asked_for_is_not_part_of_the_record(client: HttpClient) -> None:
    inner = b'{"data":[{"id":"card_1","n":1.10}],"has_more":false}'
    text = b'{"id":"cus_1","n":1.0,"a":{"sources":2},"n":2.0}'
    outcome = performed(client, "stripe, with more asked for", [with_members(text, {"sources": inner})])
    assert kept(outcome) == {"cus_1": text, "card_1": b'{"id":"card_1","n":1.10}'}
