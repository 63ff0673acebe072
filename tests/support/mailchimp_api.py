"""A local Mailchimp: lists whose members change while they are read, with its limits and its refusals."""

from __future__ import annotations

import asyncio
import random
import time
from base64 import b64decode
from datetime import UTC, datetime
from hashlib import md5
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web
from sortedcontainers import SortedList

from support.local_server import LocalServer, reset

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

KEY = "0123456789abcdef0123456789abcdef-us21"
FIRST_CHANGE = 1_600_000_000  # Unix seconds


def member_id(number: int) -> str:
    return md5(f"member{number}@example.com".encode(), usedforsecurity=False).hexdigest()


class Audience:
    """A list. Of each member it keeps two numbers, revision and time of last change, and makes the rest of them."""

    def __init__(self, name: str, members: int, changed: Callable[[int], int]) -> None:
        self.name = name
        self.created = members
        self.revisions = dict.fromkeys(range(members), 1)
        self.changes = {number: changed(number) for number in range(members)}
        self._order = SortedList((at, number) for number, at in self.changes.items())

    def edit(self, number: int, now: int) -> None:
        self._order.remove((self.changes[number], number))
        self.changes[number] = now
        self.revisions[number] += 1
        self._order.add((now, number))

    def add(self, now: int) -> int:
        number = self.created
        self.created += 1
        self.revisions[number], self.changes[number] = 1, now
        self._order.add((now, number))
        return number

    def delete(self, number: int) -> None:
        self._order.remove((self.changes.pop(number), number))
        del self.revisions[number]

    def member(self, number: int) -> dict[str, Any]:
        return {
            "id": member_id(number),
            "email_address": f"member{number}@example.com",
            "status": "subscribed",
            "merge_fields": {"FNAME": f"Name {number}", "REVISION": self.revisions[number]},
            "list_id": self.name,
            "last_changed": datetime.fromtimestamp(self.changes[number], UTC).isoformat(),
        }

    def page(self, since: int | None, skip: int, count: int, *, inclusive: bool) -> tuple[list[dict[str, Any]], int]:
        """Members that changed since a time, oldest change first, and how many there are in all."""
        first = 0 if since is None else self._order.bisect_left((since if inclusive else since + 1, -1))
        numbers = [number for _, number in islice(self._order.islice(first + skip), count)]
        return [self.member(number) for number in numbers], len(self._order) - first

    def everything(self) -> dict[str, dict[str, Any]]:
        """All members that are there, by the keys of their records."""
        return {f"{self.name}/{member_id(number)}": self.member(number) for number in self.revisions}


class Mailchimp(LocalServer):
    """lists: members of each, by id. changed: when each was changed at first, by its number.

    edits, deletions: of a list, at random, before each page of it (a page is what was there at one moment).
    inclusive: whether `since_last_changed` gives what changed at that very second. most: largest page. counts_all:
    `total_items` counts those that the filter leaves out. latency: seconds. faults: what each request meets instead of
    its answer: "html429", "html403", "html404", "json404", "500", "reset", or None; called with the path.
    """

    def __init__(
        self,
        lists: Mapping[str, int],
        *,
        changed: Callable[[int], int] = lambda number: FIRST_CHANGE + number,
        edits: int = 0,
        deletions: int = 0,
        inclusive: bool = True,
        most: int = 1000,
        counts_all: bool = False,
        latency: float = 0.0,
        faults: Callable[[str], str | None] = lambda path: None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.audiences = {name: Audience(name, members, changed) for name, members in lists.items()}
        self.edits, self.deletions = edits, deletions
        self.inclusive, self.most, self.counts_all = inclusive, most, counts_all
        self.latency, self.faults = latency, faults
        self.requests: list[str] = []
        self.under_way = self.most_at_once = self.refused = 0
        self.edited: set[str] = set()
        self.hidden: set[str] = set()  # members that lists leave out
        self._random = random.Random(seed)

    def everything(self) -> dict[str, dict[str, Any]]:
        """All members of all lists, by the keys of their records."""
        return self.ask(lambda: {k: v for each in self.audiences.values() for k, v in each.everything().items()})

    def change(self, name: str, *, edits: int = 0, deletions: int = 0, additions: int = 0) -> None:
        """Changes a list now."""
        self.ask(lambda: self._change(self.audiences[name], edits, deletions, additions))

    def _change(self, audience: Audience, edits: int, deletions: int, additions: int = 0) -> None:
        now = int(time.time())
        for _ in range(additions):
            audience.add(now)
        for _ in range(min(edits, len(audience.revisions))):
            number = self._one_of(audience)
            audience.edit(number, now)
            self.edited.add(f"{audience.name}/{member_id(number)}")
        for _ in range(min(deletions, len(audience.revisions))):
            audience.delete(self._one_of(audience))

    def _one_of(self, audience: Audience) -> int:
        while (number := self._random.randrange(audience.created)) not in audience.revisions:
            pass
        return number

    async def respond(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request.path)
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        try:
            if self.under_way > 10:
                self.refused += 1
                return problem(429, "You have exceeded the limit of 10 simultaneous connections.")
            if self.latency:
                await asyncio.sleep(self.latency)
            match self.faults(request.path):
                case "html429":
                    return web.Response(status=429, text="<html>Too many</html>", content_type="text/html")
                case "html403":
                    return web.Response(status=403, text="<html>Denied</html>", content_type="text/html")
                case "json404":
                    return json({"status": "error", "detail": "no route"}, 404)
                case "html404":
                    return web.Response(status=404, text="<html>Nothing</html>", content_type="text/html")
                case "500":
                    return problem(500, "An unexpected internal error")
                case "reset":
                    return reset(request)
            return self._answer(request)
        finally:
            self.under_way -= 1

    def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Basic" or b64decode(value).decode().partition(":")[2] != KEY:
            return problem(401, "Your API key may be invalid, or you've attempted to access the wrong datacenter.")
        query = request.query
        skip, count = int(query.get("offset", 0)), min(int(query.get("count", 10)), self.most)
        match request.path.strip("/").split("/"):
            case ["3.0"]:
                return json({"account_id": "account-1"})
            case ["3.0", "lists"]:
                found: list[dict[str, Any]] = [{"id": name, "name": name.upper()} for name in self.audiences]
                return json({"lists": found[skip : skip + count], "total_items": len(found)})
            case ["3.0", "lists", name] if name in self.audiences:
                return json({"id": name, "name": name.upper()})
            case ["3.0", "lists", name, "members", key] if name in self.audiences:
                found = [each for each in self.audiences[name].everything().values() if each["id"] == key]
                if found:
                    return json(found[0])
            case ["3.0", "lists", name, "members"] if name in self.audiences:
                assert (query["sort_field"], query["sort_dir"]) == ("last_changed", "ASC")
                audience = self.audiences[name]
                self._change(audience, self.edits, self.deletions)
                since = query.get("since_last_changed")
                at = None if since is None else int(datetime.fromisoformat(since).timestamp())
                members, total = audience.page(at, skip, count, inclusive=self.inclusive)
                members = [each for each in members if each["id"] not in self.hidden]
                total = len(audience.revisions) if self.counts_all else total
                return json({"members": members, "total_items": total, "list_id": name})
        return problem(404, "The requested resource could not be found.")


def json(value: Any, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")


def problem(status: int, detail: str) -> web.Response:
    return json({"type": "https://mailchimp.com/developer/", "status": status, "detail": detail}, status)
