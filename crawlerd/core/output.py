"""What a handler yields: records, and what is to be done next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import msgspec

from crawlerd.core.listing import Objects

MISSING_KEYS = 1_000  # the most that one task is told of
NAMED_LETTERS = 3  # likewise


class TaskArgs:
    """Base of a task's arguments: a frozen dataclass of JSON values, with a durable `kind`.

    `class Charges(TaskArgs, kind="stripe.charges")`. The kind lies in the frontier: do not rename it while tasks
    are queued.
    """

    kind: ClassVar[str]

    def __init_subclass__(cls, *, kind: str, **rest: Any) -> None:
        super().__init_subclass__(**rest)
        cls.kind = kind


class Record(msgspec.Struct, frozen=True, gc=False):
    """One imported object.

    data: its fields, or its JSON as text, in UTF-8: that is imported as it is, but for insignificant whitespace. None
    is a tombstone: the object is gone at the API.
    parent: what it lies below, "" where that does not matter; see `Orphans`.
    """

    stream: str
    key: str
    data: Mapping[str, Any] | msgspec.Raw | bytes | None
    parent: str = ""


class Records(msgspec.Struct, frozen=True):
    """The objects of a list, each as the API wrote it: the quickest way to import a page, see `Api.listing`.

    keys: of each object. One without a key, or that cannot be imported, is set aside.
    place: where such a one is found, such as the path; its number in the list is appended.
    parent: what all of them lie below, as of a Record.
    """

    stream: str
    keys: Sequence[object]
    objects: Objects
    place: str = ""
    parent: str = ""


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far an incremental stream has come; staged now, published when the run ends clean.

    Of several in a run the last one counts; with `greatest`, the greatest as text.
    """

    stream: str
    value: str
    greatest: bool = False


@dataclass(frozen=True, slots=True)
class Skip:
    """A record that is set aside, or a page of them: counted in the run's report, with its reason.

    key: what to find it by at the API.
    """

    stream: str
    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class Marks:
    """How many records of a page have a time (or number) by which the next run can ask for changes only, so that the
    run's report can say why a stream is read in full each time. Nothing is set aside for the lack of one.

    read, unread: records with one that can be read, and without.
    why: of one that has none.
    kept: the stream has a cursor of an earlier run, from which it goes on.
    """

    stream: str
    read: int
    unread: int
    why: str = ""
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Note:
    """What the run's report says of a stream though nothing of it is missing, such as that it was not compared."""

    stream: str
    text: str


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the credentials belong to; another value than the account's first one pauses the account."""

    value: str


@dataclass(frozen=True, slots=True)
class ForAccount:
    """A task of another configured account, performed under that account's limits, buckets, credentials and source.

    account: its name in the configuration.
    args: of a kind of that account's source.
    Its records are the run's.
    """

    account: str
    args: TaskArgs


@dataclass(frozen=True, slots=True)
class ForPart:
    """A task of a part of the account: of another one that the same credentials may act for, as a Connect platform's
    may for the accounts connected to it.

    part: its name at the API, which each request carries in the source's `part_header`. A part has the account's
    limits, for itself; its records are those of the account "<account>/<part>".
    """

    part: str
    args: TaskArgs


@dataclass(frozen=True, slots=True)
class ForParent:
    """A task that reads the list below a parent: `since` when this import has read that list of this parent to its end
    before, into the sink that it has now, and else `full`. Both count as one task, where they are of a unique kind.

    list, parent: as of `ParentRead`. May stand in a Gather.
    """

    list: str
    parent: str
    since: TaskArgs
    full: TaskArgs


@dataclass(frozen=True, slots=True)
class ParentRead:
    """The list below a parent was read to its end; yield it with the last page. Remembered from run to run.

    list: a name of the source's own for what is read below its parents, such as a stream's.
    parent: what tells the parent from others of the account.
    whole: False when something of it could not be read: it is read in full the next time.
    """

    list: str
    parent: str
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Full:
    """Said where a run begins: it reads these streams in full, or all, though nobody asked for that and there are sync
    points. Without any sync point, a run is a full one anyway. A full run that sees far less than the last one is
    doubted.

    reason: for the run's report.
    streams: none for all.
    """

    reason: str
    streams: Sequence[str] = ()


