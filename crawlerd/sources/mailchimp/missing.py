"""Lists and members that a sweep has not found: each is requested by itself before it counts as deleted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from crawlerd.source import MISSING_KEYS, Api, Gather, NotFound, Output, Record, Source, Sweep, TaskArgs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WRONG: dict[str, Any] = {}
Prefixes = tuple[tuple[str, str], ...]  # streams, with prefixes of keys


@dataclass(frozen=True)
class Comparing(TaskArgs, kind="mailchimp.comparing"):
    """Everything was read.

    prefixes, started: as in the task that follows when missing objects were requested.
    """

    prefixes: Prefixes
    started: float


@dataclass(frozen=True)
class Compared(TaskArgs, kind="mailchimp.compared"):
    stream: str
    prefix: str


@dataclass(frozen=True)
class Missing(TaskArgs, kind="mailchimp.missing"):
    stream: str
    prefix: str
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class MissingList(TaskArgs, kind="mailchimp.missing_list"):
    """A list that was not found, or that lacks these members, if any. If the list was deleted, all its members were."""

    list: str
    members: tuple[str, ...] = ()


@dataclass(frozen=True)
class MissingMember(TaskArgs, kind="mailchimp.missing_member"):
    list: str
    member: str


def registers(source: Source, swept: Callable[[Prefixes, float], TaskArgs], again: Callable[[str], TaskArgs]) -> None:
    """swept: makes the task that ends a run, and tombstones what was not found.
    again: makes the task that reads all members of a list once more.
    """

    @source.handles(Comparing, bucket="sweep", cost=0)
    def comparing(api: Api, args: Comparing) -> Iterator[Output]:
        compared = [Compared(*each) for each in args.prefixes]
        yield Gather(compared, then=swept(args.prefixes, args.started), if_dead="fail")

    @source.handles(Compared, bucket="sweep", cost=0)
    def compared(api: Api, args: Compared) -> Iterator[Output]:
        yield Sweep(args.stream, args.prefix, otherwise=Missing(args.stream, args.prefix))

    @source.handles(Missing, bucket="sweep", cost=0)
    def missing(api: Api, args: Missing) -> Iterator[Output]:
        if args.stream == "lists":
            yield from map(MissingList, args.missing)
        else:
            members: dict[str, list[str]] = {}
            for key in args.missing:
                of, _, member = key.partition("/")
                members.setdefault(of, []).append(member)
            yield from (MissingList(of, tuple(each)) for of, each in members.items())
        if len(args.missing) == MISSING_KEYS:
            following = Missing(args.stream, args.prefix)
            yield Sweep(args.stream, args.prefix, otherwise=following, after=args.missing[-1])

    @source.handles(MissingList, stream="lists")
    def missing_list(api: Api, args: MissingList) -> Iterator[Output]:
        found = _read(api, f"/lists/{quote(args.list, safe='')}", args.list)
        if found is None:
            return
        if found is WRONG:
            yield again(args.list)
        elif args.members:
            yield from (MissingMember(args.list, each) for each in args.members)
        else:
            yield Record("lists", args.list, found)

    @source.handles(MissingMember, stream="members")
    def missing_member(api: Api, args: MissingMember) -> Iterator[Output]:
        """A missing member. An archived member is in no list, although Mailchimp still knows it."""
        path = f"/lists/{quote(args.list, safe='')}/members/{quote(args.member, safe='')}"
        found = _read(api, path, args.member)
        if found is WRONG:
            yield again(args.list)
        elif found is not None and found.get("status") != "archived":
            yield Record("members", f"{args.list}/{args.member}", found)


def _read(api: Api, path: str, key: str) -> dict[str, Any] | None:
    """One object; None if it was deleted, WRONG if the answer is another one, which proves nothing."""
    try:
        found = api.get(path, {"exclude_fields": "_links"})
    except NotFound:
        return None
    if not isinstance(found, dict) or found.get("id") != key:
        return WRONG
    return found
