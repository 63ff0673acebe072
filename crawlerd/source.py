"""Everything that an author of a source imports: typed task arguments, records, the API, and the Source itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from crawlerd.core.auth import Auth, ClientCredentials, KeyInQuery, Sending
from crawlerd.core.aws_options import AwsOptions
from crawlerd.core.default_limits import Limits
from crawlerd.core.errors import Denied, NotFound, Permanent, Throttled, Transient, Unauthorized
from crawlerd.core.handler_api import Api, AwsApi, Classifier, Response
from crawlerd.core.listing import Listing, Objects
from crawlerd.core.output import (
    MISSING_KEYS,
    Cursor,
    FirstOutput,
    ForAccount,
    ForParent,
    ForPart,
    Full,
    Gather,
    Identity,
    Marks,
    Note,
    Orphans,
    Output,
    ParentRead,
    Record,
    Records,
    Skip,
    Subscriber,
    Subscription,
    Sweep,
    TaskArgs,
)
from crawlerd.core.priority import DEFAULT_PRIORITY, SEQUENTIAL_PRIORITY

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "MISSING_KEYS",
    "Api",
    "AwsApi",
    "Classifier",
    "ClientCredentials",
    "Cursor",
    "Denied",
    "FirstOutput",
    "ForAccount",
    "ForParent",
    "ForPart",
    "Full",
    "Gather",
    "Identity",
    "KeyInQuery",
    "Limits",
    "Listing",
    "Marks",
    "NotFound",
    "Note",
    "Objects",
    "Orphans",
    "Output",
    "ParentRead",
    "Permanent",
    "Record",
    "Records",
    "Response",
    "RunPlan",
    "Sending",
    "Skip",
    "Source",
    "SourceFamily",
    "Sweep",
    "TaskArgs",
    "Throttled",
    "Transient",
    "Unauthorized",
    "subscribe",
]

STREAM_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What a run must do, for a source's `starts` function.

    streams: those that the import names.
    full: whether everything must be read, whatever the cursors say.
    started_at: Unix seconds.
    cursors: the published ones, by stream.
    options: the import's own, as the source's `import_options`; None if it has none.
    account_options: the options of its account.
    has_sink: without a sink, no task may yield a record.
    account: the name of its account, for tasks of other accounts that return something to it with `ForAccount`.
    since: read what has changed since this time (Unix seconds), even if it was read before; there are no cursors then.
        Set only if `Source.since` has all streams; otherwise None.
    ad_hoc: the run's cursors are not published, and it writes no tombstones, whatever its tasks yield.
    """

    streams: Sequence[str]
    full: bool
    started_at: float
    cursors: Mapping[str, str] = field(default_factory=dict)
    options: Any = None
    account_options: Mapping[str, Any] = field(default_factory=dict)
    has_sink: bool = True
    account: str = ""
    since: float | None = None
    ad_hoc: bool = False


Handler = Callable[[Any, Any], Iterator[Output]]
Starts = Callable[[RunPlan], Iterable[FirstOutput]]


@dataclass(frozen=True, slots=True)
class Kind:
    """How one kind of task is performed; see `Source.handles`."""

    args: type[TaskArgs]
    handler: Handler
    stream: str
    bucket: str | Callable[[Any], str]
    sequential: bool
    unique: bool | Callable[[Any], str]
    priority: int
    cost: int = 1
    wide: bool = False


