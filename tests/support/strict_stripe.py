"""A local Stripe that is as strict as the installed SDK's types: what they do not permit gets 400."""

from __future__ import annotations

import json
import re
import time
from collections import defaultdict
from copy import deepcopy
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

from support import stripe_sdk as sdk
from support.threaded_server import Handler, ThreadedServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

Fields = dict[str, Any]

EMBEDDED = {  # lists that objects carry, by their type: where the whole list is, and how many objects it shows there
    "account": {"external_accounts": "/v1/accounts/{}/external_accounts"},
    "application_fee": {"refunds": "/v1/application_fees/{}/refunds"},
    "checkout.session": {"line_items": "/v1/checkout/sessions/{}/line_items"},
    "credit_note": {"lines": "/v1/credit_notes/{}/lines"},
    "customer": {"sources": "/v1/customers/{}/sources", "tax_ids": "/v1/customers/{}/tax_ids"},
    "invoice": {"lines": "/v1/invoices/{}/lines"},
    "payment_link": {"line_items": "/v1/payment_links/{}/line_items"},
    "quote": {"line_items": "/v1/quotes/{}/line_items"},
    "radar.value_list": {"list_items": "/v1/radar/value_list_items?value_list={}"},
    "subscription": {"items": "/v1/subscription_items?subscription={}"},
    "transfer": {"reversals": "/v1/transfers/{}/reversals"},
}
SHOWN = 10
OWNERS = (
    "card",
    "credit_grant",
    "customer",
    "financial_account",
    "invoice",
    "payment_record",
    "payout",
    "setup_intent",
)
OWNERS += ("subscription", "value_list", "verification_session")  # parameters that name an object, which must exist


class Ref(dict[str, Any]):
    """An object inside of another one that shows as its id, unless it is expanded."""


class Asked(NamedTuple):
    path: str
    query: list[tuple[str, str]]

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.query if key == name]


class Refusal(Exception):
    def __init__(self, status: int, message: str, **more: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"type": "invalid_request_error", "message": message, **more}}


