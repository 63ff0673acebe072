"""Makes a Source from a description: a kind of task for each endpoint's pages."""

from __future__ import annotations

import types
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from crawlerd.source import (
    Api,
    Classifier,
    Full,
    Gather,
    Limits,
    Output,
    Permanent,
    RunPlan,
    Source,
    TaskArgs,
)
from crawlerd.sources.rest import account_question
from crawlerd.sources.rest.comparing import Comparing, Tombstones
from crawlerd.sources.rest.description import Description
from crawlerd.sources.rest.expressions import fields_in
from crawlerd.sources.rest.incremental import bound, mark_of
from crawlerd.sources.rest.pages import Kinds, Page, Pages, Unread
from crawlerd.sources.rest.records import key_above
from crawlerd.sources.rest.sending import kind_of_auth, sending

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

ABOVE, BELOW = 3, 5  # priority of lists: most lists below others end on their first page, so that they empty the queue


def _limits(description: Description) -> Limits:
    endpoints = description.endpoints.items()
    return Limits(
        description.limits,
        bucket=description.bucket_limits,
        by_bucket={name: each.limits for name, each in endpoints if each.limits is not None},
        concurrency=description.concurrency,
        bucket_concurrency={name: each.concurrency for name, each in endpoints if each.concurrency is not None},
    )


Chosen = Callable[["RunPlan"], "Mapping[str, tuple[str, ...]]"]


def make(document: dict[str, Any], *, classify: Classifier | None = None, chosen: Chosen | None = None) -> Source:
    """The source for a checked description.

    For a source in Python that describes the rest of its streams in this way:
    classify: see `Source`; used if no rule of the description matches.
    chosen: for endpoints without parent, the keys of the only records that a run reads, with everything below them.
    """
    description = Description.model_validate(document, context=document)
    pages: dict[str, Pages] = {}
    comparing = Comparing(description.name, pages, {name: description.top(name) for name in description.endpoints})
    pages |= {
        name: Pages(description, name, _kinds(description.name, name), comparing, classify)
        for name in description.endpoints
    }
    for each in pages.values():
        each.below = [pages[name] for name in description.children(each.name)]
    lists = {name: List(each, comparing, description.name) for name, each in pages.items()}
    source = Source(
        description.name,
        base_url=description.base_url,
        streams=list(description.endpoints),
        limits=_limits(description),
        auth=kind_of_auth(description),
        sending=sending(description),
        asks=lambda stream, options: _asks(description, stream, options.get("variables", {})),
        since=[name for name, each in pages.items() if each.takes_times()],
        needs={stream: _needs(description, stream) for stream in description.endpoints},
    )
    comparing.register(source)
    account_question.register(source, description, classify)
    for one in lists.values():
        one.register(source)

    @source.starts
    def first_pages(plan: RunPlan) -> Iterable[TaskArgs | Gather | Full]:
        only = chosen(plan) if chosen else {}
        for name in description.children(None):
            yield from lists[name].first_page(plan, only.get(name, ()))

    return source


def _needs(description: Description, stream: str) -> dict[str, str]:
    """The fields of its records from which keys, sync points and tasks are made, with their purpose."""
    endpoint = description.endpoints[stream]
    shown = key_above(endpoint, description.endpoints[endpoint.parent]) if endpoint.parent else ()
    needed = {name: "the key of its parent" for name, path in endpoint.from_parent.items() if path in shown}
    needed |= {name: "the key of its records" for each in endpoint.primary_key for name in fields_in(each)}
    if endpoint.incremental:
        needed |= dict.fromkeys(fields_in(endpoint.incremental.field), "its sync point")
    for child in description.children(stream):
        below = description.endpoints[child]
        asked = [name.removeprefix("parent.") for name in below.asked_fields() if name.startswith("parent.")]
        asked += [name for each in below.from_parent.values() for name in fields_in(each)]
        needed = dict.fromkeys(asked, f"used by tasks of {child}") | needed
    return needed


def _asks(description: Description, stream: str, variables: Mapping[str, str]) -> list[object]:
    """Everything that determines which records an API returns, and which records these are."""
    asked: list[object] = [variables, description.headers, description.parameters]
    name: str | None = stream
    while name is not None:
        spec = description.endpoints[name]
        field = spec.incremental and spec.incremental.field
        asked += [spec.path, spec.parameters, spec.records, spec.primary_key, spec.from_parent, field]
        name = spec.parent
    return asked


def _kinds(source: str, name: str) -> Kinds:
    return Kinds(
        types.new_class("FirstPage", (Page,), {"kind": f"{source}.{name}"}),
        types.new_class("NextPage", (Page,), {"kind": f"{source}.next.{name}"}),
        types.new_class("UnreadPage", (Unread,), {"kind": f"{source}.unread.{name}"}),
    )


class List:
    """An endpoint of a description, with those below it."""

    def __init__(self, pages: Pages, comparing: Comparing, source: str) -> None:
        self._pages, self._comparing = pages, comparing
        kind = f"{source}.tombstones.{pages.name}"
        self._sweep: type[Tombstones] = types.new_class("Sweep", (Tombstones,), {"kind": kind})

    def register(self, source: Source) -> None:
        kinds, spec = self._pages.kinds, self._pages.spec
        priority = BELOW if spec.parent else ABOVE
        facts: dict[str, Any] = {"stream": self._pages.name, "cost": spec.cost, "priority": priority}
        source.handles(kinds.first, unique=True, **facts)(self._pages.page)
        source.handles(kinds.next, sequential=True, unique=self._pages.same, **facts)(self._pages.page)
        source.handles(self._sweep, bucket="tombstones", cost=0)(self._comparing.tombstones)
        source.handles(kinds.unread, bucket="tombstones", cost=0)(_unread)

    def first_page(self, plan: RunPlan, only: tuple[str, ...]) -> Iterator[TaskArgs | Gather | Full]:
        """Its first page, if the run wants it or something below it.

        only: see `Page`.
        """
        wanted = tuple(each for each in self._pages.streams() if each in plan.streams)
        if not wanted:
            return
        cursors = {} if plan.full else plan.cursors
        since = {each.name: known for each in self._pages.tree() if (known := _since(each, wanted, cursors))}
        if plan.since is not None:
            mark = mark_of(datetime.fromtimestamp(plan.since, UTC))
            since = {each.name: mark for each in self._pages.tree() if each.takes_times()}
        swept = tuple(each for each in _whole(self._pages, since) if each in wanted and not plan.ad_hoc)
        first = self._pages.kinds.first(wanted, plan.started_at, swept, since, noted=plan.since is None, only=only)
        if swept and plan.cursors and not plan.full:
            yield Full("no sync point", swept)
        then = self._sweep(swept, plan.started_at, only)
        yield Gather([first], then=then, if_dead="fail") if swept else first


def _whole(pages: Pages, since: Mapping[str, str]) -> Iterator[str]:
    """The lists with tombstones that are read completely, with all lists above them."""
    if pages.name not in since:
        if pages.spec.tombstones:
            yield pages.name
        for each in pages.below:
            yield from _whole(each, since)


def _since(pages: Pages, wanted: tuple[str, ...], cursors: Mapping[str, str]) -> str | None:
    """The mark from which on a list is read; None for all of it."""
    if (rule := pages.spec.incremental) is None:  # a sync point of this name would have no meaning
        return None
    cursor = cursors.get(pages.cursor(wanted))
    return bound(rule, cursor) if cursor else None


def _unread(api: Api, args: Unread) -> Iterator[Output]:
    raise Permanent(args.reason)
    yield
