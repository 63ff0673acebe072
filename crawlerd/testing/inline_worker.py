"""Performs single tasks as a worker process does, with errors in place of right answers."""

from __future__ import annotations

import math
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from crawlerd.clients.http import HttpApi, HttpClient
from crawlerd.config.problems import one_line
from crawlerd.core.outcome import Bury, Complete, Defer, Pause, Retry
from crawlerd.core.task import Task
from crawlerd.engine.attempt import NoRequest, attempt
from crawlerd.source import Record, Response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from requests.models import PreparedRequest

    from crawlerd.clients.aws import AwsClient
    from crawlerd.core.configuration import AccountSpec
    from crawlerd.core.outcome import Outcome
    from crawlerd.core.task import NewTask
    from crawlerd.source import AwsApi, Handler, Output, Source
    from crawlerd.testing.faults import Fault

WIDTH = 300  # characters of a problem


class Performed(NamedTuple):
    """A task that was performed.

    requests: how many it made.
    good: one of them was answered without an error.
    """

    outcome: Outcome
    requests: int
    good: bool


class Worker:
    """Performs tasks in this thread.

    problems: everything that was found, without duplicates.
    streams: the requested ones.
    """

    def __init__(
        self,
        client: HttpClient | AwsClient,
        source: Source,
        account: AccountSpec,
        problems: dict[str, None],
        streams: Sequence[str],
    ) -> None:
        self.streams = streams
        self.source, self._client, self._account, self._problems = source, client, account, problems
        self._watched = copy(source)
        self._watched.kinds = {
            name: replace(kind, handler=self._watch(name, kind.handler)) for name, kind in source.kinds.items()
        }

    def problem(self, text: str) -> None:
        self._problems[one_line(text)[:WIDTH]] = None

    def perform(self, task: NewTask, part: str, fault: Fault | None = None) -> Performed:
        account = msgspec.structs.replace(self._account, part=part)
        kind = self.source.kinds.get(task.kind)
        api: _Api | _WatchedAws | NoRequest
        if kind and not kind.cost:
            api = NoRequest()
        elif isinstance(self._client, HttpClient):
            api = _Api(self._client, self.source, account, fault)
        else:
            api = _WatchedAws(self._client.open(self.source, account), fault)
        leased = Task(1, 0, task.priority, 1, task.kind, 0, task.payload)
        outcome = attempt(self._watched, account, api, leased, jitter=0.5, added=self.streams)
        if isinstance(api, NoRequest):
            return Performed(outcome, 0, good=False)
        return Performed(outcome, api.requests, api.good)

    def _watch(self, kind: str, handler: Handler) -> Handler:
        def watched(api: Any, args: Any) -> Iterator[Output]:
            for output in handler(api, args):
                if isinstance(output, Record) and not _finite(output.data):
                    self.problem(
                        f"{kind}: the record {output.key!r} of {output.stream} has NaN or an infinity: null in JSON"
                    )
                yield output

        return watched


def _finite(data: object) -> bool:
    """Whether all numbers are finite: the serializer silently makes null of others."""
    match data:
        case float():
            return math.isfinite(data)
        case dict():
            return all(map(_finite, data.values()))
        case list() | tuple():
            return all(map(_finite, data))
    return True


class _Api(HttpApi):
    """Counts a handler's requests, and answers with an error if wanted."""

    def __init__(self, client: HttpClient, source: Source, account: AccountSpec, fault: Fault | None) -> None:
        super().__init__(client, source, account)
        self.requests, self.good, self._fault = 0, False, fault

    def request(self, *args: Any, **options: Any) -> Response:
        self.requests += 1
        return super().request(*args, **options)

    def _authorised(self, prepare: Callable[[PreparedRequest], None]) -> Response | Exception:
        """Called after an access token was added, before HttpApi interprets the answer."""
        answer = super()._authorised(prepare)
        self.good = isinstance(answer, Response) and 200 <= answer.status < 300
        return self._fault.make(answer) if self._fault and isinstance(answer, Response) else answer


class _WatchedAws:
    """The same for a source with `client="aws"`."""

    def __init__(self, api: AwsApi, fault: Fault | None) -> None:
        self.requests, self.good, self._api, self._fault = 0, False, api, fault

    def call(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        self.requests += 1
        if self._fault:
            raise self._fault.error()
        answer = self._api.call(service, operation, **parameters)
        self.good = True
        return answer


def said(outcome: Outcome) -> str:
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