class StrictStripe(ThreadedServer):
    """objects: by the path of their list, in the order in which they were made. asked: all requests that were answered.
    refused: those that ask for what the API does not take, and what was answered.

    Of an object's fields, those that begin with "_" are not shown: `_of`, what its list can be asked for by that it
    does not say; `_listed`, False where its list leaves it out.
    """

    def __init__(self, version: str = sdk.VERSION) -> None:
        self.version = version
        self.objects: defaultdict[str, list[Fields]] = defaultdict(list)
        self.asked: list[Asked] = []
        self.refused: list[tuple[Asked, str]] = []
        self.before: Callable[[Asked], object] = lambda asked: None  # called before a request is answered
        self.answers_below_deleted = False  # else what lies below a deleted customer gets 404
        self.unexpandable: dict[str, int] = {}  # last parts of fields, and the status of a refusal
        self._gone: dict[str, str] = {}
        self._routes = [
            (re.compile(re.sub(r"\{\w+\}", "([^/]+)", path)), request)
            for path, request in sorted(sdk.requests().items(), key=lambda item: item[0].count("{"))
        ]
        server = self

        class Answering(Handler):
            def respond(self) -> None:
                parts = urlsplit(self.path)
                asked = Asked(parts.path, parse_qsl(parts.query, keep_blank_values=True))
                status, body = 200, {}
                server.before(asked)
                with server._lock:
                    server.asked.append(asked)
                    try:
                        body = server.answer(asked, self.headers)
                    except Refusal as refusal:
                        status, body = refusal.status, refusal.body
                        if refusal.body["error"].get("code") != "resource_missing":
                            server.refused.append((asked, str(refusal)))
                self.answer(status, {}, json.dumps(body).encode())

        super().__init__(Answering)

    # what it has

    def add(self, path: str, key: str, *, event: str = "", of: Mapping[str, str] | None = None, **more: Any) -> Fields:
        """An object of a list, with what its type demands and `more`. of: see `_of`."""
        request = self._request(path)[0]
        made = {**sdk.sample(request.returns[0], key), **more}
        made["_of"], made["_listed"] = dict(of or {}), more.get("_listed", True)
        if isinstance(made.get("created"), int):
            made["created"] = more.get("created", int(time.time()))
        with self._lock:
            self.objects[path].append(made)
        self.tell(event, made)
        return made

    def edit(self, item: Fields, event: str = "", **more: Any) -> None:
        with self._lock:
            item.update(more)
        self.tell(event, item)

    def remove(self, item: Fields, parent: Fields, event: str) -> None:
        """Deletes what lies below a parent, of whose event the list was another one before."""
        before = self._shown(parent, ())
        self.delete(item)
        now = self._shown(parent, ())
        self.tell(event, parent, {name: value for name, value in before.items() if now[name] != value})

    def delete(self, item: Fields, event: str = "") -> None:
        """What lies below it is out of reach; payment methods are detached."""
        shown = self._shown(item, ())
        with self._lock:
            for objects in self.objects.values():
                objects[:] = [each for each in objects if each is not item]
            self._gone[item["id"]] = item["object"]
        self.tell(event, shown)

    def move(self, item: Fields, path: str, event: str = "", **more: Any) -> None:
        """Puts an object into the list of another parent."""
        with self._lock:
            for objects in self.objects.values():
                objects[:] = [each for each in objects if each is not item]
            self.objects[path].append(item)
        self.edit(item, event, **more)

    def tell(self, event: str, item: Fields, previous: Fields | None = None) -> None:
        """Adds an event about an object as it is now. previous: its fields that were otherwise, as they were."""
        if not event:
            return
        assert event in sdk.event_types(), event
        made = {
            "id": f"evt_{len(self.objects['/v1/events']):06}",
            "object": "event",
            "api_version": self.version,
            "created": int(time.time()),
            "data": {"object": self._shown(item, ()), **({"previous_attributes": previous} if previous else {})},
            "livemode": False,
            "pending_webhooks": 0,
            "request": None,
            "type": event,
            "_of": {},
            "_listed": True,
        }
        with self._lock:
            self.objects["/v1/events"].append(made)

    def requests_for(self, path: str) -> list[Asked]:
        with self._lock:
            return [each for each in self.asked if each.path == path]

    def forget(self) -> None:
        """What was asked so far."""
        with self._lock:
            self.asked.clear()
            self.refused.clear()

    # how it answers

    def answer(self, asked: Asked, headers: Mapping[str, str]) -> Fields:
        if headers.get("Stripe-Version") != self.version:
            raise Refusal(400, f"Invalid Stripe API version: {headers.get('Stripe-Version')}")
        request, names = self._request(asked.path)
        self._check(request, asked)
        if request.is_list:
            *parents, _ = ("", *names, "")
            for each in parents[1:]:
                self._must_exist(each, 404, "id")
            return self._list(request, asked)
        if not request.path.endswith("}"):
            return self._single(request, asked, names)
        return self._one(request, asked, names)

    def _request(self, path: str) -> tuple[sdk.Request, tuple[str, ...]]:
        for pattern, request in self._routes:
            if found := pattern.fullmatch(path):
                return request, found.groups()
        raise Refusal(404, f"Unrecognized request URL (GET: {path}). Please see https://stripe.com/docs.")

    def _check(self, request: sdk.Request, asked: Asked) -> None:
        second = request.path.startswith("/v2/")
        for name, value in asked.query:
            if second and name == "page":
                continue
            known = request.parameters.get(re.sub(r"\[\d+\]", "[]", name) if second else name)
            if known is None:
                raise Refusal(400, f"Received unknown parameter: {name}", code="parameter_unknown", param=name)
            good = {"int": value.lstrip("-").isdigit(), "bool": value in ("true", "false")}.get(
                str(known.kind), isinstance(known.kind, str) or value in known.kind
            )
            if not good:
                raise Refusal(400, f"Invalid {name}: {value}", code="parameter_invalid", param=name)
            if not name.endswith("[]") and len(asked.all(name)) > 1:
                raise Refusal(400, f"{name} was given twice", param=name)
        for name, known in request.parameters.items():
            if known.required and not asked.all(name):
                raise Refusal(400, f"Missing required param: {name}.", code="parameter_missing", param=name)
        if not 1 <= int((asked.all("limit") or ["10"])[0]) <= 100:
            raise Refusal(400, "limit is from 1 to 100", code="parameter_invalid_integer", param="limit")
        types = asked.all("types[]")
        if request.path == "/v1/events" and (len(types) > 20 or set(types) - sdk.event_types()):
            raise Refusal(400, "up to 20 types of events", param="types")
        for path in asked.all("expand[]"):
            inner = path.removeprefix("data.")
            if request.is_list == (inner == path):
                raise Refusal(400, f"This property cannot be expanded ({path}).", param="expand")
            problem = "" if path.count(".") <= 3 else "You cannot expand more than 4 levels of a property."
            problems = [sdk.expandable((of,), inner) for of in request.returns]
            if status := self.unexpandable.get(path.rpartition(".")[2]):
                raise Refusal(status, f"This property cannot be expanded ({path}).")
            if problem or all(problems):
                raise Refusal(400, problem or problems[0], param="expand")

    def _list(self, request: sdk.Request, asked: Asked) -> Fields:
        found = [each for each in self._newest_first(asked.path) if each["_listed"]]
        for name, value in asked.query:
            if name in OWNERS:
                self._must_exist(value, 400, name)
            found = [each for each in found if _passes(request.path, name, value, each)]
        if types := asked.all("types[]"):
            found = [each for each in found if each["type"] in types]
        if request.path == "/v1/subscriptions" and not asked.all("status"):
            found = [each for each in found if each["status"] != "canceled"]
        if request.path.startswith("/v2/"):
            return self._second(asked, found)
        if after := asked.all("starting_after"):
            place = next((at for at, each in enumerate(found) if each["id"] == after[0]), None)
            if place is None:
                message = f"No such object: '{after[0]}'"
                raise Refusal(400, message, code="resource_missing", param="starting_after")
            found = found[place + 1 :]
        size = int((asked.all("limit") or ["10"])[0]) if "limit" in request.parameters else len(found)
        expanded = tuple(path.removeprefix("data.") for path in asked.all("expand[]"))
        shown = [self._shown(each, expanded) for each in found[:size]]
        return {"object": "list", "url": asked.path, "has_more": len(found) > size, "data": shown}

    def _second(self, asked: Asked, found: list[Fields]) -> Fields:
        """A page of the second API: `page` is a token of its own, and the next page has a URL."""
        statuses = [value for name, value in asked.query if name.startswith("statuses[")]
        found = [each for each in found if bool(each.get("closed")) == (asked.all("closed") == ["true"])]
        found = [each for each in found if not statuses or each["status"] in statuses]
        first = int((asked.all("page") or ["page_0"])[0].removeprefix("page_"))
        following = first + int((asked.all("limit") or ["20"])[0])
        again = [(name, value) for name, value in asked.query if name != "page"]
        url = f"{asked.path}?{urlencode([*again, ('page', f'page_{following}')])}"
        shown = [self._shown(each, ()) for each in found[first:following]]
        return {"data": shown, "next_page_url": url if following < len(found) else None, "previous_page_url": None}

    def _single(self, request: sdk.Request, asked: Asked, names: Iterable[str]) -> Fields:
        for each in names:
            self._must_exist(each, 404, "id")
        if not self.objects[asked.path]:  # each customer has a cash balance
            return {**sdk.sample(request.returns[0], ""), "customer": [*names, ""][0]}
        return self._shown(self.objects[asked.path][0], tuple(asked.all("expand[]")))

    def _one(self, request: sdk.Request, asked: Asked, names: tuple[str, ...]) -> Fields:
        *parents, key = names
        for each in parents:
            self._must_exist(each, 404, "id")
        kinds = {each.kind for each in request.returns}
        if self._gone.get(key) == "customer" and "customer" in kinds:
            return {"id": key, "object": "customer", "deleted": True}
        for path, objects in self.objects.items():
            below = path == asked.path.rpartition("/")[0] or not parents
            for each in objects if below else ():
                if each.get("id") == key and each["object"] in kinds:
                    included = [value for name, value in asked.query if name.startswith("include[")]
                    return self._shown(each, (*asked.all("expand[]"), *included))
        raise Refusal(404, f"No such {'/'.join(sorted(kinds))}: '{key}'", code="resource_missing", param="id")

    def _must_exist(self, key: str, status: int, param: str) -> None:
        if self.answers_below_deleted and key in self._gone:
            return
        if not any(each.get("id") == key for objects in self.objects.values() for each in objects):
            raise Refusal(status, f"No such object: '{key}'", code="resource_missing", param=param)

    def _newest_first(self, path: str) -> list[Fields]:
        objects = self.objects.get(path, [])
        order = {id(each): at for at, each in enumerate(objects)}
        whole = isinstance(objects[0].get("created"), int) if objects else False
        return sorted(objects, key=lambda each: (each["created"] if whole else 0, order[id(each)]), reverse=True)

    def _shown(self, item: Fields, expanded: tuple[str, ...]) -> Fields:
        """An object as a response has it. expanded: paths from it."""
        own = {name: value for name, value in item.items() if not name.startswith("_")}
        detached = item["object"] == "payment_method" or not self.answers_below_deleted
        if detached and item.get("customer") in self._gone:
            own["customer"] = None
        for name in sdk.INCLUDABLE.get(item["object"], ()):
            if "." not in name and not any(path.split(".")[0] == name for path in expanded):
                own.pop(name, None)
        for name, template in EMBEDDED.get(item["object"], {}).items():
            hidden = name in sdk.INCLUDABLE.get(item["object"], ())
            if (
                any(path.split(".")[0] == name for path in expanded)
                if hidden
                else name in item or name != "external_accounts"
            ):
                own[name] = self._embedded(template.format(item["id"]), _inside(expanded, f"{name}.data"))
        shown = {name: self._value(value, _inside(expanded, name), name in expanded) for name, value in own.items()}
        return deepcopy(shown)

    def _embedded(self, place: str, expanded: tuple[str, ...]) -> Fields:
        path, _, query = place.partition("?")
        found = self._newest_first(path)
        for name, value in parse_qsl(query):
            found = [each for each in found if _passes(path, name, value, each)]
        shown = [self._shown(each, expanded) for each in found[:SHOWN]]
        return {"object": "list", "url": place, "has_more": len(found) > SHOWN, "data": shown}

    def _value(self, value: Any, expanded: tuple[str, ...], whole: bool) -> Any:
        if isinstance(value, Ref):
            return self._shown(value, expanded) if whole else value["id"]
        if isinstance(value, list):
            return [self._value(each, expanded, whole) for each in value]
        if isinstance(value, dict) and value.get("object") != "list":
            inner = {name: each for name, each in value.items() if not name.startswith("_")}
            return {name: self._value(each, _inside(expanded, name), name in expanded) for name, each in inner.items()}
        return value


def _inside(expanded: tuple[str, ...], name: str) -> tuple[str, ...]:
    return tuple(path.removeprefix(f"{name}.") for path in expanded if path.startswith(f"{name}."))


def _passes(path: str, name: str, value: str, item: Fields) -> bool:
    if found := re.fullmatch(r"created\[(gte|lte|gt|lt)\]", name):
        bound, created = int(value), item["created"]
        return bool(
            {"gte": created >= bound, "lte": created <= bound, "gt": created > bound, "lt": created < bound}[found[1]]
        )
    if name in ("limit", "starting_after", "page", "closed", "expand[]", "types[]") or name.startswith("statuses["):
        return True
    if name == "status" and value == "all":
        return True
    if name == "pending":
        return (item["invoice"] is None) == (value == "true")
    own = item["_of"].get(name, item.get(name))
    return bool((own["id"] if isinstance(own, dict) else own) == value)
