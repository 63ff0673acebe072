"""What a handler yields: records, cursors, further tasks, and notes for the run's report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import msgspec

from crawlerd.core.listing import Objects

MISSING_KEYS = 1_000  # most keys in the field `missing` of a task
NAMED_LETTERS = 3  # most dead letters in the field `dead_letters` of a task


class TaskArgs:
    """Base of a task's arguments: a frozen dataclass of JSON values, with a durable `kind`.

    Such as `class Charges(TaskArgs, kind="stripe.charges")`. The kind is stored in the frontier: do not rename it while
    tasks are queued.
    """

    kind: ClassVar[str]

    def __init_subclass__(cls, *, kind: str, **rest: Any) -> None:
        super().__init_subclass__(**rest)
        cls.kind = kind


class Record(msgspec.Struct, frozen=True, gc=False):
    """One imported object.

    key: identifies the object in its stream and account.
    data: its fields; or its JSON text in UTF-8, which is imported unchanged, without insignificant whitespace. None is
        a tombstone: the object is gone at the API.
    parent: the object that it is below, "" if that does not matter; see `Orphans`.
    """

    stream: str
    key: str
    data: Mapping[str, Any] | msgspec.Raw | bytes | None
    parent: str = ""


class Records(msgspec.Struct, frozen=True):
    """The objects of a list, each as the API wrote it: the fastest way to import a page, see `Api.listing`.

    keys: the key of each object. An object without a key, or that cannot be imported, is skipped.
    place: where to find a skipped object, such as the path; its index in the list is appended.
    parent: the parent of all of them, see `Record`.
    """

    stream: str
    keys: Sequence[object]
    objects: Objects
    place: str = ""
    parent: str = ""


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far an incremental stream has come. It is staged now, and published when the run ends clean.

    If a run has several cursors of a stream, the last one counts; with `greatest`, the greatest as text.
    """

    stream: str
    value: str
    greatest: bool = False


@dataclass(frozen=True, slots=True)
class Skip:
    """A record that is skipped, or a page of them. The run's report counts it, with its reason.

    key: how to find it at the API.
    """

    stream: str
    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class Marks:
    """How many records of a page have a mark: a time (or number) by which the next run can ask for changes only. So the
    run's report can say why a stream is read in full each time. Records without a mark are not skipped.

    read, unread: how many records have a mark that can be read, and how many have not.
    why: why the mark of one record could not be read.
    kept: the stream has a cursor of an earlier run, from which it continues.
    """

    stream: str
    read: int
    unread: int
    why: str = ""
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Note:
    """A note about a stream in the run's report, although no record is missing; such as that it was not compared."""

    stream: str
    text: str


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the credentials belong to. If it differs from the account's first value, the account is paused."""

    value: str


@dataclass(frozen=True, slots=True)
class ForAccount:
    """A task of another configured account. It uses that account's limits, buckets, credentials and source; its records
    belong to the run.

    account: the name of the account in the configuration.
    args: arguments of a kind of that account's source.
    """

    account: str
    args: TaskArgs


@dataclass(frozen=True, slots=True)
class ForPart:
    """A task of a part of the account: another account that the same credentials may act for, such as one that is
    connected to a Stripe platform. A part has limits of its own, equal to the account's; its records belong to the
    account "<account>/<part>".

    part: its name at the API, which each request sends in the source's `part_header`.
    """

    part: str
    args: TaskArgs


@dataclass(frozen=True, slots=True)
class ForParent:
    """A task that reads the list below a parent. It is `since` if this import has read this list of this parent to its
    end before, into its present sink; otherwise it is `full`. If the kinds are unique, both count as the same task. It
    may be in a Gather.

    list, parent: see `ParentRead`.
    """

    list: str
    parent: str
    since: TaskArgs
    full: TaskArgs


@dataclass(frozen=True, slots=True)
class ParentRead:
    """The list below a parent was read to its end. Yield it with the last page; it is remembered for later runs.

    list: a name that the source chooses for what it reads below its parents, such as the name of the stream.
    parent: identifies the parent within the account.
    whole: False when a part of the list could not be read, so that the next run reads it in full.
    """

    list: str
    parent: str
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Full:
    """Yield it at the begin of a run: it reads these streams in full, although nobody has asked for that and there are
    sync points. (Without sync points, a run is always a full one.) If a full run sees far fewer records than the last
    one, the stream is in doubt.

    reason: for the run's report.
    streams: the streams; none for all.
    """

    reason: str
    streams: Sequence[str] = ()


IfDead = Literal["run", "fail", "skip"]


@dataclass(frozen=True, slots=True)
class Gather:
    """Opens a group: `tasks` and all their descendants, including those for other accounts. `then` is enqueued once, in
    the transaction in which the last of them ends; at once when there are no tasks.

    Repeated tasks of a unique kind are not made, and the group does not wait for them; `then` is always made. A group
    that is opened inside a group is a part of it, and so is its `then`.

    if_dead: what to do when the group has dead letters. "run": run `then` anyway; if its dataclass has a field
        `dead_letters: tuple[str, ...] = ()`, the field gets the kinds and errors of the first NAMED_LETTERS of them.
        "fail": make `then` a dead letter, which waits again when the group's dead letters are retried. "skip": leave it
        out silently (only the dead letters show it).
    """

    tasks: Sequence[TaskArgs | ForAccount | ForPart | ForParent]
    then: TaskArgs | ForAccount | ForPart
    if_dead: IfDead = "run"

    def __post_init__(self) -> None:
        if self.if_dead not in get_args(IfDead):
            raise ValueError(f'if_dead is "run", "fail" or "skip", not {self.if_dead!r}')


@dataclass(frozen=True, slots=True)
class Sweep:
    """Tombstones the missing records of a stream and this account: those that neither this run has written, nor another
    run since this one began. It takes effect after the records of the same task. Yield it when all tasks that write the
    stream are done.

    prefix: only records whose key starts with this.
    otherwise: a task that follows instead, so that no records are tombstoned. It is enqueued in the transaction that
        ends the yielding task, if records with keys after `after` are missing. If its dataclass has a field
        `missing: tuple[str, ...] = ()`, the field gets the first MISSING_KEYS of their keys, in ascending order;
        functions such as `unique` and `bucket` get the arguments without them. The task may request each of these
        records, or read the list again and then end with a plain Sweep.
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
    """The parent is gone at the API: tombstones all records of the stream and this account below it, including those
    that this run has written, but not those that another run has written since this one began. A record is below the
    parent with which it was last written. It takes effect after the records of the same task. A record that is written
    later exists again, so yield it when all tasks that may write records below that parent are done.

    otherwise: for objects that can move to another parent: a task that follows instead, as for a Sweep, if there are
        such records that this run has not written, with keys after `after`.
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
    """A function that is called with each record of a stream; see `crawlerd.source.subscribe`.

    streams: the streams that it adds to the source.
    """

    stream: str
    function: Subscriber
    streams: tuple[str, ...]
