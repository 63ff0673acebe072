"""A list that changes between any two requests, the API that pages it, and a run that reads it, in memory."""

from __future__ import annotations

import json
import random
import tomllib
from collections import Counter
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from crawlerd.core.configuration import AccountSpec
from crawlerd.core.outcome import Complete, Retry, RetryPolicy, charge
from crawlerd.core.task import Task
from crawlerd.engine import kinds
from crawlerd.engine.attempt import NoRequest, attempt
from crawlerd.source import MISSING_KEYS, Permanent, Response, RunPlan
from crawlerd.sources.rest import make

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from crawlerd.core.task import NewGather, NewTask

START = 1_700_000_000  # Unix seconds of the first run
API = "https://api.example"


def moment(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Moving:
    """Records in an order: "rank" (which a record keeps), "updated", "-updated" or "none". Time goes on with every
    request.

    churn: at most so many insertions, deletions and edits between two requests. spread: seconds between two changes at
    first. steps: what may pass between two requests.
    """

    def __init__(self, dice: random.Random, order: str, count: int, churn: int, spread: int, steps: Any) -> None:
        self.dice, self.order, self.churn, self.steps = dice, order, churn, steps
        self.now = float(START)
        self.rows: dict[int, dict[str, Any]] = {}
        self.next_id = 0
        for number in range(count):
            self.insert(START - 500_000 + number * spread)

    def insert(self, at: float) -> None:
        row = {"id": self.next_id, "rank": self.dice.random(), "revision": 0, "updated_at": moment(at)}
        self.rows[self.next_id] = row
        self.next_id += 1

    def change(self, most: int) -> None:
        for _ in range(self.dice.randint(0, most)):
            what = self.dice.choice(("insert", "delete", "edit"))
            if what == "insert" or not self.rows:
                self.insert(self.now)
                continue
            key = self.dice.choice(list(self.rows))
            if what == "delete":
                del self.rows[key]
            else:
                row = self.rows[key]
                self.rows[key] = {**row, "revision": row["revision"] + 1, "updated_at": moment(self.now)}

    def place(self, row: Mapping[str, Any]) -> tuple[Any, ...]:
        if self.order == "none":
            return (self.dice.random(),)
        if self.order == "rank":
            return row["rank"], row["id"]
        return row["updated_at"], row["id"]

    def listed(self, since: str | None, inclusive: bool = True) -> list[dict[str, Any]]:
        rows = sorted(self.rows.values(), key=self.place, reverse=self.order.startswith("-"))
        if since is None:
            return rows
        return [each for each in rows if each["updated_at"] > since or (inclusive and each["updated_at"] == since)]


class Shifted(Moving):
    """Records that come to the front of a list, and go from there. shifts: how many come before each request; less than
    0, how many go."""

    def __init__(self, count: int, shifts: Iterable[int]) -> None:
        super().__init__(random.Random(0), "rank", count, 0, 0, (1.0,))
        self.shifts = iter(shifts)
        for key, row in self.rows.items():
            row["rank"] = key

    def change(self, most: int) -> None:
        shift = next(self.shifts, 0)
        for key in sorted(self.rows, key=lambda key: self.place(self.rows[key]))[: max(0, -shift)]:
            del self.rows[key]
        for _ in range(shift):
            self.insert(self.now)
            newest = self.next_id - 1
            self.rows[newest]["rank"] = -newest


class Answers:
    """An API that a function answers: of path, query and headers, it makes status, headers and JSON. requests: the URLs
    that were asked for."""

    def __init__(self, answer: Callable[..., tuple[int, dict[str, str], Any]]) -> None:
        self.answer = answer
        self.requests: list[str] = []
        self.now = float(START)
        self.options: dict[str, Any] = {}
        self.sent_at = self.done_at = 0.0

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] = MappingProxyType({}),
        headers: Mapping[str, str] = MappingProxyType({}),
        classify: Callable[[Response], Exception | None],
    ) -> Response:
        parts = urlsplit(path)
        query = {name: str(value) for name, value in params.items()} | dict(parse_qsl(parts.query))
        self.requests.append(f"{parts.path}?{urlencode(query)}")
        status, answered, body = self.answer(parts.path, query, headers)
        response = Response(status, answered, json.dumps(body).encode(), f"{API}{parts.path}?{urlencode(query)}")
        error = classify(response)
        if error is None and response.status != 200:
            error = Permanent(f"HTTP {response.status}")
        if error is not None:
            raise error
        return response


