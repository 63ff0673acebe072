"""Makes one request with an account, within its limits, to find out whether it works."""

from __future__ import annotations

import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, NamedTuple

from crawlerd.core.errors import Permanent
from crawlerd.engine import kinds
from crawlerd.source import RunPlan

if TYPE_CHECKING:
    from crawlerd.config.load import Settings
    from crawlerd.core.outcome import Outcome
    from crawlerd.core.task import NewTask
    from crawlerd.engine.account_names import AccountNames
    from crawlerd.engine.clock import Clock
    from crawlerd.engine.dispatcher_inbox import DispatcherInbox
    from crawlerd.engine.store_inbox import StoreInbox
    from crawlerd.frontier.contract import Frontier
    from crawlerd.source import Source


class QuestionFacts(NamedTuple):
    """The request that shows whether an account works.

    task: the task that makes the request.
    stream: the stream that it reads a first page of, "" if it reads none.
    confirms: it is the source's check of credentials.
    """

    task: NewTask
    stream: str
    confirms: bool


class Questions:
    """May be used from any thread."""

    def __init__(
        self,
        settings: Settings,
        names: AccountNames,
        frontier: Frontier,
        clock: Clock,
        store: StoreInbox,
        dispatcher: DispatcherInbox,
    ) -> None:
        self._settings, self._names, self._frontier, self._clock = settings, names, frontier, clock
        self._store, self._dispatcher = store, dispatcher

    def ask(self, account: str, seconds: float) -> tuple[QuestionFacts, Outcome]:
        """Makes the request as soon as the account's limits permit, even when it is paused, and returns its outcome.

        Raises Permanent when there is no such request, and TimeoutError when no answer came within these seconds.
        """
        deadline = time.monotonic() + seconds
        source, number = self._names.source(account), self._names.numbers.get(account)
        if source is None or number is None:
            raise Permanent(f"account {account[:80]} is not configured")
        question = question_of(source, self._settings.accounts[account].options)
        bucket = None
        if question.stream and question.task.bucket:
            name = question.task.bucket
            bucket = self._store.call(lambda: self._frontier.bucket_number(number, name)).result(seconds)
            (found,) = self._store.call(lambda: self._frontier.buckets([bucket])).result(seconds)
            self._dispatcher.heads(found, 0, [], more=False)
        answer: Future[Outcome] = Future()
        kind, payload = question.task.kind, question.task.payload
        self._dispatcher.ask(number, bucket, kind, payload, answer, confirms=question.confirms)
        try:
            return question, answer.result(max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            self._dispatcher.forget(number, answer)
            raise

    def identity(self, account: str) -> str | None:
        """Who the account's credentials belonged to when they were first checked; None if that is unknown."""
        number = self._names.numbers[account]
        (noted,) = self._store.call(lambda: self._frontier.identities([number])).result()
        return noted


def question_of(source: Source, options: dict[str, object]) -> QuestionFacts:
    """The request that shows whether an account works. Raises Permanent when the source has none.

    options: the account's options.
    """
    args = source.question or source.guard
    if args is not None:
        return QuestionFacts(kinds.new_task(source, args), "", args is source.guard)
    for stream in (*source.streams, *source.optional):
        plan = RunPlan((stream,), full=True, started_at=time.time(), account_options=options)
        try:
            first = kinds.first(source, plan)
        except Exception as error:
            raise Permanent(f"the source {source.name} cannot begin: {type(error).__name__}: {error}") from error
        tasks = [*first.children, *(task for gather in first.gathers for task in gather.tasks)]
        for task in tasks:
            if source.kinds[task.kind].cost and not task.account:
                return QuestionFacts(task, stream, confirms=False)
    raise Permanent(f"the source {source.name} has no request that could test an account")
