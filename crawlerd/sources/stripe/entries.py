"""How the catalogue says what a list is and how it is followed: https://docs.stripe.com/api and its changelog."""

from __future__ import annotations

from typing import NamedTuple

DAY = 86_400
SETTLES = 7 * DAY  # a balance transaction is available after days
EDITED = DAY  # most edits without an event come soon after an object was made


class Listing(NamedTuple):
    """A list that needs no parent, newest first, or an object that there is once.

    path: of the list.
    objects: the object types of the events about it, none where Stripe sends no events.
    created: it takes `created` filters.
    lookback: seconds; its newest part is read again each time, since new objects, or changes of new ones, come without
        an event.
    part: filters of a part of it that is read again each time, since that changes without an event.
    of: streams, and the parameter with the id of one of their objects: what belongs to a changed one is read again.
    mentions: object types of events, and their field with the id of an object of this stream, which changes with them.
    filters: sent with every request for the list.
    expand: fields of its objects that come only when they are asked for, and belong to the record.
    also: filters of what the list leaves out without them.
    details: it lists objects in short, and each is read by itself with these fields, which the second API `include`s.
    single: path leads to the only object.
    paged: the list has pages; of others, the first is all.
    kept: what is not listed any more was not deleted.
    platform: only a platform has it, and not the accounts that are connected to it.
    optional: `["*"]` leaves it out, since few accounts have it, or it costs a request for each of many objects, or is
        not the account's own data.
    missed: what a later run does not see, until the next full one.
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

    parent: the stream of that one.
    path: with {parent}.
    parameter: that carries the parent's id instead.
    embedded: the parent's field that holds its first objects, "" where each parent takes a request.
    asked: the parent has that field only when it is asked for.
    carried: a parent without that field has nothing that we may read.
    unless_null: a field of the parent that is null where there is nothing below.
    only_if: a field of the parent, and its JSON, where there is something below.
    objects: as of a Listing; without any, it is read again whenever its parent changes.
    mentions: as of a Listing, with the parent's id.
    with_parent: it has events of its own, and changes without one when its parent changes.
    whole: it is read below all parents each time, since no event reports its changes.
    one: where an object is read again, with {id} and perhaps {parent}.
    owner: the object's field with its parent's id; null once it is nobody's.
    keyed: objects do not name their parent, or have their id from it: their key is "<parent>/<id>".
    single: path leads to one object, with the parent's id for its key.
    orphaned: objects are gone with their parent, without an event, and their keys do not name it: so records say what
        they lie below.
    expand, paged, optional, missed: as of a Listing.
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