class Server(Answers):
    """Pages a Moving list in one way. most: what it gives at once, whatever it is asked for."""

    def __init__(self, rows: Moving, way: str, most: int, *, inclusive: bool = True, first: int = 0) -> None:
        super().__init__(self.page)
        self.rows, self.way, self.most, self.inclusive, self.first = rows, way, most, inclusive, first

    def page(self, path: str, query: dict[str, str], headers: Mapping[str, str]) -> tuple[int, dict[str, str], Any]:
        self.rows.now += self.rows.dice.choice(self.rows.steps)
        self.now = self.rows.now
        self.rows.change(self.rows.churn)
        if path.startswith("/items/"):
            row = self.rows.rows.get(int(path[7:]))
            return 404 if row is None else 200, {}, row
        rows = self.rows.listed(query.get("since"), self.inclusive)
        size = min(int(query.get("limit", self.most)), self.most)
        body: dict[str, Any] = {"total": len(rows), "pages": -(-len(rows) // size)}
        answered: dict[str, str] = {}
        if self.way == "none":
            size = len(rows)
        if self.way in ("offset", "number", "numbered_link", "numbered_url"):
            if self.way in ("offset", "numbered_url"):
                start = int(query.get("offset", self.first)) - self.first
            else:
                start = (int(query.get("page", 1)) - 1) * size
        else:  # a cursor stands for what was given last
            after = query.get("after") or headers.get("X-After")
            sign = (
                (lambda one, other: one < other)
                if self.rows.order.startswith("-")
                else (lambda one, other: one > other)
            )
            at = None if after is None else tuple(json.loads(after))
            start = sum(1 for each in rows if at is not None and not sign(self.rows.place(each), at))
        found = rows[start : start + size]
        if start + size < len(rows):
            body["more"] = True
            token = json.dumps(self.rows.place(found[-1])) if found else ""
            following: dict[str, Any] = {"after": token}
            if self.way == "numbered_link":
                following = {"page": int(query.get("page", 1)) + 1}
            elif self.way == "numbered_url":
                following = {"offset": self.first + start + size}
            kept = {name: value for name, value in query.items() if name not in ("page", "after", "offset")}
            url = f"{API}{path}?{urlencode(kept | following)}"
            body |= {"next": token, "url": url}
            answered = {"x-next": token, "link": f'<{url}>; rel="next"'}
        body["data"] = found
        return 200, answered, body


class Sink:
    """rows: what lives, by key. gone: what has a tombstone."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.gone: set[str] = set()


class Run:
    """A run to its end, one task after another; groups, unique tasks and sweeps as in the frontier and in a sink.

    dead: errors of its dead letters. complete: there are none.
    """

    def __init__(
        self,
        toml: str,
        server: Any,
        sink: Sink,
        cursors: dict[str, str],
        *,
        full: bool,
        parents: set[Any] | None = None,
    ) -> None:
        self.source = make(tomllib.loads(f'name = "api"\nbase_url = "{API}"\n{toml}'))
        self.server, self.sink, self.staged = server, sink, dict(cursors)
        self.parents = set() if parents is None else parents
        self.written: set[str] = set()
        self.dead: list[str] = []
        self.skipped: list[str] = []
        self.notes: list[str] = []
        self.tasks: Counter[str] = Counter()
        self._seen: set[str] = set()
        self._queue: list[tuple[NewTask, tuple[int, ...]]] = []
        self._groups: list[dict[str, Any]] = []
        plan = RunPlan(self.source.streams, full=full, started_at=server.now, cursors=cursors)
        first = kinds.first(self.source, plan)
        self._take(first, ())
        while self._queue:
            task, inside = self._queue.pop(0)
            self.tasks[task.kind] += 1
            assert sum(self.tasks.values()) < 3_000, self.server.requests[-20:]
            self._perform(task, inside)
            self._leave(inside)
        self.complete = not self.dead and not self.skipped
        if not self.dead:
            cursors.clear()
            cursors |= self.staged

    def _perform(self, task: NewTask, inside: tuple[int, ...]) -> None:
        api = self.server if self.source.kinds[task.kind].cost else NoRequest()
        account = AccountSpec(name="a", source="api", retry=RetryPolicy(attempts=5))
        for tries in range(10):
            leased = Task(1, 0, task.priority, 1, task.kind, tries, task.payload)
            outcome = attempt(self.source, account, api, leased, jitter=0.5)
            if isinstance(outcome, Retry):
                outcome = charge(outcome, tries)
            if not isinstance(outcome, Retry):
                break
        if isinstance(outcome, Complete):
            self._write(outcome)
            self._take(outcome, inside)
            return
        self._bury(getattr(outcome, "error", str(outcome)), inside)

    def _bury(self, error: str, inside: tuple[int, ...]) -> None:
        self.dead.append(error)
        for number in inside:
            self._groups[number]["dead"] += 1

    def _write(self, outcome: Complete) -> None:
        for batch in outcome.batches:
            for key, data in (
                (key, json.loads(text or b"null")) for key, text in zip(batch.keys, batch.data, strict=True)
            ):
                self.written.add(key)
                if data is None:
                    self.sink.rows.pop(key, None)
                    self.sink.gone.add(key)
                else:
                    self.sink.rows[key] = data
                    self.sink.gone.discard(key)
        for _ in outcome.sweeps:
            for key in self.sink.rows.keys() - self.written:
                del self.sink.rows[key]
                self.sink.gone.add(key)
        for each in outcome.skipped:
            (self.notes if each.note else self.skipped).append(each.reason)

    def _take(self, outcome: Complete, inside: tuple[int, ...]) -> None:
        self.staged |= dict(outcome.cursors)
        for of, value in outcome.greatest:
            self.staged[of] = max(self.staged.get(of, ""), value)
        for of, parent, whole in outcome.parents:
            (self.parents.add if whole else self.parents.discard)((of, parent))
        for child in outcome.children:
            self._add(child, inside)
        for each in outcome.comparisons:
            missing = sorted(key for key in self.sink.rows.keys() - self.written if key > each.after)[:MISSING_KEYS]
            if missing:
                self._add(each.following(missing), inside)
        for gather in outcome.gathers:
            self._open(gather, inside)

    def _open(self, gather: NewGather, inside: tuple[int, ...]) -> None:
        number = len(self._groups)
        self._groups.append({"open": 1, "dead": 0, "then": gather.then, "if_dead": gather.if_dead, "inside": inside})
        for number_ in inside:
            self._groups[number_]["open"] += 1
        for task in gather.tasks:
            self._add(task, (*inside, number))
        self._leave((number,))

    def _add(self, task: NewTask, inside: tuple[int, ...]) -> None:
        if task.if_new and (task.if_new.list, task.if_new.parent) not in self.parents:
            task = task.if_new.task
        if task.unique and task.key() in self._seen:
            if task.sequential:
                self._bury(f"repeated: {task.payload}", inside)
            return
        self._seen.add(task.key())
        self._queue.append((task, inside))
        for number in inside:
            self._groups[number]["open"] += 1

    def _leave(self, inside: tuple[int, ...]) -> None:
        for number in reversed(inside):
            group = self._groups[number]
            group["open"] -= 1
            if group["open"]:
                continue
            if group["dead"] and group["if_dead"] == "fail":
                self._bury("others of its group are dead", group["inside"])
            else:
                self._queue.append((group["then"], group["inside"]))
                for outer in group["inside"]:
                    self._groups[outer]["open"] += 1
            self._leave(group["inside"])
