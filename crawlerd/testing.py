"""For tests of sources: crawls an API in this process, with crashes and errors, and tells what a source does wrong."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from crawlerd.clients.http import HttpApi, HttpClient
from crawlerd.core.account import AccountSpec
from crawlerd.core.outcome import Bury, Complete, Defer, Outcome, Pause, Retry
from crawlerd.core.problems import one_line
from crawlerd.core.task import PART, NewTask, Task
from crawlerd.engine.attempt import UNSERIALISABLE, attempt, begin
from crawlerd.source import ClientCredentials, Permanent, Response, RunPlan, Source

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from requests.models import PreparedRequest

    from crawlerd.core.errors import CrawlerdError

__all__ = ["check"]

MOST_TASKS = 10_000  # of a run: a test's API is small, so paging that goes on does not end
SHOWN = 3  # records, of those that a run has lost
WIDTH = 300  # characters of a problem
WORDS = {"batches": "records", "children": "tasks", "gathers": "groups", "greatest": "cursors"}

Place = tuple[str, str, str]  # part of the account, stream, key, or the beginning of keys
Rows = dict[Place, Any]


def check(
    source: Source,
    *,
    base_url: str = "",
    secret: str = "secret",  # noqa: S107 - for an API of a test
    streams: Sequence[str] | None = None,
    options: Mapping[str, Any] | None = None,
    import_options: Any = None,
) -> dict[str, dict[str, Any]]:
    """Imports all of an API that changes nothing and refuses nothing meanwhile, and returns it: stream → key → data.

    The API is a server at `base_url`, or the source's own address, answered by the library `responses`. It is crawled
    a few times, one task after another: in order; in another order, with a crash before the end of each task, which is
    performed again; and once more as the next run. One task of each kind meets the errors of `FAULTS`.

    AssertionError lists what is wrong: a task that fails, or asks twice, or does not give the same again; paging that
    comes back to where it was, or goes on after 10,000 tasks; one key for two records; values that JSON cannot hold;
    a sweep before the last record; records that another run has not; an error that does not become what the engine
    needs to know.

    streams: all by default. options, import_options: what the account and the import say beside the usual keys. Records
    of a part of the account are under "<part>/<stream>". ValueError for what cannot be checked: `client="aws"`.
    """
    if source.client != "http":
        raise ValueError(f'{source.name} has client="{source.client}": only sources with an HTTP API can be checked')
    url = base_url or source.base_url or ""
    account = AccountSpec(
        name="test",
        source=source.name,
        base_url=source.address(url, secret) if source.address else url,
        secret=secret,
        options=dict(options or {}),
    )
    plan = RunPlan(
        tuple(source.streams if streams is None else streams),
        full=True,
        started_at=time.time(),
        options=import_options,
        account_options=account.options,
    )
    client = HttpClient(connections=1)
    problems: dict[str, None] = {}
    try:
        crawl = _Crawl(_Worker(client, source, account, problems), plan, {})
        if crawl.run():
            _meet_faults(crawl)
            killed = _Crawl(crawl.worker, plan, {}, killed=True)
            killed.run()
            _compare(crawl, killed, "when each task crashes once, and in another order")
            again = replace(plan, full=False, cursors=crawl.cursors, started_at=time.time())
            following = _Crawl(crawl.worker, again, dict(crawl.rows))
            following.run()
            _compare(crawl, following, "after the next run")
    finally:
        client.close()
    if problems:
        raise AssertionError("\n".join([f"the source {source.name}:", *(f"- {each}" for each in problems)]))
    found: dict[str, dict[str, Any]] = {}
    for (part, stream, key), data in crawl.rows.items():
        found.setdefault(f"{part}/{stream}" if part else stream, {})[key] = data
    return found


@dataclass(eq=False)
class _Group:
    """open: its tasks and groups that have not ended, and one while it is being filled."""

    then: NewTask
    opener: _Item
    open: int = 1


@dataclass(eq=False)
class _Item:
    """A queued task. before: the one that asked for it."""

    task: NewTask
    part: str
    before: _Item | None
    group: _Group | None

    @property
    def key(self) -> tuple[str, str]:
        return self.part, self.task.key()

    def is_its_own_ancestor(self) -> bool:
        other = self.before
        while other is not None and other.key != self.key:
            other = other.before
        return other is not None


class _Fault(NamedTuple):
    """An error, what may become of it, in words as well, and how it is made of the right answer."""

    name: str
    wanted: str
    allowed: Callable[[Source, Outcome], bool]
    make: Callable[[Response], Response]


class _Worker:
    """Performs tasks, inline; problems: all that was found, none twice."""

    def __init__(self, client: HttpClient, source: Source, account: AccountSpec, problems: dict[str, None]) -> None:
        self.source, self._client, self._account, self._problems = source, client, account, problems

    def problem(self, text: str) -> None:
        self._problems[one_line(text)[:WIDTH]] = None

    def perform(self, item: _Item, fault: _Fault | None = None) -> tuple[Outcome, int]:
        """The outcome, and how many requests were asked for."""
        account = msgspec.structs.replace(self._account, part=item.part)
        api = _Api(self._client, self.source, account)
        api.fault = fault
        task = Task(1, 0, item.task.priority, 1, item.task.kind, 0, item.task.payload)
        return attempt(self.source, account, api, task, jitter=0.5), api.requests


class _Api(HttpApi):
    """Counts what a handler asks for, and answers with an error instead."""

    requests = 0
    fault: _Fault | None = None

    def request(self, *args: Any, **options: Any) -> Response:
        self.requests += 1
        return super().request(*args, **options)

    def _authorised(self, prepare: Callable[[PreparedRequest], None]) -> Response | CrawlerdError | Exception:
        """Below all that HttpApi makes of an answer, above the request for an access token."""
        answer = super()._authorised(prepare)
        return self.fault.make(answer) if self.fault and isinstance(answer, Response) else answer


class _Crawl:
    """A run, as the frontier and a sink would see it. rows: what the sink has. killed: each task is performed twice;
    what the first time has written stays in the sink, and no one else has heard of it."""

    def __init__(self, worker: _Worker, plan: RunPlan, rows: Rows, *, killed: bool = False) -> None:
        self.worker, self.rows, self.cursors = worker, rows, dict(plan.cursors)
        self.asked: dict[str, _Item] = {}  # the first task of each kind that has made a request, and is done
        self._plan, self._killed = plan, killed
        self._written: Rows = {}
        self._swept: list[Place] = []
        self._known: set[tuple[str, str]] = set()
        self._queue: deque[_Item] = deque()

    def run(self) -> bool:
        """Whether it has come to an end."""
        source = self.worker.source
        try:
            first = begin(source, self._plan, lambda _: None)
        except Permanent as error:
            self.worker.problem(str(error))
            return False
        origin = _Item(source.new_task(source.guard) if source.guard else NewTask("", "", 0, ""), "", None, None)
        if source.guard:
            guarded = self._perform(origin)
            if guarded is not None and not guarded.identity:
                self.worker.problem(f"{origin.task.kind}: guards the account, but yields no Identity")
        self._take(origin, first)
        for _ in range(MOST_TASKS):
            if not self._queue:
                return True
            item = self._queue.pop() if self._killed else self._queue.popleft()
            complete = self._perform(item)
            if complete is not None:
                self._take(item, complete)
            self._leave(item.group)
        self.worker.problem(f"paging does not end: more than {MOST_TASKS:,} tasks, the last of {item.task.kind}")
        return False

    def _perform(self, item: _Item) -> Complete | None:
        outcome, requests = self.worker.perform(item)
        kind = item.task.kind
        if requests > 1:
            self.worker.problem(f"{kind}: {requests} requests in one task; yield another task for the next one")
        if not isinstance(outcome, Complete):
            self.worker.problem(f"{kind} {item.task.payload}: {_said(outcome)}")
            return None
        if requests:
            self.asked.setdefault(kind, item)
        for each in outcome.skipped:
            if each.reason.startswith(UNSERIALISABLE):
                self.worker.problem(f"{kind}: the record {each.key!r} of {each.stream} {each.reason}")
        self._write(item, outcome)
        if self._killed:
            again, _ = self.worker.perform(item)
            if outcome != again:
                what = _difference(outcome, again) if isinstance(again, Complete) else _said(again)
                self.worker.problem(f"{kind} {item.task.payload}: performed twice, it is not the same: {what}")
                return None
            self._write(item, again)
        return outcome

    def _write(self, item: _Item, outcome: Complete) -> None:
        for batch in outcome.batches:
            for key, data in msgspec.json.decode(batch.rows):
                place = item.part, batch.stream, key
                if data is None:
                    self.rows.pop(place, None)
                    continue
                if place not in self._written and any(_covers(sweep, place) for sweep in self._swept):
                    self.worker.problem(f"{item.task.kind}: {batch.stream} {key} comes after the sweep of its stream")
                if self._written.setdefault(place, data) != data:
                    self.worker.problem(f"{item.task.kind}: two records of {batch.stream} have the key {key!r}")
                self.rows[place] = data
        for stream, prefix in outcome.sweeps:
            sweep = item.part, stream, prefix
            self._swept.append(sweep)
            for place in self.rows.keys() - self._written.keys():
                if _covers(sweep, place):
                    del self.rows[place]

    def _take(self, item: _Item, outcome: Complete) -> None:
        """What a commit does with it."""
        self.cursors |= dict(outcome.cursors)
        for stream, value in outcome.greatest:
            self.cursors[stream] = max(self.cursors.get(stream, ""), value)
        for child in outcome.children:
            self._add(child, item, item.group)
        for gather in outcome.gathers:
            group = _Group(gather.then, item)
            if item.group is not None:
                item.group.open += 1
            for child in gather.tasks:
                self._add(child, item, group)
            self._leave(group)

    def _add(self, task: NewTask, before: _Item, group: _Group | None, *, always: bool = False) -> None:
        part = task.account.removeprefix(PART) if task.account else before.part
        item = _Item(task, part, before, group)
        if item.key in self._known:
            if task.unique and not task.sequential and not always:
                return
            if (task.sequential and not always) or item.is_its_own_ancestor():
                self.worker.problem(f"{task.kind}: paging comes back to where it was: {task.payload}")
                return
        self._known.add(item.key)
        if group is not None:
            group.open += 1
        self._queue.append(item)

    def _leave(self, group: _Group | None) -> None:
        """One of the group's has ended; with the last one, the group."""
        while group is not None:
            group.open -= 1
            if group.open:
                return
            outer = group.opener.group
            self._add(group.then, group.opener, outer, always=True)
            group = outer


