"""Stripe: its top-level lists, and the payment methods and invoice lines below them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from crawlerd.source import (
    Api,
    Identity,
    Output,
    Permanent,
    Record,
    Response,
    RunPlan,
    Source,
    TaskArgs,
    Throttled,
    Transient,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

VERSION = "2025-09-30.clover"  # objects keep this shape, whatever the account's own default is
PAGE = 100  # objects, the most that a list gives at once

# The lists that need no parent, newest first. Prices and products come active and inactive unless `active` is given.
LISTS = {
    "customers": "/v1/customers",
    "invoices": "/v1/invoices",
    "charges": "/v1/charges",
    "payment_intents": "/v1/payment_intents",
    "setup_intents": "/v1/setup_intents",
    "checkout_sessions": "/v1/checkout/sessions",
    "payment_links": "/v1/payment_links",
    "balance_transactions": "/v1/balance_transactions",
    "refunds": "/v1/refunds",
    "disputes": "/v1/disputes",
    "reviews": "/v1/reviews",
    "early_fraud_warnings": "/v1/radar/early_fraud_warnings",
    "subscriptions": "/v1/subscriptions",
    "subscription_schedules": "/v1/subscription_schedules",
    "invoice_items": "/v1/invoiceitems",
    "credit_notes": "/v1/credit_notes",
    "quotes": "/v1/quotes",
    "products": "/v1/products",
    "prices": "/v1/prices",
    "coupons": "/v1/coupons",
    "promotion_codes": "/v1/promotion_codes",
    "tax_rates": "/v1/tax_rates",
    "shipping_rates": "/v1/shipping_rates",
    "payouts": "/v1/payouts",
    "transfers": "/v1/transfers",
    "topups": "/v1/topups",
    "events": "/v1/events",
}
FILTERS = {"subscriptions": {"status": "all"}}  # without it, canceled ones are left out


class _Problem(msgspec.Struct):
    code: str | None = None
    param: str | None = None


class _ErrorBody(msgspec.Struct):
    error: _Problem


def _classify(response: Response) -> Exception | None:
    """Tells Stripe's limiters from each other and from its other 429s, and a lost cursor from a bad request.

    `Stripe-Rate-Limited-Reason` is global-rate, global-concurrency, endpoint-rate, endpoint-concurrency or
    resource-specific; without it, the limiter is not the reason (https://docs.stripe.com/rate-limits).
    """
    reason = response.headers.get("stripe-rate-limited-reason", "")
    if response.status == 429 and reason:
        return Throttled(
            f"HTTP 429: {reason}",
            scope="account" if reason.startswith("global-") else "bucket",
            concurrency=reason.endswith("-concurrency"),
        )
    if response.status not in (400, 429):
        return None
    try:
        problem = msgspec.json.decode(response.body, type=_ErrorBody).error
    except (ValueError, RecursionError):
        return None
    if problem.code == "lock_timeout":
        return Transient("HTTP 429: another request holds the object (lock_timeout)")
    if problem.code == "resource_missing" and problem.param == "starting_after":
        return Permanent("the object that the cursor points to was deleted, so this list stops here; import it again")
    return None


stripe = Source(
    "stripe",
    base_url="https://api.stripe.com",
    streams=[*LISTS, "payment_methods", "invoice_lines"],
    limits=["100/second"],
    bucket_limits=["25/second"],
    auth=lambda key: {"Authorization": f"Bearer {key}"},
    mode=lambda key: "live" if key.startswith(("sk_live_", "rk_live_")) else "test",
    headers={"Stripe-Version": VERSION},
    classify=_classify,
)


@dataclass(frozen=True)
class Account(TaskArgs, kind="stripe.account"):
    """Whose key it is."""


@stripe.guards(Account())
def account(api: Api, args: Account) -> Iterator[Output]:
    """An account's test and live modes share no object, so they are two identities."""
    yield Identity(f"{_id(api.get('/v1/account'))}:{api.mode}")


@dataclass(frozen=True)
class PaymentMethods(TaskArgs, kind="stripe.payment_methods"):
    customer: str
    starting_after: str | None = None


@dataclass(frozen=True)
class InvoiceLines(TaskArgs, kind="stripe.invoice_lines"):
    invoice: str
    starting_after: str | None = None


# Most of these lists end on their first page: they drain the queue, and those above them, which fill it, go first.
@stripe.handles(PaymentMethods, sequential=True, priority=5)
def payment_methods(api: Api, args: PaymentMethods) -> Iterator[Output]:
    objects, cursor = _page(api, f"/v1/customers/{quote(args.customer, safe='')}/payment_methods", args.starting_after)
    for each in objects:
        yield Record("payment_methods", each["id"], each)
    if cursor:
        yield replace(args, starting_after=cursor)


@stripe.handles(InvoiceLines, sequential=True, priority=5)
def invoice_lines(api: Api, args: InvoiceLines) -> Iterator[Output]:
    objects, cursor = _page(api, f"/v1/invoices/{quote(args.invoice, safe='')}/lines", args.starting_after)
    for each in objects:
        yield Record("invoice_lines", each["id"], each)
    if cursor:
        yield replace(args, starting_after=cursor)


def _payment_methods_of(customer: dict[str, Any]) -> Iterator[Output]:
    yield PaymentMethods(customer["id"])


def _lines_of(invoice: dict[str, Any]) -> Iterator[Output]:
    """An invoice carries its first lines; only the others take requests."""
    lines, more = _listed(invoice.get("lines"))
    for line in lines:
        yield Record("invoice_lines", line["id"], line)
    if more:
        yield InvoiceLines(invoice["id"], starting_after=lines[-1]["id"] if lines else None)


BELOW: dict[str, tuple[str, Callable[[dict[str, Any]], Iterator[Output]]]] = {
    "customers": ("payment_methods", _payment_methods_of),
    "invoices": ("invoice_lines", _lines_of),
}


@dataclass(frozen=True)
class Page(TaskArgs, kind="stripe.page"):
    """One page of a top-level list. streams: those to be imported of it: the list's own, the one below it, or both."""

    streams: tuple[str, ...]
    starting_after: str | None = None


def _register(stream: str) -> type[Page]:
    """The kind of a list's pages; each list has its own, and is counted, limited and reported by its name."""

    class ListPage(Page, kind=f"stripe.{stream}"):
        pass

    below, outputs_below = BELOW.get(stream, (None, None))

    @stripe.handles(ListPage, sequential=True)
    def page(api: Api, args: ListPage) -> Iterator[Output]:
        objects, cursor = _page(api, LISTS[stream], args.starting_after, **FILTERS.get(stream, {}))
        for each in objects:
            if stream in args.streams:
                yield Record(stream, each["id"], each)
            if outputs_below and below in args.streams:
                yield from outputs_below(each)
        if cursor:
            yield replace(args, starting_after=cursor)

    return ListPage


PAGES = {stream: _register(stream) for stream in LISTS}


@stripe.starts
def first_pages(plan: RunPlan) -> Iterable[TaskArgs]:
    """One page for each list that is wanted, or needed to find what is wanted below it."""
    for stream, page in PAGES.items():
        below = [BELOW[stream][0]] if stream in BELOW else []
        wanted = tuple(each for each in [stream, *below] if each in plan.streams)
        if wanted:
            yield page(wanted)


def _page(api: Api, path: str, after: str | None, **filters: str) -> tuple[list[dict[str, Any]], str | None]:
    """One page's objects, and where the next page starts; None after the last.

    Permanent when following the cursor would not end. A longer circle meets a task that was already there, since the
    kinds are sequential.
    """
    objects, more = _listed(api.get(path, {"limit": PAGE, "starting_after": after, **filters}))
    if not more:
        return objects, None
    if not objects:
        raise Permanent(f"{path} says has_more on an empty page")
    cursor: str = objects[-1]["id"]
    if cursor == after:
        raise Permanent(f"{path} repeated the cursor {cursor}")
    return objects, cursor


def _listed(body: Any) -> tuple[list[dict[str, Any]], bool]:
    """The objects of a list, each with an id, and its has_more; Transient when it is something else."""
    match body:
        case {"data": [*objects], "has_more": bool(more)}:
            for each in objects:
                _id(each)
            return objects, more
    raise Transient("wrong body: not a list of objects")


def _id(body: Any) -> str:
    match body:
        case {"id": str(key)} if key:
            return key
    raise Transient("wrong body: not an object with an id")
