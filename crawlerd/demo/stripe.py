"""What Stripe would answer to a request, for the objects of the formula and the edits made to them since."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl

import msgspec

from crawlerd.demo.formula import Account, Fields, account_in
from crawlerd.demo.objects import STREAMS, Stream, index_of
from crawlerd.demo.server import Add, Delete, Edit
from crawlerd.demo.shapes import own_account

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BELOW = {("customers", "payment_methods"): "payment_methods", ("invoices", "lines"): "invoice_lines"}
EMPTY = {  # lists of Stripe that have no objects here, by path
    "apple_pay/domains": "apple_pay_domains",
    "application_fees": "application_fees",
    "billing/alerts": "billing_alerts",
    "billing/credit_balance_transactions": "billing_credit_balance_transactions",
    "billing/credit_grants": "billing_credit_grants",
    "billing/feedback_options": "billing_feedback_options",
    "billing/meters": "billing_meters",
    "billing_portal/configurations": "billing_portal_configurations",
    "checkout/sessions": "checkout_sessions",
    "entitlements/features": "entitlement_features",
    "file_links": "file_links",
    "files": "files",
    "identity/verification_reports": "identity_verification_reports",
    "identity/verification_sessions": "identity_verification_sessions",
    "invoice_payments": "invoice_payments",
    "invoice_rendering_templates": "invoice_rendering_templates",
    "invoiceitems": "invoice_items",
    "issuing/authorizations": "issuing_authorizations",
    "issuing/cardholders": "issuing_cardholders",
    "issuing/cards": "issuing_cards",
    "issuing/disputes": "issuing_disputes",
    "issuing/transactions": "issuing_transactions",
    "payment_links": "payment_links",
    "payment_method_configurations": "payment_method_configurations",
    "payment_method_domains": "payment_method_domains",
    "plans": "plans",
    "product_catalog/trial_offers": "trial_offers",
    "promotion_codes": "promotion_codes",
    "quotes": "quotes",
    "radar/early_fraud_warnings": "early_fraud_warnings",
    "radar/value_lists": "value_lists",
    "reporting/report_runs": "report_runs",
    "reviews": "reviews",
    "setup_intents": "setup_intents",
    "shipping_rates": "shipping_rates",
    "subscription_schedules": "subscription_schedules",
    "tax/registrations": "tax_registrations",
    "tax_ids": "tax_ids",
    "tax_rates": "tax_rates",
    "terminal/configurations": "terminal_configurations",
    "terminal/locations": "terminal_locations",
    "terminal/readers": "terminal_readers",
    "topups": "topups",
    "webhook_endpoints": "webhook_endpoints",
}
EMPTY_BELOW = {  # the same below an object
    ("accounts", "persons"): "persons",
    ("customers", "balance_transactions"): "customer_balance_transactions",
    ("customers", "cash_balance_transactions"): "customer_cash_balance_transactions",
}
SINGLE = {  # objects that exist only once
    "balance": {"object": "balance", "available": [], "connect_reserved": [], "livemode": False, "pending": []},
    "balance_settings": {"object": "balance_settings", "payments": {}},
    "tax/settings": {"object": "tax.settings", "defaults": {}, "livemode": False, "status": "pending"},
}
EXPANDED = ("line_items", "sources", "tax_ids")  # lists that objects contain if they are requested
NOT_CANCELED = ""  # the default filter of a list of subscriptions
NO_EVENTS = ("balance_transactions", "events")  # streams whose changes Stripe does not report
EVENTS = {  # the types of the events of objects, which do not all follow from their own
    "charge": ("charge.succeeded", "charge.updated", "charge.updated"),
    "dispute": ("charge.dispute.created", "charge.dispute.updated", "charge.dispute.closed"),
    "payment_intent": ("payment_intent.created", "payment_intent.succeeded", "payment_intent.canceled"),
    "payment_method": ("payment_method.attached", "payment_method.updated", "payment_method.detached"),
    "payout": ("payout.created", "payout.updated", "payout.canceled"),
    "refund": ("refund.created", "refund.updated", "refund.failed"),
    "subscription": tuple(f"customer.subscription.{verb}" for verb in ("created", "updated", "deleted")),
    "transfer": ("transfer.created", "transfer.updated", "transfer.reversed"),
    "credit_note": ("credit_note.created", "credit_note.updated", "credit_note.voided"),
}
CREATED, UPDATED, DELETED = range(3)
NO_OBJECTS = {"object": "list", "data": [], "has_more": False}

_encode = msgspec.json.Encoder().encode


def error_body(message: str, **more: str) -> bytes:
    """Stripe's error object."""
    return _encode({"error": {"message": message, "type": "invalid_request_error", **more}})


