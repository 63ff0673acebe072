"""Stripe's catalogue compared with the installed SDK: what a new version has that the catalogue lacks fails here."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import stripe_sdk as sdk

from crawlerd.sources.stripe.again import AGAIN
from crawlerd.sources.stripe.catalogue import (
    BELOW,
    LISTS,
    MOST_TYPES,
    OF_OBJECT,
    STREAMS,
    TYPES,
    deletions,
    event_types,
    expansions,
    is_silent,
    is_with_parent,
    kinds_of,
    one,
)
from crawlerd.sources.stripe.catalogue_events import UNHEEDED
from crawlerd.sources.stripe.catalogue_lists import LEFT_OUT
from crawlerd.sources.stripe.followed import page
from crawlerd.sources.stripe.stripe_api import VERSION

PAGING = {"limit", "starting_after", "ending_before", "expand[]"}
FETCHED_ELSEWHERE = {  # references that no request resolves, and that are not expanded, with why
    "application": "a Connect application, whose name is all there is to it",
    "mandate": "mandates are fetched by their id, which no list gives: GET /v1/mandates/{mandate}",
    "reserve_transaction": "of accounts with reserves, private",
    "connect_collection_transfer": "not documented",
    "tax_deducted_at_source": "not documented beyond its id",
    "source_transaction": "of sources, which Stripe has replaced by payment methods",
    "financial_connections.account_ownership": "changes when it is refreshed, and costs a refresh",
}


def norm(path: str) -> str:
    """A path without the names that it has for ids."""
    return re.sub(r"\{\w+\}", "{}", path)


ENTRIES = {**LISTS, **BELOW}


@cache
def requests() -> dict[str, sdk.Request]:
    return {norm(path): request for path, request in sdk.requests().items()}


def request_of(stream: str) -> sdk.Request:
    return requests()[norm(ENTRIES[stream].path)]


def test_the_catalogue_is_made_from_this_version() -> None:
    assert VERSION == sdk.VERSION


def test_every_list_is_a_stream_or_left_out_with_a_reason() -> None:
    streams = {norm(each.path) for each in ENTRIES.values()}
    left_out = {norm(path) for path in LEFT_OUT}
    lists = {path for path, request in requests().items() if request.is_list}
    assert lists - streams - left_out == set()
    assert streams - set(requests()) == set()
    assert left_out - lists == set()
    assert left_out & streams == set()


def test_every_type_of_event_is_followed_or_unheeded_with_a_reason() -> None:
    followed = {each for types in TYPES.values() for each in types}
    assert followed | set(UNHEEDED) == sdk.event_types()
    assert followed & set(UNHEEDED) == set()


def test_no_type_of_event_is_asked_for_in_vain() -> None:
    heeded = {kind for stream in STREAMS for kind in kinds_of(stream)}
    assert set(TYPES) == heeded


@pytest.mark.parametrize("stream", ENTRIES)
def test_a_request_sends_what_the_api_takes(stream: str) -> None:
    entry, request = ENTRIES[stream], request_of(stream)
    second = entry.path.startswith("/v2/")
    sent = {"limit", *([] if second else ["starting_after"])} if entry.paged and not entry.single else set()
    values = []
    if stream in LISTS:
        values = [*LISTS[stream].filters, *LISTS[stream].part]
        values = [(re.sub(r"\[\d+\]", "[]", name), value) for name, value in (*values, *LISTS[stream].also)]
        sent |= {name for name, _ in values} | {name for _, name in LISTS[stream].of}
        assert LISTS[stream].created == ("created[gte]" in request.parameters and not second)
    else:
        sent |= {BELOW[stream].parameter} - {""}
    assert sent <= set(request.parameters)
    assert {name for name, each in request.parameters.items() if each.required} <= sent
    for name, value in values:
        kind = request.parameters[name].kind
        assert kind != "bool" or value in ("true", "false")
        assert isinstance(kind, str) or value in kind | {"all"}, (name, value)
    assert entry.paged or "starting_after" not in request.parameters
    assert request.is_list != entry.single


@pytest.mark.parametrize("stream", ENTRIES)
def test_an_object_is_read_again_where_it_is(stream: str) -> None:
    assert (stream in AGAIN) == (one(stream) != "" and not ENTRIES[stream].single)
    if stream in AGAIN:
        request = requests().get(norm(one(stream).replace("{parent}", "{}").replace("{id}", "{}")))
        assert request is not None or stream == "application_fee_refunds"  # the SDK writes its path otherwise
        assert request is None or not request.is_list
    kinds = set(ENTRIES[stream].objects)
    assert not kinds or kinds <= {each.kind for each in request_of(stream).returns}
    assert all(OF_OBJECT[kind] == stream for kind in kinds)


@pytest.mark.parametrize("stream", BELOW)
def test_what_is_looked_at_is_there(stream: str) -> None:
    below, parent = BELOW[stream], request_of(BELOW[stream].parent).returns[0]
    for name in (below.embedded, below.unless_null, below.only_if[0]):
        assert not name or name in sdk.fields(parent), name
    if below.embedded:
        is_asked_for = below.embedded in sdk.INCLUDABLE.get(parent.kind, ())
        assert is_asked_for == below.asked
        assert sdk.fields(parent)[below.embedded].is_list
    if below.owner:
        assert any(below.owner in sdk.fields(each) for each in request_of(stream).returns)
    if below.keyed and not below.single:  # else the key would not have to say it
        own = [name for each in request_of(stream).returns for name in sdk.fields(each)]
        repeated = {"capabilities"}  # whose ids are the same below each account
        said = {"customer", "product", "quote", "payment_intent", "payout", "account"} & set(own)
        assert not said or stream in repeated


def test_what_mentions_another_object_has_its_id() -> None:
    for entry in ENTRIES.values():
        for kind, name in entry.mentions:
            assert name in sdk.fields(sdk.of_kind(kind)), (kind, name)


@pytest.mark.parametrize("stream", ENTRIES)
def test_what_is_expanded_can_be(stream: str) -> None:
    """Also with all that lies below, in a list and alone."""
    classes = request_of(stream).returns
    for path in expansions(stream, STREAMS):
        problem = "" if any(not sdk.expandable((of,), path) for of in classes) else path
        assert not problem
        assert f"data.{path}".count(".") <= 3
    assert len(expansions(stream, STREAMS)) <= 10


@pytest.mark.parametrize("stream", ENTRIES)
def test_what_comes_only_when_it_is_asked_for_is(stream: str) -> None:
    """Fields that are left out otherwise, and references to what no request can fetch."""
    expanded = {*expansions(stream, STREAMS)}
    if stream in LISTS and LISTS[stream].details:
        kind = sdk.requests()[f"{LISTS[stream].path}/{{id}}"].parameters["include[]"].kind
        assert set(LISTS[stream].details) == kind
        expanded |= {each.partition(".")[0] for each in LISTS[stream].details}
    elsewhere = {"sources", "tax_ids", "line_items", "subscriptions", "cash_balance", "cvc", "number"}  # or secret
    elsewhere |= {
        "invoice_credit_balance",
        "total_details.breakdown",
        "external_accounts.none",
    }  # sums of other streams
    for of in request_of(stream).returns:
        assert sdk.INCLUDABLE.get(of.kind, set()) <= expanded | elsewhere
        for name, each in sdk.fields(of).items():
            unknown = {kind.kind for kind in each.classes if each.is_reference and not is_fetched(kind)}
            assert name in expanded or unknown <= {*FETCHED_ELSEWHERE, ""}, (name, unknown)


def is_fetched(of: sdk.Class) -> bool:
    """Whether a stream has such objects, or a request gives one by its id."""
    return any(of in request.returns for request in sdk.requests().values())


@pytest.mark.parametrize("stream", STREAMS)
def test_a_change_that_no_event_reports_is_said(stream: str) -> None:
    """Of what can be edited or deleted by requests, where no such event exists."""
    entry = ENTRIES[stream]
    if entry.missed or is_silent(stream) or not kinds_of(stream):
        return
    if stream in BELOW and (is_with_parent(stream) or BELOW[stream].mentions):
        return
    verbs = {each.rpartition(".")[2] for kind in entry.objects for each in TYPES[kind]}
    changes = sdk.changes()
    path = norm(one(stream))
    assert not changes.get(("post", path)) or "updated" in verbs, "edits"
    assert not changes.get(("delete", path)) or verbs & {"deleted", "detached"}, "deletions"


def test_the_page_says_what_the_catalogue_says() -> None:
    assert (Path(__file__).parents[2] / "docs/stripe-streams.md").read_text() == page()


@given(st.sets(st.sampled_from(STREAMS), min_size=1, max_size=12))
def test_the_types_that_are_asked_for_are_all_that_report_changes(streams: set[str]) -> None:
    groups = event_types(tuple(streams))
    wanted = {each for stream in streams for kind in kinds_of(stream) for each in TYPES[kind]}
    wanted |= {*deletions(tuple(streams))}
    if groups == [()]:
        assert len(wanted) > 60
    else:
        assert sorted(each for types in groups for each in types) == sorted(wanted)
        assert all(len(types) <= MOST_TYPES for types in groups)
        assert len(groups) <= 3


def test_few_types_are_asked_for_by_name() -> None:
    ((*products,),) = event_types(("products",))
    assert set(products) == {"product.created", "product.deleted", "product.updated"}
    assert all(len(types) <= MOST_TYPES for types in event_types(("customers", "invoices", "subscriptions")))
    assert event_types(tuple(STREAMS)) == [()]
