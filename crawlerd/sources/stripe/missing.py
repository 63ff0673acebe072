"""Objects that a complete list did not have: they are requested before they count as deleted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from crawlerd.source import MISSING_KEYS, Api, Gather, Output, Sweep, TaskArgs
from crawlerd.sources.stripe.again import MISSING
from crawlerd.sources.stripe.catalogue import KEPT, LISTS
from crawlerd.sources.stripe.pages import PAGES
from crawlerd.sources.stripe.stripe_api import stripe

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Compare(TaskArgs, kind="stripe.compare"):
    """A list was read to its end: missing objects are requested before they count as deleted.

    list: its stream.
    streams: the list's own, and those below it.
    """

    list: str
    streams: tuple[str, ...]


@stripe.handles(Compare, stream="events", cost=0)
def compare(api: Api, args: Compare) -> Iterator[Output]:
    compared = [Compared(args.list, each, args.streams) for each in args.streams if each not in KEPT]
    yield Gather(compared, then=SWEEPS[args.list](args.streams), if_dead="skip")


@dataclass(frozen=True)
class Compared(TaskArgs, kind="stripe.compared"):
    list: str
    stream: str
    streams: tuple[str, ...]


@stripe.handles(Compared, stream="events", cost=0)
def compared(api: Api, args: Compared) -> Iterator[Output]:
    """Objects that can be read by their ids are; otherwise their list, with those above it, is read a second time."""
    if args.stream in MISSING:
        yield Sweep(args.stream, otherwise=Missing(args.stream))
    else:
        below = tuple(each for each in args.streams if each not in MISSING and each not in KEPT)
        yield Sweep(args.stream, otherwise=SecondLook(args.list, below))


@dataclass(frozen=True)
class Missing(TaskArgs, kind="stripe.missing"):
    stream: str
    missing: tuple[str, ...] = ()


@stripe.handles(Missing, stream="events", cost=0)
def missing(api: Api, args: Missing) -> Iterator[Output]:
    for key in args.missing:
        yield MISSING[args.stream]((args.stream,), key)
    if len(args.missing) == MISSING_KEYS:
        yield Sweep(args.stream, otherwise=Missing(args.stream), after=args.missing[-1])


@dataclass(frozen=True)
class SecondLook(TaskArgs, kind="stripe.second_look"):
    list: str
    streams: tuple[str, ...]


@stripe.handles(SecondLook, stream="events", unique=True, cost=0)
def second_look(api: Api, args: SecondLook) -> Iterator[Output]:
    yield PAGES[args.list](args.streams, look=1)


@dataclass(frozen=True)
class SweepOf(TaskArgs, kind="stripe.sweep"):
    """Tombstones what a complete list did not have any more.

    streams: the list's own, and those below it.
    """

    streams: tuple[str, ...]


def _register_sweep(stream: str) -> type[SweepOf]:
    class One(SweepOf, kind=f"stripe.sweep.{stream}"):
        pass

    @stripe.handles(One, stream=stream, cost=0)
    def sweep(api: Api, args: One) -> Iterator[Output]:
        for each in args.streams:
            if each not in KEPT:
                yield Sweep(each)

    return One


SWEEPS = {stream: _register_sweep(stream) for stream in LISTS}