class Source:
    """One API: its kinds of task, how a run starts, and its default limits.

    base_url: the default for accounts that do not set their own.
    client: what handlers get: an `Api`, or, for "aws", an `AwsApi`; accounts of the latter have the options of
        `crawlerd.core.aws_options.AwsOptions`.
    address: (base URL, credential) -> the base URL to use, for an API whose host depends on the credential. Raises
        ValueError if the two do not determine it.
    streams: all that it can import.
    optional: streams that `["*"]` leaves out: an import must name them.
    limits: what the API permits, such as "100/second" for the whole account, or `Limits` for its buckets too. An
        account may set its own.
    auth: credential -> headers, or another way to send it.
    key_optional: an account may have no credential; `auth` gets "" then.
    mode: credential -> what it says about itself without being secret, for a guard.
    headers: sent with every request.
    sending: (base URL, the account's options) -> what replaces base_url, headers and auth if they depend on the
        options. Raises ValueError if the options do not fit.
    classify: response -> the error that it means, if the usual mapping of status codes does not fit; None means "as
        usual". If a Throttled has no `retry_after`, the response's Retry-After header is used.
    options: a msgspec.Struct or dataclass; its fields are the additional keys that an account may set.
    import_options: the same for an import. It may have three methods. `accounts()` returns the names of other accounts
        that the import uses, which must be configured. `needs_sink()` says whether the import must name a sink; without
        this method, it must. `receiver()` says where deliveries go at those accounts; if its answer changes, the next
        run is a full one.
    part_header: the header for the name of a part of the account, see `ForPart`.
    asks: (stream, the account's options) -> JSON values that determine which records are requested; if they change, the
        next run is a full one. By default the options.
    since: streams that can be read by what has changed since any time, see `RunPlan.since`.
    needs: by stream, "*" for all: fields of its records that an import cannot drop or hash, since a key, a sync point
        or a task is made from them; each with its purpose, such as {"*": {"id": "the key of its records"}}. A missing
        entry is only noticed when a task needs the field.
    """

    def __init__(
        self,
        name: str,
        *,
        base_url: str | None = None,
        client: Literal["http", "aws"] = "http",
        address: Callable[[str, str], str] | None = None,
        streams: Sequence[str] = (),
        optional: Sequence[str] = (),
        limits: Limits | str | Sequence[str] = (),
        auth: Auth | None = None,
        key_optional: bool = False,
        mode: Callable[[str], str] | None = None,
        headers: Mapping[str, str] | None = None,
        sending: Callable[[str, Mapping[str, Any]], Sending] | None = None,
        classify: Classifier | None = None,
        options: type | None = None,
        import_options: type | None = None,
        part_header: str = "",
        asks: Callable[[str, Mapping[str, Any]], object] | None = None,
        since: Sequence[str] = (),
        needs: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self.name = name
        self.client = client
        self.base_url = "" if client == "aws" else base_url
        self.address = address
        self.streams = tuple(streams)
        self.optional = tuple(optional)
        self.limits = Limits.of(limits)
        self.auth = auth
        self.key_optional = key_optional
        self.mode = mode
        self.headers = dict(headers or {})
        self.sending = sending
        self.classify = classify
        self.options = AwsOptions if client == "aws" and options is None else options
        self.import_options = import_options
        self.part_header = part_header
        self.since = tuple(since)
        self.needs = dict(needs or {})
        self.asks = asks or (lambda _, options: dict(options))
        self.kinds: dict[str, Kind] = {}
        self.subscriptions: list[Subscription] = []
        self.guard: TaskArgs | None = None
        self.question: TaskArgs | None = None
        self.begins: Starts = lambda _: ()

    def handles(
        self,
        args: type[TaskArgs],
        *,
        stream: str = "",
        bucket: str | Callable[[Any], str] = "",
        sequential: bool = False,
        unique: bool | Callable[[Any], str] = False,
        priority: int | None = None,
        cost: int = 1,
        wide: bool = False,
    ) -> Callable[[Handler], Handler]:
        """Registers the handler of a kind. Raises ValueError if the kind already has a handler.

        args: the class of the task's arguments, which has the kind's name.
        stream: the stream for which its failures are reported; by default the kind's last part.
        bucket: the finer limit that it counts against, or a function of its arguments; by default the stream.
        sequential: it yields its own successor, so it goes first. A successor that the run has requested before becomes
            a dead letter, since paging leads in a circle.
        unique: equal arguments in a run make only one task. A function of the arguments returns a text that decides
            what is equal; for equal texts, even of several kinds, only one task is made.
        priority: 0 first … 9 last; by default sequential kinds go first, so that no chain is left over at the end.
        cost: how many ordinary requests one counts as, against every limit; 0 for a task that makes no request, so that
            no limit holds it up.
        wide: it yields many tasks; it goes before ordinary ones while few are queued, and after them while many are.
        """

        def register(handler: Handler) -> Handler:
            if args.kind in self.kinds:
                raise ValueError(f"the source {self.name} already has a handler for {args.kind}")
            what = stream or args.kind.rpartition(".")[2]
            self.kinds[args.kind] = Kind(
                args=args,
                handler=handler,
                stream=what,
                bucket=bucket or what,
                sequential=sequential,
                unique=unique or sequential,
                priority=priority if priority is not None else SEQUENTIAL_PRIORITY if sequential else DEFAULT_PRIORITY,
                cost=cost,
                wide=wide and not sequential and priority is None,
            )
            return handler

        return register

    def guards(self, args: TaskArgs) -> Callable[[Handler], Handler]:
        """Registers the check of the credentials. It runs alone, before any other task of an account, whenever a run
        starts or is resumed, and yields an Identity."""
        self.guard = args
        return self.handles(type(args), priority=0)

    def tests(self, args: TaskArgs) -> Callable[[Handler], Handler]:
        """Registers the request of `crawlerd accounts test`: a cheap one that changes nothing. It may yield an
        Identity, and must raise an error if the account does not work. By default it is the check of `guards`,
        otherwise the first task of a run that reads the first stream."""
        self.question = args
        return self.handles(type(args), priority=0)

    def starts(self, function: Starts) -> Starts:
        """Registers the function that yields a run's first tasks."""
        self.begins = function
        return function

    @property
    def added(self) -> frozenset[str]:
        """The streams that subscribers have added."""
        return frozenset(stream for each in self.subscriptions for stream in each.streams)


def subscribe(source: Source, stream: str, *, streams: Sequence[str] = ()) -> Callable[[Subscriber], Subscriber]:
    """Registers a function that is called with each record of the stream, in the task that yields it.

    Its output, such as tasks of kinds that its package has registered with `source.handles`, is committed with the
    record. If it raises an error, the task becomes a dead letter, and its records are not written.

    It is called for every record that is read, changed or not. The record's data is a dict, or None for a tombstone
    that a task has yielded. It is not called for tombstones of a Sweep.

    Raises ValueError if the source does not have the stream, or if it or another package has a stream that is to be
    added.

    source: the source.
    stream: the stream whose records the function gets.
    streams: streams that it adds to the source, and may yield records of. The function is called only in imports that
        name one of them (`["*"]` does not); if there are none, in all imports.
    """
    known = (*source.streams, *source.optional)
    if stream not in known:
        raise ValueError(f'the source {source.name} has no stream "{stream}"; it has {", ".join(known)}')
    for added in streams:
        if not STREAM_NAME.fullmatch(added) or added.endswith("_view"):
            raise ValueError(f"{added!r} is not a stream name: lower-case letters, digits and _, not …_view")
        if added in known and added not in source.added:
            raise ValueError(f'the source {source.name} already has a stream "{added}"')

    def register(function: Subscriber) -> Subscriber:
        for each in source.subscriptions:
            if _package(each.function) != _package(function) and (both := sorted({*each.streams} & {*streams})):
                raise ValueError(
                    f"{_package(each.function)} has already added {both[0]} to the source {source.name}, and its "
                    f"records would be mixed with those of {_package(function)}; one of them must use another name"
                )
        source.subscriptions.append(Subscription(stream, function, tuple(streams)))
        source.optional = tuple(dict.fromkeys([*source.optional, *streams]))
        return function

    return register


def _package(function: Subscriber) -> str:
    return str(getattr(function, "__module__", "")).partition(".")[0]


@dataclass(frozen=True, slots=True)
class SourceFamily:
    """An entry point that makes a source from the description that an account's options contain or name.

    options: as for `Source`.
    read: (options, folder) -> the description, made of JSON values, with the source's `name`. Relative paths start at
        the folder. Called only in the main process. Raises ConfigurationError for errors in a file of its own, and
        ValueError for invalid options.
    make: description -> the source.
    """

    options: type
    read: Callable[[Any, Path], dict[str, Any]]
    make: Callable[[dict[str, Any]], Source]
