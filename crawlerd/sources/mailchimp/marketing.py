"""The rest of Mailchimp: campaigns, segments and the like, by a description; what contacts did, by `activity`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import TYPE_CHECKING
from urllib.parse import quote

from crawlerd.source import Api, FirstOutput, Output, RunPlan, Source, TaskArgs
from crawlerd.sources.mailchimp import activity
from crawlerd.sources.mailchimp.answers import classify
from crawlerd.sources.rest.endpoints import make

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

LISTS = "lists"  # the description has it only for what is below lists


def _chosen(plan: RunPlan) -> Mapping[str, tuple[str, ...]]:
    wanted: tuple[str, ...] = plan.options.wanted if plan.options else ("*",)
    return {} if wanted == ("*",) else {LISTS: wanted}


described = make(tomllib.loads((files(__package__) / "marketing.toml").read_text()), classify=classify, chosen=_chosen)
DESCRIBED = tuple(stream for stream in described.streams if stream != LISTS)
BELOW_LISTS = ("segments", "segment_members", "tags", "merge_fields", "interest_categories", "interests")
STREAMS = (*DESCRIBED, *activity.STREAMS)


@dataclass(frozen=True)
class NamedList(TaskArgs, kind="mailchimp.named_list"):
    """Checks whether a list that an import names exists: otherwise nobody would notice that nothing of it is
    imported."""

    list: str


def registers(source: Source) -> None:
    source.kinds |= described.kinds
    activity.registers(source)

    @source.handles(NamedList, stream=LISTS, unique=True)
    def named_list(api: Api, args: NamedList) -> Iterator[Output]:
        api.get(f"/lists/{quote(args.list, safe='')}", {"fields": "id"})
        return
        yield


def first_tasks(plan: RunPlan, only: tuple[str, ...]) -> Iterable[FirstOutput]:
    """The first tasks of a run for these streams.

    only: ids of lists, () for all.
    """
    if not set(BELOW_LISTS).isdisjoint(plan.streams):
        yield from map(NamedList, only)
    yield from described.begins(replace(plan, streams=[each for each in plan.streams if each in DESCRIBED]))
    yield from activity.first_tasks(plan)