def _covers(sweep: Place, place: Place) -> bool:
    return place[:2] == sweep[:2] and place[2].startswith(sweep[2])


def _meet_faults(crawl: _Crawl) -> None:
    worker = crawl.worker
    for kind, item in crawl.asked.items():
        for fault in FAULTS:
            outcome, _ = worker.perform(item, fault)
            if not fault.allowed(worker.source, outcome):
                worker.problem(f"{kind}: {fault.name}: {fault.wanted}, but: {_said(outcome)}")


def _compare(usual: _Crawl, other: _Crawl, when: str) -> None:
    for words, places in {
        "are missing": usual.rows.keys() - other.rows.keys(),
        "are too many": other.rows.keys() - usual.rows.keys(),
        "differ": {each for each in usual.rows.keys() & other.rows.keys() if usual.rows[each] != other.rows[each]},
    }.items():
        if places:
            names = ", ".join(f"{stream} {key}" for _, stream, key in sorted(places)[:SHOWN])
            usual.worker.problem(f"{when}, {len(places):,} records {words}, such as {names}")


def _difference(one: Complete, other: Complete) -> str:
    names = (name for name in one.__struct_fields__ if getattr(one, name) != getattr(other, name))
    return "other " + " and ".join(WORDS.get(name, name) for name in names)


