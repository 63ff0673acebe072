"""A source's kinds of task: encodes the arguments that handlers yield for the frontier, and decodes them again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import TYPE_CHECKING

import msgspec

from crawlerd.core.errors import Permanent
from crawlerd.core.lenient_json import encoded, number
from crawlerd.core.outcome import Comparison, Complete
from crawlerd.core.output import ForAccount, ForParent, ForPart, Full, Gather, Orphans, TaskArgs
from crawlerd.core.task import PART, IfNew, NewGather, NewTask, parent_hash
from crawlerd.source import Source

if TYPE_CHECKING:
    from crawlerd.core.output import Output, Sweep
    from crawlerd.source import RunPlan

SourceOf = Callable[[str], Source | None]  # the source of an account, by its name; None when it is not configured

_decoders: dict[type[TaskArgs], Callable[[str], TaskArgs]] = {}


def no_accounts(account: str) -> Source | None:
    """A `SourceOf` for tests and checks without any other account."""
    return None


def new_task(
    source: Source, args: TaskArgs | ForAccount | ForPart | ForParent, source_of: SourceOf = no_accounts
) -> NewTask:
    """Encodes a task for the frontier. Raises KeyError when no handler is registered for its kind; Permanent when it is
    for an account that is not configured, or whose source has no such kind."""
    if isinstance(args, ForPart):
        return msgspec.structs.replace(new_task(source, args.args), account=PART + args.part)
    if isinstance(args, ForParent):
        if not isinstance(args.since, TaskArgs) or not isinstance(args.full, TaskArgs):
            raise TypeError("a ForParent has two TaskArgs")
        if_new = IfNew(args.list, parent_hash(args.parent), new_task(source, args.full))
        return msgspec.structs.replace(new_task(source, args.since), if_new=if_new)
    if isinstance(args, ForAccount):
        other, name = source_of(args.account), args.args.kind
        if other is None:
            raise Permanent(f"a task of kind {name} is for [accounts.{args.account}], which is not configured")
        if name not in other.kinds:
            raise Permanent(f"account {args.account} is of the source {other.name}, which has no kind {name}")
        return msgspec.structs.replace(new_task(other, args.args), account=args.account)
    if not isinstance(args, TaskArgs):
        raise TypeError(f"a task is TaskArgs or ForAccount, not {type(args).__name__}")
    kind = source.kinds[args.kind]
    return NewTask(
        kind=args.kind,
        bucket=kind.bucket if isinstance(kind.bucket, str) else kind.bucket(args),
        priority=kind.priority,
        payload=encoded(args).decode(),
        unique=bool(kind.unique),
        mark=kind.unique(args) if callable(kind.unique) else "",
        sequential=kind.sequential,
    )


def new_gather(source: Source, gather: Gather, source_of: SourceOf = no_accounts) -> NewGather:
    """Encodes a group for the frontier. Raises the errors of `new_task`."""
    tasks = [new_task(source, args, source_of) for args in gather.tasks]
    return NewGather(tasks, new_task(source, gather.then, source_of), gather.if_dead)


def new_comparison(source: Source, sweep: Sweep | Orphans) -> Comparison:
    """Encodes a sweep with an `otherwise`, for the sink and the frontier. Raises the errors of `new_task`."""
    if not isinstance(sweep.otherwise, TaskArgs):
        whose = "Orphans'" if isinstance(sweep, Orphans) else "a Sweep's"
        raise TypeError(f"{whose} otherwise is TaskArgs, not {type(sweep.otherwise).__name__}")
    fills = any(each.name == "missing" for each in fields(sweep.otherwise))  # type: ignore[arg-type] # a dataclass
    prefix, parent = ("", sweep.parent) if isinstance(sweep, Orphans) else (sweep.prefix, "")
    return Comparison(sweep.stream, prefix, sweep.after, new_task(source, sweep.otherwise), fills, parent)


def first(source: Source, plan: RunPlan, source_of: SourceOf = no_accounts) -> Complete:
    """The first tasks of a run, as an outcome that yields them."""
    children: list[NewTask] = []
    gathers: list[NewGather] = []
    full: list[tuple[str, list[str]]] = []
    for output in source.begins(plan):
        if isinstance(output, Gather):
            gathers.append(new_gather(source, output, source_of))
        elif isinstance(output, Full):
            full.append((output.reason, list(output.streams)))
        else:
            children.append(new_task(source, output, source_of))
    return Complete(children=children, gathers=gathers, full=full)


def perform(source: Source, api: object, kind: str, payload: str) -> Iterator[Output]:
    """Runs the handler of one task. Raises Permanent when the source does not know its kind or arguments (any more)."""
    known = source.kinds.get(kind)
    if known is None:
        raise Permanent(f"source {source.name} has no handler for {kind}")
    try:
        args = decoder(known.args)(payload)
    except msgspec.ValidationError as error:
        raise Permanent(f"arguments of {kind} do not fit: {error}") from None
    return known.handler(api, args)


def decoder(args: type[TaskArgs]) -> Callable[[str], TaskArgs]:
    """A function that decodes a payload to arguments of this type."""
    decode = _decoders.get(args)
    if decode is None:
        decode = _decoders[args] = msgspec.json.Decoder(args, float_hook=number).decode
    return decode
