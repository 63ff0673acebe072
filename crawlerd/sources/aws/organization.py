"""AWS Organizations: the tree of an organization with its tags and policies, correct even if accounts move while it is
read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crawlerd.source import AwsApi, Full, Gather, Limits, NotFound, Output, Record, RunPlan, Source, TaskArgs, Transient
from crawlerd.sources.aws import administration
from crawlerd.sources.aws.pages import (
    DESCRIBE_ACCOUNT_LIMIT,
    LIST_ACCOUNTS_LIMIT,
    PAGE,
    WHY_FULL,
    Objects,
    Page,
    guards,
    lists,
    parents,
    state,
    sweeps,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

aws_org = Source(
    "aws_org",
    client="aws",
    streams=[
        "organizations",
        "roots",
        "organizational_units",
        "accounts",
        "tags",
        "policies",
        "policy_targets",
    ],
    optional=administration.STREAMS,
    limits=Limits(
        by_bucket={  # https://docs.aws.amazon.com/organizations/latest/userguide/orgs_reference_limits.html
            "describe_account": [DESCRIBE_ACCOUNT_LIMIT],
            "describe_organization": ["1/second burst 2"],
            "describe_organizational_unit": ["2/second burst 2"],
            "describe_policy": ["2/second burst 2"],
            "list_accounts": [LIST_ACCOUNTS_LIMIT],
            "list_accounts_for_parent": ["5/second burst 8"],
            "list_organizational_units_for_parent": ["5/second burst 8"],
            "list_parents": ["5/second burst 8"],
            "list_policies": ["5/second burst 8"],
            "list_roots": ["1/second burst 2"],
            "list_tags_for_resource": ["10/second burst 15"],
            "list_targets_for_policy": ["5/second burst 8"],
            **administration.LIMITS,
        },
        concurrency="auto",
    ),
)
guards(aws_org)
administration.registers(aws_org)

# The order of the work. Tags take one request for each object, so nearly all of the time: all accounts are listed
# first, so that their tags can begin, and tags have priority over what they do not depend on. Meanwhile the tree is
# listed, as a group. A second list of all accounts completes it: an account that moved from a parent that was not
# listed yet to one that already was is in no parent's list, and its parent is requested.
TAGS_FIRST, TREE_FIRST = 2, 1
BELOW_ROOTS = {*aws_org.streams, "effective_policies"} - {"organizations"}  # the streams that begin with a root


@dataclass(frozen=True, kw_only=True)
class Organization(TaskArgs, kind="aws_org.organization"):
    pass


@dataclass(frozen=True, kw_only=True)
class Roots(Page, kind="aws_org.roots"):
    pass


@dataclass(frozen=True, kw_only=True)
class Accounts(Page, kind="aws_org.accounts"):
    """All accounts of the organization, in no particular order.

    closing: at the end of the tree, not at the beginning.
    """

    closing: bool


@dataclass(frozen=True, kw_only=True)
class Below(Page, kind="aws_org.below"):
    parent: str

    def parameters(self) -> dict[str, Any]:
        return {"ParentId": self.parent, "MaxResults": PAGE}


@dataclass(frozen=True, kw_only=True)
class UnitsBelow(Below, kind="aws_org.units_below"):
    pass


@dataclass(frozen=True, kw_only=True)
class AccountsBelow(Below, kind="aws_org.accounts_below"):
    pass


@dataclass(frozen=True, kw_only=True)
class Tags(Page, kind="aws_org.tags"):
    resource: str

    def parameters(self) -> dict[str, Any]:
        return {"ResourceId": self.resource}


@dataclass(frozen=True, kw_only=True)
class UnitTags(Tags, kind="aws_org.unit_tags"):
    """Tags of objects that the tree's group waits for."""


@dataclass(frozen=True, kw_only=True)
class Policies(Page, kind="aws_org.policies"):
    type: str

    def parameters(self) -> dict[str, Any]:
        return {"Filter": self.type, "MaxResults": PAGE}


@dataclass(frozen=True, kw_only=True)
class Policy(TaskArgs, kind="aws_org.policy"):
    policy: str


@dataclass(frozen=True, kw_only=True)
class Targets(Page, kind="aws_org.targets"):
    policy: str

    def parameters(self) -> dict[str, Any]:
        return {"PolicyId": self.policy, "MaxResults": PAGE}


@dataclass(frozen=True, kw_only=True)
class AccountInTree(TaskArgs, kind="aws_org.account_in_tree"):
    account: str


@dataclass(frozen=True, kw_only=True)
class UnitInTree(TaskArgs, kind="aws_org.unit_in_tree"):
    unit: str
    streams: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class NewUnit(UnitInTree, kind="aws_org.new_unit"):
    """A unit that was created after its parent was listed, and was found through an account in it."""