class Refusal(Exception):
    """An error answer.

    status: of HTTP.
    more: further fields of Stripe's error object.
    """

    def __init__(self, status: int, message: str, **more: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = error_body(message, **more)


@dataclass(slots=True)
class Edits:
    """The edits of one stream of one account, by index.

    added: creation times of objects after the formula's.
    """

    added: list[int] = field(default_factory=list)
    deleted: set[int] = field(default_factory=set)
    revisions: dict[int, int] = field(default_factory=dict)


class Asked(NamedTuple):
    """What a path requests: a stream, "account" or "unknown"; its parent's id, or the id of one object of it."""

    stream: str
    parent: str | None = None
    key: str | None = None


def split(path: str) -> Asked:
    """What a path requests."""
    below = path.removeprefix("/v1/")
    if below in EMPTY:
        return Asked(EMPTY[below])
    if below in SINGLE:
        return Asked(below)
    match below.split("/"):
        case ["account"]:
            return Asked("account")
        case ["accounts"]:
            return Asked("accounts")
        case [name] if name in STREAMS and STREAMS[name].parent is None:
            return Asked(name)
        case [name, key] if name in STREAMS and name != "invoice_lines":
            return Asked(name, key=key)
        case [parent, key, name] if found := BELOW.get((parent, name)) or EMPTY_BELOW.get((parent, name)):
            return Asked(found, parent=key)
    return Asked("unknown")


class Stripe:
    """The objects of all accounts.

    customers: of each account.

    Accounts are numbered from 1; after all `accounts` come those connected to the first, then those connected to the
    second, and so on.
    """

    def __init__(self, customers: int, accounts: int = 1, connected: int = 0) -> None:
        self.customers = customers
        self._accounts, self._connected = accounts, connected
        self._edits: defaultdict[tuple[int, str], Edits] = defaultdict(Edits)
        self._happened: defaultdict[int, list[tuple[str, Fields]]] = defaultdict(list)  # events after the formula's

    def connected(self, number: int) -> range:
        """The numbers of the accounts that are connected to an account."""
        if number > self._accounts:
            return range(0)
        first = 1 + self._accounts + (number - 1) * self._connected
        return range(first, first + self._connected)

    def connected_as(self, number: int, key: str) -> int | None:
        """The number of the account with this id that is connected to an account; None if there is none."""
        try:
            found = account_in(key.removeprefix("acct_"))
        except ValueError:
            return None
        return found if found in self.connected(number) and own_account(found)["id"] == key else None

    def answer(self, number: int, path: str, query: str) -> bytes:
        """The JSON body that a GET with an account's key returns. Raises Refusal otherwise."""
        asked = split(path)
        name = asked.stream
        if name == "account":
            return _encode(own_account(number))
        if name in SINGLE:
            return _encode(SINGLE[name])
        if name == "accounts":
            return self._page_of_accounts(number, query)
        if name == "unknown":
            raise Refusal(404, f"Unrecognized request URL (GET: {path}).")
        if name not in STREAMS:
            return _encode({**NO_OBJECTS, "url": path})
        stream = STREAMS[name]
        if asked.key is not None:
            return self._one(number, stream, asked.key)
        if asked.parent is None or stream.parent is None:
            return self._page(number, stream, path, range(self._total(number, stream)), query)
        index = self._index(number, STREAMS[stream.parent], asked.parent)
        if index is None:
            raise _missing(404, stream.parent, asked.parent, "id")
        return self._page(number, stream, path, _range_below(stream, index), query)

    def edit(self, order: Add | Edit | Delete, now: int) -> list[Fields]:
        """Changes objects; returns them (deleted ones as they were). Raises ValueError for unknown ones.

        now: Unix seconds.
        """
        stream = STREAMS.get(order.stream)
        if stream is None or (stream.parent and (isinstance(order, Add) or stream.name != "payment_methods")):
            raise ValueError(f"{order.stream} cannot be changed in this way")
        number, edits = order.account, self._edits[order.account, stream.name]
        if isinstance(order, Add):
            start = self._total(number, stream)
            edits.added += [now] * order.count
            indexes = range(start, start + order.count)
            objects = list(self._objects(number, stream, indexes))
            self._tell(number, stream, CREATED, objects, now)
            self._tell_of_methods(number, stream, CREATED, indexes, now)
            return objects
        known = [index for key in order.ids if (index := self._index(number, stream, key)) is not None]
        if len(known) < len(order.ids):
            raise ValueError(f"unknown ids of {stream.name}")
        if isinstance(order, Edit):
            edits.revisions |= {index: edits.revisions.get(index, 0) + 1 for index in known}
        objects = list(self._objects(number, stream, known))
        if isinstance(order, Edit):
            self._tell(number, stream, UPDATED, objects, now)
        else:
            self._tell_of_methods(number, stream, DELETED, known, now)
            edits.deleted.update(known)
            self._tell(number, stream, DELETED, objects, now)
        return objects

    def _tell(self, number: int, stream: Stream, what: int, objects: Iterable[Fields], now: int) -> None:
        """Adds events."""
        if stream.name not in NO_EVENTS:
            for each in objects:
                self._edits[number, "events"].added.append(now)
                kind = each["object"]
                usual = (f"{kind}.created", f"{kind}.updated", f"{kind}.deleted")
                self._happened[number].append((EVENTS.get(kind, usual)[what], each))

    def _tell_of_methods(self, number: int, stream: Stream, what: int, customers: Iterable[int], now: int) -> None:
        """Adds the events of the payment methods of new customers, or of those about to be deleted."""
        if stream.name == "customers":
            methods = STREAMS["payment_methods"]
            for index in customers:
                self._tell(number, methods, what, self._objects(number, methods, _range_below(methods, index)), now)

    def _total(self, number: int, stream: Stream) -> int:
        """Objects of a stream without parent, including the deleted ones."""
        return stream.count(self.customers) + len(self._edits[number, stream.name].added)

    def _index(self, number: int, stream: Stream, key: str) -> int | None:
        """The index of an object, None if it does not exist now; for a child, whether it exists or not."""
        index = index_of(number, stream.name, key)
        if index is None or index in self._edits[number, stream.name].deleted:
            return None
        return index if stream.parent or index < self._total(number, stream) else None

    def _created(self, number: int, stream: Stream, index: int) -> int:
        if stream.parent is not None:
            return self._created(number, STREAMS[stream.parent], index // stream.stride)
        beyond = index - stream.count(self.customers)
        return self._edits[number, stream.name].added[beyond] if beyond >= 0 else stream.created(index, self.customers)

    def _objects(self, number: int, stream: Stream, indexes: Iterable[int]) -> Iterator[Fields]:
        account = Account(number, self.customers)
        edits = self._edits[number, stream.name]
        for index in indexes:
            if index not in edits.deleted:
                data = stream.shape(account, index, self._created(number, stream, index))
                if stream.name == "events" and (beyond := index - stream.count(self.customers)) >= 0:
                    data["type"], data["data"] = (
                        self._happened[number][beyond][0],
                        {"object": self._happened[number][beyond][1]},
                    )
                if index in edits.revisions:
                    data.setdefault("metadata", {})["revision"] = str(edits.revisions[index])
                yield data

    def _one(self, number: int, stream: Stream, key: str) -> bytes:
        """One object as it is now. A deleted customer says so; a detached payment method belongs to nobody."""
        index = index_of(number, stream.name, key)
        exists = self._index(number, stream, key) is not None
        if index is not None and stream.parent is not None:
            account, owner = Account(number, self.customers), index // stream.stride
            owned = owner not in self._edits[number, stream.parent].deleted
            if index in _range_below(stream, owner) and owner < self._total(number, STREAMS[stream.parent]):
                data = next(self._objects(number, stream, [index]), None) or stream.shape(account, index, 0)
                return _encode(data if exists and owned else {**data, "customer": None})
        elif index is not None and exists:
            return _encode(next(self._objects(number, stream, [index])))
        elif index is not None and stream.name == "customers" and index < self._total(number, stream):
            return _encode({"id": key, "object": "customer", "deleted": True})
        raise _missing(404, stream.name, key, "id")

    def _page_of_accounts(self, number: int, query: str) -> bytes:
        """The connected accounts, newest first; `created` is ignored."""
        asked = dict(parse_qsl(query))
        accounts = [own_account(each) for each in reversed(self.connected(number))]
        start = next((at for at, each in enumerate(accounts, 1) if each["id"] == asked.get("starting_after")), 0)
        limit = _limit(asked.get("limit", "10"))
        page, more = accounts[start : start + limit], start + limit < len(accounts)
        return _encode({"object": "list", "url": "/v1/accounts", "has_more": more, "data": page})

    def _page(self, number: int, stream: Stream, url: str, indexes: range, query: str) -> bytes:
        """A list, newest first, of the objects with these indexes that match the query."""
        limit = 10
        filters = {"status": NOT_CANCELED} if "status" in stream.filters else {}
        low, high = indexes.start, indexes.stop
        expanded: Fields = {}
        types: set[str] = set()
        for name, value in parse_qsl(query, keep_blank_values=True):
            if name == "limit":
                limit = _limit(value)
            elif name == "starting_after":
                index = self._index(number, stream, value)
                if index is None or index not in indexes:
                    raise _missing(400, stream.name, value, name)
                high = min(high, index)
            elif name in _WINDOWS and stream.parent is None:
                bisect = bisect_left if name in ("created[gte]", "created[lt]") else bisect_right
                found = bisect(indexes, _integer(name, value), key=lambda at: self._created(number, stream, at))
                low, high = (max(low, found), high) if name.startswith("created[g") else (low, min(high, found))
            elif name in stream.filters:
                filters[name] = value
            elif name == "expand[]":
                if (field := value.removeprefix("data.")) in EXPANDED:
                    expanded[field] = NO_OBJECTS
            elif name == "types[]" and stream.name == "events":
                types.add(value)
            elif name == "payout" and stream.name == "balance_transactions":
                low = high  # none of the formula's belongs to a payout
            else:
                raise Refusal(400, f"Received unknown parameter: {name}", code="parameter_unknown", param=name)
        matching = (
            data | expanded
            for data in self._objects(number, stream, reversed(range(low, high)))
            if (not types or data["type"] in types)
            and all(_matches(data[name], wanted) for name, wanted in filters.items())
        )
        bodies = [_encode(data) for data in islice(matching, limit + 1)]
        head = _encode({"object": "list", "url": url, "has_more": len(bodies) > limit})
        return head[:-1] + b',"data":[' + b",".join(bodies[:limit]) + b"]}"


_WINDOWS = ("created[gte]", "created[gt]", "created[lt]", "created[lte]")


def _range_below(stream: Stream, parent: int) -> range:
    """The indexes of the objects below an object."""
    return range(parent * stream.stride, parent * stream.stride + stream.count(parent))


def _missing(status: int, stream: str, key: str, param: str) -> Refusal:
    return Refusal(status, f"No such {stream.removesuffix('s')}: '{key}'", code="resource_missing", param=param)


def _limit(value: str) -> int:
    limit = _integer("limit", value)
    if 1 <= limit <= 100:
        return limit
    bound = "greater than or equal to 1" if limit < 1 else "less than or equal to 100"
    message = f"This value must be {bound} (it currently is '{limit}')."
    raise Refusal(400, message, code="parameter_invalid_integer", param="limit")


def _integer(name: str, value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise Refusal(400, f"Invalid integer: {value}", code="parameter_invalid_integer", param=name) from None


def _matches(value: object, wanted: str) -> bool:
    """Whether a field's value passes a filter; "all" passes every status."""
    if isinstance(value, bool):
        return wanted == str(value).lower()
    return wanted == "all" or (value != "canceled" if wanted == NOT_CANCELED else value == wanted)
