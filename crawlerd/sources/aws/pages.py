"""What the sources at AWS Organizations share: whose credentials these are, and lists that come in pages."""

from __future__ import annotations

from dataclasses import dataclass
from types import new_class
from typing import TYPE_CHECKING, Any, TypeVar

from crawlerd.source import (
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
    from collections.abc import Callable, Iterable, Iterator, Sequence

PAGE = 20  # objects, the most that a list of AWS Organizations gives at once
# Rate and burst an account (https://docs.aws.amazon.com/organizations/latest/userguide/orgs_reference_limits.html).
# Of the burst of 12, one is left for the check of credentials, which no bucket counts.
LIST_ACCOUNTS_LIMIT = "8/second burst 11"


@dataclass(frozen=True, kw_only=True)
class Page(TaskArgs, kind="aws.page"):
    """One page of a list; token: where it begins, None for the first. streams: those that the run wants."""

    streams: tuple[str, ...] = ()
    token: str | None = None

    def parameters(self) -> dict[str, Any]:
        """Of the request, beside the token."""
        return {"MaxResults": PAGE}


P = TypeVar("P", bound=Page)
Objects = list[dict[str, Any]]


def lists(
    source: Source, args: type[P], operation: str, *, items: str, stream: str, priority: int = 3
) -> Callable[[Callable[[P, Objects], Iterable[Output]]], Callable[[P, Objects], Iterable[Output]]]:
    """Registers what becomes of each page of a list of AWS Organizations. items: where the answer has its objects.

    The first page of the same list may be asked for twice, and comes once. A page that names a next one may be empty.
    """

    following = new_class("Next", (args,), {"kind": f"{args.kind}.next"})

    def register(outputs: Callable[[P, Objects], Iterable[Output]]) -> Callable[[P, Objects], Iterable[Output]]:
        def page(api: AwsApi, task: P) -> Iterator[Output]:
            token = {"NextToken": task.token} if task.token else {}
            try:
                answer = api.call("organizations", operation, **task.parameters(), **token)
            except NotFound:  # what it belongs to is gone since it was listed
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
    """Registers the check of an account's credentials: the organization they belong to is its identity."""

    @dataclass(frozen=True)
    class Credentials(TaskArgs, kind=f"{source.name}.credentials"):
        pass

    @source.guards(Credentials())
    def organization(api: AwsApi, args: Credentials) -> Iterator[Output]:
        try:
            answer = api.call("organizations", "list_accounts", MaxResults=1)
        except Denied:  # they work; what else they may do is seen as it is done
            return
        match answer:
            case {"Accounts": [{"Arn": str(arn)}, *_]} if arn.count("/") == 2:
                yield Identity(arn.split("/")[1])
            case {"Accounts": []} if not answer.get("NextToken"):
                raise Permanent("these credentials' AWS account is in no organization")


def sweeps(source: Source) -> Callable[[Sequence[TaskArgs], tuple[str, ...]], Gather]:
    """Returns what makes the whole of a run, tasks and streams, a group: when it is over with nothing denied or dead,
    what the streams had before and the run has not found is gone."""

    @dataclass(frozen=True)
    class Gone(TaskArgs, kind=f"{source.name}.gone"):
        streams: tuple[str, ...]

    @source.handles(Gone, cost=0)
    def gone(api: AwsApi, args: Gone) -> Iterator[Output]:
        """No request."""
        for stream in args.streams:
            yield Sweep(stream)

    return lambda tasks, streams: Gather(tasks, then=Gone(streams), if_dead="fail")


def state(account: dict[str, Any]) -> str:
    """ACTIVE, SUSPENDED and so on; AWS is about to drop `Status`."""
    return str(account.get("State") or account.get("Status") or "")


def management(account: dict[str, Any]) -> bool:
    """Whether an organization's account is its management account, by its ARN,
    `arn:aws:organizations::MANAGEMENT_ACCOUNT:account/ORGANIZATION/ACCOUNT`."""
    return bool(account["Arn"].split(":")[4:5] == [account["Id"]])