@dataclass(frozen=True, kw_only=True)
class Parent(TaskArgs, kind="aws_org.parent"):
    """Requests the parent of an object that is in no parent's list.

    object: as AWS describes it.
    """

    stream: str
    object: dict[str, Any]
    streams: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class LostAccount(Parent, kind="aws_org.lost_account"):
    pass


@dataclass(frozen=True, kw_only=True)
class MissingAccount(TaskArgs, kind="aws_org.missing_account"):
    """An account that no list had, although an earlier run found it."""

    account: str


@dataclass(frozen=True, kw_only=True)
class MissingUnit(TaskArgs, kind="aws_org.missing_unit"):
    unit: str


whole = sweeps(
    aws_org,
    {
        "organizational_units": lambda keys: [MissingUnit(unit=key) for key in keys],
        "accounts": lambda keys: [MissingAccount(account=key) for key in keys],
        "tags": lambda keys: [Tags(resource=each, again=True) for each in parents(keys)],
        "policies": lambda keys: [Policy(policy=key) for key in keys],
        "policy_targets": lambda keys: [Targets(policy=each, again=True) for each in parents(keys)],
        **administration.ASKS,
    },
)


@aws_org.starts
def first_tasks(plan: RunPlan) -> Iterable[Gather | Full]:
    yield Full(WHY_FULL)
    streams = tuple(plan.streams)
    tasks: list[TaskArgs] = []
    if "organizations" in streams:
        tasks.append(Organization())
    if "tags" in streams:
        tasks.append(Accounts(streams=streams, closing=False))
    tasks += administration.first_tasks(streams)
    if not BELOW_ROOTS.isdisjoint(streams):
        tasks.append(Roots(streams=streams))
    yield whole(tasks, streams)


@aws_org.handles(Organization, stream="organizations", bucket="describe_organization")
def organization(api: AwsApi, args: Organization) -> Iterator[Output]:
    found = _described(api.call("organizations", "describe_organization"), "Organization")
    yield Record("organizations", found["Id"], found)


@lists(aws_org, Roots, "list_roots", items="Roots", stream="roots", priority=TREE_FIRST)
def roots(args: Roots, objects: Objects) -> Iterator[Output]:
    for each in objects:
        if "roots" in args.streams:  # arn:aws:organizations::ACCOUNT:root/ORGANIZATION/ROOT
            yield Record("roots", each["Id"], {**each, "parent_id": each["Arn"].split("/")[1]})
        if "tags" in args.streams:
            yield Tags(resource=each["Id"], streams=args.streams)
        tree = list(_below(each["Id"], args.streams))
        if "accounts" in args.streams:
            yield Gather(tree, then=Accounts(streams=args.streams, closing=True))
        else:
            yield from tree
        if {"policies", "policy_targets", "tags"} & set(args.streams):
            for policy_type in each.get("PolicyTypes") or ():
                if policy_type.get("Status") == "ENABLED":
                    yield Policies(type=policy_type["Type"], streams=args.streams)
        yield from administration.of_root(each, args.streams)


def _below(parent: str, streams: tuple[str, ...]) -> Iterator[TaskArgs]:
    if {"organizational_units", "accounts", "tags"} & set(streams):
        yield UnitsBelow(parent=parent, streams=streams)
    if "accounts" in streams:
        yield AccountsBelow(parent=parent, streams=streams)


@lists(
    aws_org,
    UnitsBelow,
    "list_organizational_units_for_parent",
    items="OrganizationalUnits",
    stream="organizational_units",
    priority=TREE_FIRST,
)
def units_below(args: UnitsBelow, objects: Objects) -> Iterator[Output]:
    for each in objects:
        if "organizational_units" in args.streams:
            yield Record("organizational_units", each["Id"], {**each, "parent_id": args.parent})
        yield UnitInTree(unit=each["Id"], streams=args.streams)


@lists(aws_org, AccountsBelow, "list_accounts_for_parent", items="Accounts", stream="accounts")
def accounts_below(args: AccountsBelow, objects: Objects) -> Iterator[Output]:
    for each in objects:
        yield Record("accounts", each["Id"], {**each, "state": state(each), "parent_id": args.parent})
        yield AccountInTree(account=each["Id"])


@lists(aws_org, Accounts, "list_accounts", items="Accounts", stream="accounts")
def accounts(args: Accounts, objects: Objects) -> Iterator[Output]:
    for each in objects:
        if "tags" in args.streams:
            yield Tags(resource=each["Id"], streams=args.streams)
        if args.closing:
            lost = {**each, "state": state(each)}
            yield LostAccount(stream="accounts", object=lost, streams=args.streams)


# Of the two tasks below, and of the two after them, only the first one that is requested in a run is made. So the list
# that completes the tree finds what is not in it, whatever its size, and neither a task nor a process has to hold a
# set.