IfDead = Literal["run", "fail", "skip"]


@dataclass(frozen=True, slots=True)
class Gather:
    """Opens a group: `tasks` and all their descendants, those for other accounts too. `then` is enqueued, once, in the
    transaction in which the last of them ends; at once when there are none.

    Repeated tasks of a unique kind are not made, and not waited for; `then` is always made. A group that is opened
    inside a group is part of it, and so is its `then`.

    if_dead: with dead letters in the group, run `then` all the same; make it a dead letter that says so, which waits
        again when those that it needs are retried; or skip it, which nothing tells of but those dead letters. Where it
        runs all the same and its dataclass has a field `dead_letters: tuple[str, ...] = ()`, that is filled with the
        kinds and errors of the first NAMED_LETTERS of them.
    """

    tasks: Sequence[TaskArgs | ForAccount | ForPart | ForParent]
    then: TaskArgs | ForAccount | ForPart
    if_dead: IfDead = "run"

    def __post_init__(self) -> None:
        if self.if_dead not in get_args(IfDead):
            raise ValueError(f'if_dead is "run", "fail" or "skip", not {self.if_dead!r}')


@dataclass(frozen=True, slots=True)
class Sweep:
    """Tombstones every record of the stream, of this account, that this run has not written (with keys that start with
    `prefix`), nor another run since it began. Takes effect after the records of the same task; yield it when all tasks
    that write the stream are done.

    otherwise: with it nothing is tombstoned. When such records are missing, with keys behind `after`, this task follows
    in the transaction that ends the one that yields it; when none are missing, it does not. Where its dataclass has a
    field `missing: tuple[str, ...] = ()`, that is filled with the first MISSING_KEYS of their keys, in ascending order;
    `unique`, `bucket` and the like are functions of its arguments without them. It may ask for each of them by itself,
    or read the list a second time and then end with a plain Sweep.
    """

    stream: str
    prefix: str = ""
    otherwise: TaskArgs | None = None
    after: str = ""

    def __post_init__(self) -> None:
        if self.after and self.otherwise is None:
            raise ValueError("a Sweep that tombstones takes no `after`")


@dataclass(frozen=True, slots=True)
class Orphans:
    """The parent is gone at the API: tombstones every record of the stream, of this account, that lies below it, those
    that this run has written too, but not those that another run has written since this one began. A record lies below
    the parent that it was last written with. Takes effect after the records of the same task; a record that comes later
    is there again, so yield it when all that may write records below that parent is done.

    otherwise: for objects that can move to another parent. With it nothing is tombstoned, and this task follows where
    there are such records that this run has not written, with keys behind `after`; as of a Sweep.
    """

    stream: str
    parent: str
    otherwise: TaskArgs | None = None
    after: str = ""

    def __post_init__(self) -> None:
        if not self.parent:
            raise ValueError("Orphans have a parent")
        if self.after and self.otherwise is None:
            raise ValueError("Orphans that are tombstoned take no `after`")


Output = (
    Record
    | Records
    | TaskArgs
    | Cursor
    | Marks
    | Identity
    | Skip
    | Note
    | ForAccount
    | ForPart
    | ForParent
    | ParentRead
    | Gather
    | Sweep
    | Orphans
)
Subscriber = Callable[[Record], Iterable[Output] | None]
FirstOutput = TaskArgs | ForAccount | ForPart | ForParent | Gather | Full


@dataclass(frozen=True, slots=True)
class Subscription:
    """Who is called with each record of a stream; see `crawlerd.source.subscribe`.

    streams: those that it adds to the source.
    """

    stream: str
    function: Subscriber
    streams: tuple[str, ...]
