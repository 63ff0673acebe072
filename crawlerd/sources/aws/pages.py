"""What the sources of AWS Organizations share: the owner of the credentials, and lists in pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import new_class
from typing import TYPE_CHECKING, Any, TypeVar

from crawlerd.source import (
    MISSING_KEYS,
    AwsApi,
    Denied,
    Gather,
    Identity,
    NotFound,
    Output,
    Permanent,
    Source,
    Sweep,
    TaskArgs,
    Transient,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PAGE = 20  # objects, the most that AWS Organizations returns in a page
# Rate and burst per account (https://docs.aws.amazon.com/organizations/latest/userguide/orgs_reference_limits.html).
# One of the burst of 12 is left for the check of the credentials, which counts in no bucket.
LIST_ACCOUNTS_LIMIT = "8/second burst 11"
DESCRIBE_ACCOUNT_LIMIT = "20/second burst 30"
WHY_FULL = "AWS does not report changes, so each run reads everything"


@dataclass(frozen=True, kw_only=True)
class Page(TaskArgs, kind="aws.page"):
    """One page of a list.

    token: where it begins, None for the first.
    streams: those that the run wants.
    again: the list is read a second time in the run, since something was missing.
    """

    streams: tuple[str, ...] = ()
    token: str | None = None
    again: bool = False

    def parameters(self) -> dict[str, Any]:
        """Parameters of the request, apart from the token."""
        return {"MaxResults": PAGE}


P = TypeVar("P", bound=Page)
Objects = list[dict[str, Any]]


def lists(
    source: Source, args: type[P], operation: str, *, items: str, stream: str, priority: int = 3
) -> Callable[[Callable[[P, Objects], Iterable[Output]]], Callable[[P, Objects], Iterable[Output]]]:
    """Registers a function that handles each page of a list of AWS Organizations.

    items: the field of the answer that has the objects.

    The first page of the same list may be requested twice, but is read once. A page that names a next one may be empty.
    """

    following = new_class("Next", (args,), {"kind": f"{args.kind}.next"})

    def register(outputs: Callable[[P, Objects], Iterable[Output]]) -> Callable[[P, Objects], Iterable[Output]]:
        def page(api: AwsApi, task: P) -> Iterator[Output]:
            token = {"NextToken": task.token} if task.token else {}
            try:
                answer = api.call("organizations", operation, **task.parameters(), **token)
            except NotFound:  # the object it belongs to was deleted since it was listed
                return
            objects = answer.get(items)
            if not isinstance(objects, list):
                raise Transient(f"wrong body: {operation} has no {items}")
            yield from outputs(task, objects)
            if answer.get("NextToken"):
                yield following(**{**vars(task), "token": answer["NextToken"]})

        source.handles(args, stream=stream, bucket=operation, unique=True, priority=priority)(page)
        source.handles(following, stream=stream, bucket=operation, sequential=True, priority=priority)(page)
        return outputs

    return register


def guards(source: Source) -> None:
    """Registers the check of an account's credentials: their organization is the account's identity."""

    @dataclass(frozen=True)
    class Credentials(TaskArgs, kind=f"{source.name}.credentials"):
        pass

    @source.guards(Credentials())
    def organization(api: AwsApi, args: Credentials) -> Iterator[Output]:
        try:
            answer = api.call("organizations", "list_accounts", MaxResults=1)
        except Denied:  # the credentials work; whether they may do the rest will show when it is done
            return
        match answer:
            case {"Accounts": [{"Arn": str(arn)}, *_]} if arn.count("/") == 2:
                yield Identity(arn.split("/")[1])
            case {"Accounts": []} if not answer.get("NextToken"):
                raise Permanent("the AWS account of these credentials is not in an organization")


Ask = Callable[[Sequence[str]], Iterable[TaskArgs]]


def sweeps(source: Source, asks: Mapping[str, Ask]) -> Callable[[Sequence[TaskArgs], tuple[str, ...]], Gather]:
    """Returns a function that makes a group of everything in a run, tasks and streams. When the group ends with nothing
    denied or dead, each object that the streams had before and the run has not found is requested by itself; if it is
    not found then, it is deleted.

    asks: by stream, a function from missing keys to the tasks that request them, and yield records of objects that
        exist. A stream without one is read by one request.
    """

    @dataclass(frozen=True)
    class Gone(TaskArgs, kind=f"{source.name}.gone"):
        streams: tuple[str, ...]

    @dataclass(frozen=True)
    class Swept(TaskArgs, kind=f"{source.name}.swept"):
        streams: tuple[str, ...]

    @dataclass(frozen=True)
    class Compared(TaskArgs, kind=f"{source.name}.compared"):
        stream: str

    @dataclass(frozen=True)
    class Missing(TaskArgs, kind=f"{source.name}.missing"):
        stream: str
        missing: tuple[str, ...] = ()

    @source.handles(Gone, cost=0)
    def gone(api: AwsApi, args: Gone) -> Iterator[Output]:
        """Makes no request; neither do the following ones."""
        yield Gather(
            [Compared(stream) for stream in args.streams if stream in asks], then=Swept(args.streams), if_dead="fail"
        )

    @source.handles(Compared, bucket="gone", cost=0)
    def compared(api: AwsApi, args: Compared) -> Iterator[Output]:
        yield Sweep(args.stream, otherwise=Missing(args.stream))

    @source.handles(Missing, bucket="gone", cost=0)
    def missing(api: AwsApi, args: Missing) -> Iterator[Output]:
        yield from asks[args.stream](args.missing)
        if len(args.missing) == MISSING_KEYS:
            yield Sweep(args.stream, otherwise=Missing(args.stream), after=args.missing[-1])

    @source.handles(Swept, bucket="gone", cost=0)
    def swept(api: AwsApi, args: Swept) -> Iterator[Output]:
        for stream in args.streams:
            yield Sweep(stream)

    return lambda tasks, streams: Gather(tasks, then=Gone(streams), if_dead="fail")


def parents(keys: Sequence[str]) -> list[str]:
    """The keys of parents with which keys of records below them begin, each once."""
    return list(dict.fromkeys(key.partition(":")[0] for key in keys))


def state(account: dict[str, Any]) -> str:
    """ACTIVE, SUSPENDED and so on; AWS is going to drop `Status`."""
    return str(account.get("State") or account.get("Status") or "")


def management(account: dict[str, Any]) -> bool:
    """Whether an account is its organization's management account, by its ARN,
    `arn:aws:organizations::MANAGEMENT_ACCOUNT:account/ORGANIZATION/ACCOUNT`."""
    return bool(account["Arn"].split(":")[4:5] == [account["Id"]])
