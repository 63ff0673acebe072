"""The form of the catalogue's entries, about lists and how they are followed: https://docs.stripe.com/api and its
changelog."""

from __future__ import annotations

from typing import NamedTuple

DAY = 86_400
SETTLES = 7 * DAY  # a balance transaction becomes available after days
EDITED = DAY  # most edits without an event come soon after an object was created


class Listing(NamedTuple):
    """A list that needs no parent, newest first, or an object that exists only once.

    path: of the list.
    objects: the object types of the events about it; empty if Stripe sends none.
    created: it accepts `created` filters.
    lookback: seconds; its newest part is read again each time, since new objects, or changes of new ones, come without
        an event.
    part: filters of a part of it that is read again each time, since that changes without an event.
    of: streams, and the parameter for the id of one of their objects: what belongs to a changed one is read again.
    mentions: object types of events, and their field with the id of an object of this stream, which changes with them.
    filters: sent with every request for the list.
    expand: fields of its objects that must be requested, and are part of the record.
    also: filters for objects that the list leaves out by default.
    details: it lists objects in short form, and each is read by itself with these fields, which the second API
        `include`s.
    single: path leads to the only object.
    paged: the list has pages; otherwise the first one has everything.
    kept: objects that are no longer listed were not deleted.
    platform: only a platform has it, not the accounts that are connected to it.
    optional: `["*"]` leaves it out, since few accounts have it, or it costs a request for each of many objects, or is
        not the account's own data.
    missed: what a later run does not notice, until the next full one.
    """

    path: str
    objects: tuple[str, ...] = ()
    created: bool = True
    lookback: int = 0
    part: tuple[tuple[str, str], ...] = ()
    of: tuple[tuple[str, str], ...] = ()
    mentions: tuple[tuple[str, str], ...] = ()
    filters: tuple[tuple[str, str], ...] = ()
    expand: tuple[str, ...] = ()
    also: tuple[tuple[str, str], ...] = ()
    details: tuple[str, ...] = ()
    single: bool = False
    paged: bool = True
    kept: bool = False
    platform: bool = False
    optional: bool = False
    missed: str = ""


class Below(NamedTuple):
    """A list below each object of another one.

    parent: the stream of those objects.
    path: with {parent}.
    parameter: for the parent's id, if it is not in the path.
    embedded: the parent's field with its first objects, "" if each parent takes a request.
    asked: the parent has that field only if it is requested.
    carried: if a parent lacks that field, there is nothing that we may read.
    unless_null: a field of the parent that is null if nothing is below it.
    only_if: a field of the parent, and its JSON if something is below it.
    objects: as for a Listing; without any, the list is read again whenever its parent changes.
    mentions: as for a Listing, with the parent's id.
    with_parent: it has events of its own, but also changes without one when its parent changes.
    whole: it is read below all parents each time, since no event reports its changes.
    one: the path of one object, with {id} and perhaps {parent}.
    owner: the object's field with its parent's id; null when it has no parent any more.
    keyed: objects do not name their parent, or have the parent's id: their key is "<parent>/<id>".
    single: path leads to one object, with the parent's id as its key.
    orphaned: objects are deleted with their parent, without an event, and their keys do not contain it: so their
        records have their parent.
    expand, paged, optional, missed: as for a Listing.
    """

    parent: str
    path: str
    parameter: str = ""
    embedded: str = ""
    asked: bool = False
    carried: bool = False
    unless_null: str = ""
    only_if: tuple[str, str] = ("", "")
    objects: tuple[str, ...] = ()
    mentions: tuple[tuple[str, str], ...] = ()
    with_parent: bool = False
    whole: bool = False
    one: str = ""
    owner: str = ""
    keyed: bool = False
    single: bool = False
    orphaned: bool = False
    expand: tuple[str, ...] = ()
    paged: bool = True
    optional: bool = False
    missed: str = ""
