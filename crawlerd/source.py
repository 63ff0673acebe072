"""All that an author of a source imports: typed task arguments, records, the API, and the Source itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import msgspec

from crawlerd.core.errors import Denied, Permanent, Throttled, Transient, Unauthorized
from crawlerd.core.task import DEFAULT_PRIORITY, SEQUENTIAL_PRIORITY, NewTask

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "Api",
    "ClientCredentials",
    "Cursor",
    "Denied",
    "Identity",
    "KeyInQuery",
    "Output",
    "Permanent",
    "Record",
    "Response",
    "RunPlan",
    "Skip",
    "Source",
    "SourceFamily",
    "TaskArgs",
    "Throttled",
    "Transient",
    "Unauthorized",
]

STREAM_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


class TaskArgs:
    """Base of a task's arguments: a frozen dataclass of JSON values, with a durable `kind`.

    `class Charges(TaskArgs, kind="stripe.charges")`. The kind lies in the frontier: do not rename it while tasks
    are queued.
    """

    kind: ClassVar[str]

    def __init_subclass__(cls, *, kind: str, **rest: Any) -> None:
        super().__init_subclass__(**rest)
        cls.kind = kind


@dataclass(frozen=True, slots=True)
class Record:
    """One imported object. data None is a tombstone: the object is gone at the API."""

    stream: str
    key: str
    data: Mapping[str, Any] | None


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


Output = Record | TaskArgs | Cursor | Identity | Skip


@dataclass(frozen=True, slots=True)
class Response:
    """status: HTTP status. headers: names in lower case. body: the decoded bytes. url: what was asked for, without
    credentials."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str = ""


Classifier = Callable[[Response], Exception | None]


@dataclass(frozen=True, slots=True)
class KeyInQuery:
    """The credential goes into the query of every request, under this name."""

    name: str


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """OAuth 2.0 with client credentials (RFC 6749, section 4.4). The account's credential is `id:secret`.

    token_url: a full URL, or a path below the account's base URL. parameters: further fields of the form. in_body:
    id and secret stand in the form too, instead of in a Basic header.
    """

    token_url: str
    scope: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    in_body: bool = False


class Api(Protocol):
    """The account's API: carries its credentials, and permits one request a task."""

    @property
    def mode(self) -> str:
        """What the credential says about itself without being secret, such as "live"; see `Source`."""
        ...

    @property
    def options(self) -> Mapping[str, Any]:
        """The keys of the account that its source declares; see `Source`."""
        ...

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """The parsed JSON of one GET; raises Transient, Throttled, Permanent, Denied or Unauthorized."""
        ...

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        classify: Classifier | None = None,
    ) -> Response:
        """Like `get`, with any method, a JSON body and headers; returns the response, not yet parsed. classify: takes
        the place of the source's own."""
        ...


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What a run is to do, for a source's `starts` function. cursors: the published ones, by stream."""

    streams: Sequence[str]
    full: bool
    started_at: float
    cursors: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Any, Any], Iterator[Output]]
Auth = Callable[[str], Mapping[str, str]] | KeyInQuery | ClientCredentials


@dataclass(frozen=True, slots=True)
class Kind:
    """How one kind of task is performed; see `Source.handles`. decode: a payload's arguments."""

    decode: Callable[[str], TaskArgs]
    handler: Handler
    stream: str
    bucket: str | Callable[[Any], str]
    sequential: bool
    unique: bool
    priority: int
    cost: int = 1
    wide: bool = False


