"""For tests of sources: crawls an API in this process, with crashes and errors, and reports what a source does
wrong."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from crawlerd.clients.http import HttpClient
from crawlerd.core.configuration import AccountSpec
from crawlerd.source import RunPlan
from crawlerd.testing.crawl import Crawl
from crawlerd.testing.faults import FAULTS
from crawlerd.testing.inline_worker import Worker, said

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from crawlerd.clients.aws import AwsClient
    from crawlerd.source import Source

__all__ = ["check"]

SHOWN = 3  # lost records that a message names


def check(
    source: Source,
    *,
    base_url: str = "",
    secret: str = "secret",  # noqa: S107 - for an API of a test
    streams: Sequence[str] | None = None,
    options: Mapping[str, Any] | None = None,
    import_options: Any = None,
) -> dict[str, dict[str, Any]]:
    """Imports everything from an API that does not change meanwhile and refuses nothing. Returns it: stream → key →
    data.

    The API is a server at `base_url`, or the source's own address, answered by the library `responses`. It is crawled
    several times, one task after another: in order; in another order, with a crash before the end of each task, which
    is then performed again; and once more as the next run. One task of each kind meets the errors of `FAULTS`.

    Raises AssertionError with a list of what is wrong: a task that fails, makes more than one request, or does not give
    the same output again; paging that returns to an earlier page, or goes on after 10,000 tasks, or after 1,000 in a
    row without a new record; two records with one key; values that JSON does not have; a stream that was not requested;
    a sweep before the last record; records that differ between runs; an error that does not become what the engine
    needs to know.

    source: the source to test.
    base_url: where its API is; "" for the source's own address.
    secret: the credential; with `client="aws"`, it is "<key id>:<key>", and the services are at the option
        `endpoint_url`.
    streams: by default all, except those that extensions add.
    options, import_options: the additional keys of the account and of the import.

    Records of a part of the account are under "<part>/<stream>".
    """
    url = base_url or source.base_url or ""
    account = AccountSpec(
        name="test",
        source=source.name,
        base_url=source.address(url, secret) if source.address else url,
        secret=secret,
        options=dict(options or {}),
    )
    asked = source.streams if streams is None else streams
    plan = RunPlan(
        tuple(stream for stream in asked if stream not in source.added),
        full=True,
        started_at=time.time(),
        options=import_options,
        account_options=account.options,
    )
    client = _client(source)
    problems: dict[str, None] = {}
    try:
        crawl = Crawl(Worker(client, source, account, problems, asked), plan, {})
        if crawl.run():
            _meet_faults(crawl)
            killed = Crawl(crawl.worker, plan, {}, killed=True)
            killed.run()
            _compare(crawl, killed, "when each task crashes once, and in another order")
            again = replace(plan, full=False, cursors=crawl.cursors, started_at=time.time())
            following = Crawl(crawl.worker, again, dict(crawl.rows), crawl.parents, below=crawl.below)
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


def _client(source: Source) -> HttpClient | AwsClient:
    if source.client == "http":
        return HttpClient(connections=1)
    from crawlerd.clients.aws import AwsClient  # importing it takes a second

    return AwsClient(connections=1)


def _meet_faults(crawl: Crawl) -> None:
    worker = crawl.worker
    for kind, item in crawl.asked.items():
        for fault in FAULTS:
            outcome = worker.perform(item.task, item.part, fault).outcome
            if not fault.allowed(worker.source, outcome):
                worker.problem(f"{kind}: {fault.name}: {fault.wanted}, but: {said(outcome)}")


def _compare(usual: Crawl, other: Crawl, when: str) -> None:
    for words, places in {
        "are missing": usual.rows.keys() - other.rows.keys(),
        "are unexpected": other.rows.keys() - usual.rows.keys(),
        "differ": {each for each in usual.rows.keys() & other.rows.keys() if usual.rows[each] != other.rows[each]},
    }.items():
        if places:
            names = ", ".join(f"{stream} {key}" for _, stream, key in sorted(places)[:SHOWN])
            usual.worker.problem(f"{when}, {len(places):,} records {words}, such as {names}")
