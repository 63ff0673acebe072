"""What a handler yields: records, and what is to be done next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import msgspec

from crawlerd.core.objects import Objects


class TaskArgs:
    """Base of a task's arguments: a frozen dataclass of JSON values, with a durable `kind`.

    `class Charges(TaskArgs, kind="stripe.charges")`. The kind lies in the frontier: do not rename it while tasks
    are queued.
    """

    kind: ClassVar[str]

    def __init_subclass__(cls, *, kind: str, **rest: Any) -> None:
        super().__init_subclass__(**rest)
        cls.kind = kind


class Record(msgspec.Struct, frozen=True):
    """One imported object.

    data: its fields, or its JSON as text, in UTF-8: that is imported as it is, but for insignificant whitespace. None
    is a tombstone: the object is gone at the API.
    """

    stream: str
    key: str
    data: Mapping[str, Any] | msgspec.Raw | bytes | None


class Records(msgspec.Struct, frozen=True):
    """The objects of a list, each as the API wrote it: the quickest way to import a page, see `Api.listing`.

    keys: of each object. One without a key, or that cannot be imported, is set aside. place: where such a one is found,
    such as the path; its number in the list is appended.
    """

    stream: str
    keys: Sequence[object]
    objects: Objects
    place: str = ""


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
class Identity:
    """Who the credentials belong to; another value than the account's first one pauses the account."""

    value: str


@dataclass(frozen=True, slots=True)
class ForAccount:
    """A task of another configured account, performed under that account's limits, buckets, credentials and source.

    account: its name in the configuration. args: of a kind of that account's source. Its records are the run's.
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


IfDead = Literal["run", "fail", "skip"]


@dataclass(frozen=True, slots=True)
class Gather:
    """Opens a group: `tasks` and all their descendants, those for other accounts too. `then` is enqueued, once, in the
    transaction in which the last of them ends; at once when there are none.

    Repeated tasks of a unique kind are not made, and not waited for; `then` is always made. A group that is opened
    inside a group is part of it, and so is its `then`. if_dead: with dead letters in the group, run `then` all the
    same; make it a dead letter that says so, which waits again when those that it needs are retried; or skip it, which
    nothing tells of but those dead letters.
    """

    tasks: Sequence[TaskArgs | ForAccount | ForPart]
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
    """

    stream: str
    prefix: str = ""


Output = Record | Records | TaskArgs | Cursor | Identity | Skip | ForAccount | ForPart | Gather | Sweep
FirstOutput = TaskArgs | ForAccount | ForPart | Gather