class Source:
    """One API: its kinds of task, how a run starts, and its default limits.

    base_url: the default of an account's own. limits, bucket_limits, concurrency: defaults in `limits` notation,
    used where an account does not set its own. bucket_limits apply to each bucket; by_bucket overrides them for the
    ones it names. bucket_concurrency: most requests at once of the buckets it names. auth: (credential) -> headers, or
    another way to send it. mode: (credential) -> what it tells without being secret, for a guard.
    headers: sent with every request. classify: maps a response to an error where the usual mapping of status codes does
    not fit; None means "as usual". options: a msgspec.Struct or dataclass whose fields are the keys that an account of
    this source may set beside the usual ones. A Throttled without `retry_after` gets that of the response's header.
    """

    def __init__(
        self,
        name: str,
        *,
        base_url: str | None = None,
        streams: Sequence[str] = (),
        limits: Sequence[str] = (),
        bucket_limits: Sequence[str] = (),
        by_bucket: Mapping[str, Sequence[str]] | None = None,
        concurrency: int | None = None,
        bucket_concurrency: Mapping[str, int] | None = None,
        auth: Auth | None = None,
        mode: Callable[[str], str] | None = None,
        headers: Mapping[str, str] | None = None,
        classify: Classifier | None = None,
        options: type | None = None,
    ) -> None:
        self.name = name
        self.base_url = base_url
        self.streams = tuple(streams)
        self.limits = tuple(limits)
        self.bucket_limits = tuple(bucket_limits)
        self.by_bucket = dict(by_bucket or {})
        self.concurrency = concurrency
        self.bucket_concurrency = dict(bucket_concurrency or {})
        self.auth = auth
        self.mode = mode
        self.headers = dict(headers or {})
        self.classify = classify
        self.options = options
        self.kinds: dict[str, Kind] = {}
        self.guard: TaskArgs | None = None
        self._starts: Callable[[RunPlan], Iterable[TaskArgs]] = lambda _: ()

    def handles(
        self,
        args: type[TaskArgs],
        *,
        stream: str = "",
        bucket: str | Callable[[Any], str] = "",
        sequential: bool = False,
        unique: bool = False,
        priority: int | None = None,
        cost: int = 1,
        wide: bool = False,
    ) -> Callable[[Handler], Handler]:
        """Registers the handler of a kind.

        stream: what its failures are reported under; the kind's last part by default. bucket: the finer limit that
        it counts against, or a function of its arguments; the stream by default. sequential: it yields its own
        successor, so it goes first, and a successor that came before is a dead letter. unique: asking twice for the
        same arguments in a run makes one task. priority: 0 first … 9 last; by default
        sequential kinds go first, so that no chain is left over at the end. wide: it yields many tasks, and goes before
        ordinary ones while few are queued, and after them while many are. cost: how many ordinary requests one counts
        as, against every limit.
        """

        def register(handler: Handler) -> Handler:
            what = stream or args.kind.rpartition(".")[2]
            self.kinds[args.kind] = Kind(
                decode=msgspec.json.Decoder(args).decode,
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
        """Registers the check of the credentials: it runs alone, before any other task of an account, whenever a run
        starts or is resumed, and yields an Identity."""
        self.guard = args
        return self.handles(type(args), priority=0)

    def starts(self, function: Callable[[RunPlan], Iterable[TaskArgs]]) -> Callable[[RunPlan], Iterable[TaskArgs]]:
        """Registers the function that yields a run's first tasks."""
        self._starts = function
        return function

    def first_tasks(self, plan: RunPlan) -> list[NewTask]:
        """The tasks that a run begins with."""
        return [self.new_task(args) for args in self._starts(plan)]

    def new_task(self, args: TaskArgs) -> NewTask:
        """`args` as the frontier takes it. KeyError when no handler is registered for its kind."""
        kind = self.kinds[args.kind]
        return NewTask(
            kind=args.kind,
            bucket=kind.bucket if isinstance(kind.bucket, str) else kind.bucket(args),
            priority=kind.priority,
            payload=msgspec.json.encode(args).decode(),
            unique=kind.unique,
            sequential=kind.sequential,
        )

    def perform(self, api: Api, kind: str, payload: str) -> Iterator[Output]:
        """Runs the handler of one task. Permanent when the kind or its arguments are not (or no longer) known."""
        known = self.kinds.get(kind)
        if known is None:
            raise Permanent(f"source {self.name} has no handler for {kind}")
        try:
            args = known.decode(payload)
        except msgspec.ValidationError as error:
            raise Permanent(f"arguments of {kind} do not fit: {error}") from None
        return known.handler(api, args)


@dataclass(frozen=True, slots=True)
class SourceFamily:
    """An entry point that makes a source from what an account's options describe.

    options: as of `Source`. read: (options, folder) -> the description, of JSON values, with the source's `name`;
    relative paths start at the folder. Called in the main process only; it raises ConfigurationError with what is
    wrong in a file of its own, and ValueError with what is wrong in the options. make: description -> the source.
    """

    options: type
    read: Callable[[Any, Path], dict[str, Any]]
    make: Callable[[dict[str, Any]], Source]
