"""What Stripe has, and how each stream is followed, as the tables say together."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from crawlerd.sources.stripe.catalogue_below import BELOW
from crawlerd.sources.stripe.catalogue_events import TYPES
from crawlerd.sources.stripe.catalogue_lists import LISTS
from crawlerd.sources.stripe.entries import Below, Listing

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["BELOW", "LISTS", "TYPES", "Below", "Listing"]

TABLES: tuple[dict[str, Listing] | dict[str, Below], ...] = (LISTS, BELOW)
STREAMS = (*LISTS, *BELOW)
OPTIONAL = tuple(stream for table in TABLES for stream, each in table.items() if each.optional)
OF_OBJECT = {kind: stream for table in TABLES for stream, each in table.items() for kind in each.objects}
KEPT = tuple(stream for stream, each in LISTS.items() if each.kept)
OF_PLATFORM = tuple(stream for stream in STREAMS if LISTS[BELOW[stream].parent if stream in BELOW else stream].platform)
MOST_TYPES = 20  # of events that one request may name (https://docs.stripe.com/api/events/list)
MOST_REQUESTS = 3  # in parallel; if more types are wanted, all events are read


@cache  # called for each object
def below(stream: str) -> tuple[str, ...]:
    """The streams below the objects of a list."""
    return tuple(name for name, each in BELOW.items() if each.parent == stream)


@cache
def orphaned(stream: str) -> tuple[str, ...]:
    """The streams below the objects of a list that are deleted with them, and whose records have their parents."""
    return tuple(name for name in below(stream) if BELOW[name].orphaned)


def deletions(streams: Sequence[str]) -> tuple[str, ...]:
    """The types of the events that report the deletion of objects which some of the streams are below."""
    parents = {BELOW[stream].parent for stream in streams if stream in BELOW and BELOW[stream].orphaned}
    types = {f"{kind}.deleted": TYPES[kind] for parent in parents for kind in LISTS[parent].objects}
    return tuple(sorted(deleted for deleted, all_of_kind in types.items() if deleted in all_of_kind))


@cache
def listed_by(stream: str) -> tuple[tuple[str, str], ...]:
    """Lists that can be filtered by one object of a stream, with the parameter for its id."""
    return tuple((name, parameter) for name, each in LISTS.items() for parent, parameter in each.of if parent == stream)


@cache
def mentioned_by(kind: str) -> tuple[tuple[str, str], ...]:
    """Streams that change with an object of this kind, with the field that has the id of their object or its parent."""
    return tuple(
        (stream, field)
        for table in TABLES
        for stream, each in table.items()
        for object_kind, field in each.mentions
        if object_kind == kind
    )


def listing_of(stream: str) -> Listing:
    """A stream's own list, or that of its parents."""
    return LISTS[BELOW[stream].parent if stream in BELOW else stream]


def one(stream: str) -> str:
    """The path of one object, with {id} and perhaps {parent}; "" if there is none."""
    if stream in BELOW:
        return BELOW[stream].one
    return LISTS[stream].path if LISTS[stream].single else LISTS[stream].path + "/{id}"


def v2_of(stream: str) -> bool:
    """Whether the stream is in Stripe's second API, which has another paging."""
    return (BELOW[stream] if stream in BELOW else LISTS[stream]).path.startswith("/v2/")


def is_with_parent(stream: str) -> bool:
    """Whether a list below another one is read again whenever its parent has changed."""
    each = BELOW[stream]
    return each.with_parent or not (each.objects or each.mentions or each.whole)


def kinds_of(stream: str) -> set[str]:
    """The kinds of objects whose events report changes of a stream, or of the parents with which it is read again."""
    each = BELOW[stream] if stream in BELOW else LISTS[stream]
    kinds = {*each.objects, *(kind for kind, _ in each.mentions)}
    if stream in BELOW and (is_with_parent(stream) or (BELOW[stream].keyed and not BELOW[stream].whole)):
        kinds |= set(LISTS[BELOW[stream].parent].objects)
    if stream in LISTS:
        kinds |= {kind for parent, _ in LISTS[stream].of for kind in LISTS[parent].objects}
    return kinds


def has_events(stream: str) -> bool:
    """Whether events report its changes, or its parents'."""
    return bool(kinds_of(stream))


def is_silent(stream: str) -> bool:
    """Whether a stream is read in full each time."""
    if stream in BELOW:
        return BELOW[stream].whole or (not listing_of(stream).lookback and not has_events(stream))
    return not LISTS[stream].lookback and not LISTS[stream].part and not has_events(stream)


def event_types(streams: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The types of events that report changes of streams, in groups for one request each. A single empty group stands
    for all events, if there are too many types for a few requests."""
    changes = {each for stream in streams for kind in kinds_of(stream) for each in TYPES[kind]}
    types = sorted(changes | {*deletions(streams)})
    if len(types) > MOST_TYPES * MOST_REQUESTS:
        return [()]
    return [tuple(types[first : first + MOST_TYPES]) for first in range(0, len(types), MOST_TYPES)]


def expansions(
    stream: str, streams: Sequence[str], prefix: str = "", *, plain: bool = False, bare: bool = False
) -> list[str]:
    """The fields to expand in a stream's objects: those that they do not have otherwise, and lists below them.

    prefix: "data." in a list.
    plain: only the lists, since the API does not know the other fields.
    bare: nothing.
    """
    if bare:
        return []
    if plain:
        return [prefix + each for each in sorted(asked_for(stream, streams))]
    found = list(BELOW[stream].expand if stream in BELOW else LISTS[stream].expand)
    for child in below(stream):
        each = BELOW[child]
        if each.asked and child not in streams:
            continue
        found += [each.embedded] if each.asked else []
        found += [f"{each.embedded}.data.{name}" for name in each.expand] if each.embedded else []
    return [prefix + each for each in found]


def fields_asked(stream: str, streams: Sequence[str], *, plain: bool = False, bare: bool = False) -> dict[str, object]:
    """The parameters to expand these fields in one object."""
    if stream in LISTS and LISTS[stream].details:
        return {f"include[{place}]": name for place, name in enumerate(LISTS[stream].details)}
    return {"expand[]": expansions(stream, streams, plain=plain, bare=bare)}


def asked_for(stream: str, streams: Sequence[str]) -> frozenset[str]:
    """The fields that objects have only because streams below them are wanted, and that are not part of their
    records."""
    return frozenset(BELOW[child].embedded for child in below(stream) if child in streams and BELOW[child].asked)