@aws_org.handles(AccountInTree, stream="accounts", bucket="in_tree", unique=lambda args: f"account {args.account}")
def account_in_tree(api: AwsApi, args: AccountInTree) -> Iterator[Output]:
    """Makes no request: it is enough that the task was made."""
    return iter(())


@aws_org.handles(
    LostAccount, stream="accounts", bucket="list_parents", unique=lambda args: f"account {args.object['Id']}"
)
@aws_org.handles(Parent, stream="organizational_units", bucket="list_parents")
def parent(api: AwsApi, args: Parent) -> Iterator[Output]:
    try:
        answer = api.call("organizations", "list_parents", ChildId=args.object["Id"])
    except NotFound:  # it has left the organization in the meantime
        return
    match answer:
        case {"Parents": [{"Id": str(found), "Type": kind}]}:
            yield Record(args.stream, args.object["Id"], {**args.object, "parent_id": found})
            if kind == "ORGANIZATIONAL_UNIT":
                yield NewUnit(unit=found, streams=args.streams)
        case _:
            raise Transient("wrong body: list_parents names no parent")


@aws_org.handles(
    UnitInTree,
    stream="organizational_units",
    bucket="in_tree",
    priority=TREE_FIRST,
    unique=lambda args: f"unit {args.unit}",
)
def unit_in_tree(api: AwsApi, args: UnitInTree) -> Iterator[Output]:
    """Makes no request."""
    yield from _below(args.unit, args.streams)
    if "tags" in args.streams:
        yield UnitTags(resource=args.unit, streams=args.streams)


@aws_org.handles(MissingAccount, stream="accounts", bucket="describe_account")
def missing_account(api: AwsApi, args: MissingAccount) -> Iterator[Output]:
    try:
        answer = api.call("organizations", "describe_account", AccountId=args.account)
    except NotFound:
        return
    found = _described(answer, "Account")
    yield Parent(stream="accounts", object={**found, "state": state(found)}, streams=())


@aws_org.handles(MissingUnit, stream="organizational_units", bucket="describe_organizational_unit")
def missing_unit(api: AwsApi, args: MissingUnit) -> Iterator[Output]:
    try:
        answer = api.call("organizations", "describe_organizational_unit", OrganizationalUnitId=args.unit)
    except NotFound:
        return
    yield Parent(stream="organizational_units", object=_described(answer, "OrganizationalUnit"), streams=())


@aws_org.handles(
    NewUnit,
    stream="organizational_units",
    bucket="describe_organizational_unit",
    unique=lambda args: f"unit {args.unit}",
)
def new_unit(api: AwsApi, args: NewUnit) -> Iterator[Output]:
    try:
        answer = api.call("organizations", "describe_organizational_unit", OrganizationalUnitId=args.unit)
    except NotFound:
        return
    found = _described(answer, "OrganizationalUnit")
    if "organizational_units" in args.streams:
        yield Parent(stream="organizational_units", object=found, streams=args.streams)
    yield from unit_in_tree(api, args)


@lists(aws_org, UnitTags, "list_tags_for_resource", items="Tags", stream="tags", priority=TREE_FIRST)
@lists(aws_org, Tags, "list_tags_for_resource", items="Tags", stream="tags", priority=TAGS_FIRST)
def tags(args: Tags, objects: Objects) -> Iterator[Output]:
    for each in objects:
        yield Record("tags", f"{args.resource}:{each['Key']}", {**each, "parent_id": args.resource})


@lists(aws_org, Policies, "list_policies", items="Policies", stream="policies")
def policies(args: Policies, objects: Objects) -> Iterator[Output]:
    for each in objects:
        if "policies" in args.streams:
            yield Policy(policy=each["Id"])
        if "policy_targets" in args.streams:
            yield Targets(policy=each["Id"], streams=args.streams)
        if "tags" in args.streams and not each.get("AwsManaged"):  # AWS's own policies cannot be tagged
            yield Tags(resource=each["Id"], streams=args.streams)


@aws_org.handles(Policy, stream="policies", bucket="describe_policy", unique=True, priority=TAGS_FIRST)
def policy(api: AwsApi, args: Policy) -> Iterator[Output]:
    try:
        answer = api.call("organizations", "describe_policy", PolicyId=args.policy)
    except NotFound:
        return
    found = _described(answer, "Policy")
    yield Record("policies", args.policy, {**found.get("PolicySummary", {}), "Content": found.get("Content")})


@lists(aws_org, Targets, "list_targets_for_policy", items="Targets", stream="policy_targets")
def targets(args: Targets, objects: Objects) -> Iterator[Output]:
    for each in objects:
        yield Record("policy_targets", f"{args.policy}:{each['TargetId']}", {**each, "parent_id": args.policy})


def _described(answer: dict[str, Any], item: str) -> dict[str, Any]:
    found = answer.get(item)
    if not isinstance(found, dict):
        raise Transient(f"wrong body: no {item}")
    return found