def _said(outcome: Outcome) -> str:
    match outcome:
        case Complete():
            return "it counted as done"
        case Bury():
            return f"a dead letter: {outcome.error}"
        case Retry():
            return f"tried again: {outcome.error}"
        case Defer():
            after = "" if outcome.retry_after is None else f" after {outcome.retry_after:g} s"
            return f"throttled{after}: {outcome.error}"
        case Pause():
            return f"the account is paused: {outcome.error}"
        case _:
            return outcome.error


def _status(status: int, **headers: str) -> Callable[[Response], Response]:
    body = b'{"error": {"message": "made by crawlerd.testing"}}'
    named = {"content-type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return lambda response: replace(response, status=status, headers=named, body=body)


def _unauthorized(source: Source, outcome: Outcome) -> bool:
    """An access token may have come to its end: the next attempt gets another one."""
    return isinstance(outcome, Pause) or (isinstance(source.auth, ClientCredentials) and isinstance(outcome, Retry))


def _denied(source: Source, outcome: Outcome) -> bool:
    return outcome.denied if isinstance(outcome, Bury) else isinstance(outcome, Complete | Defer | Pause)


def _missing(source: Source, outcome: Outcome) -> bool:
    return isinstance(outcome, Complete) or (isinstance(outcome, Bury) and not outcome.error.startswith("unexpected"))


FAULTS = (
    _Fault("401", "the account must be paused (Unauthorized)", _unauthorized, _status(401)),
    _Fault("403", "the stream must be denied (Denied), or throttled", _denied, _status(403)),
    _Fault("404", "it must be a dead letter (Permanent), or handled", _missing, _status(404)),
    _Fault("429", "it must be throttled (Throttled)", lambda _, outcome: isinstance(outcome, Defer), _status(429)),
    _Fault(
        "429 with Retry-After: 7",
        "it must be throttled (Throttled) for 7 s",
        lambda _, outcome: isinstance(outcome, Defer) and outcome.retry_after == 7,
        _status(429, retry_after="7"),
    ),
    _Fault("500", "it must be tried again (Transient)", lambda _, outcome: isinstance(outcome, Retry), _status(500)),
    _Fault(
        "a body that is cut off",
        "it must be tried again (Transient)",
        lambda _, outcome: isinstance(outcome, Retry),
        lambda response: replace(response, body=response.body[: len(response.body) // 2]),
    ),
)
