"""Further facts about an organization: who administers it for which service, its own policy, its invitations, and the
effective policies of each account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crawlerd.source import AwsApi, NotFound, Output, Record, Source, TaskArgs, Transient
from crawlerd.sources.aws.pages import Ask, Objects, Page, lists, parents, state

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

STREAMS = (
    "delegated_administrators",
    "delegated_services",
    "service_access",
    "resource_policies",
    "handshakes",
    "effective_policies",
)
# AWS documents no rates for these operations. Each gets the lowest documented rate of an operation that reads an
# organization.
LOWEST = "1/second burst 2"
OPERATIONS = (
    "describe_effective_policy",
    "describe_handshake",
    "describe_resource_policy",
    "list_aws_service_access_for_organization",
    "list_delegated_administrators",
    "list_delegated_services_for_account",
    "list_handshakes_for_organization",
)
LIMITS: Mapping[str, list[str]] = {operation: [LOWEST] for operation in OPERATIONS}
# Policy types without an effective policy of an account: they permit and forbid, and all policies above an account
# count.
AUTHORIZING = ("SERVICE_CONTROL_POLICY", "RESOURCE_CONTROL_POLICY")


@dataclass(frozen=True, kw_only=True)
class Administrators(Page, kind="aws_org.delegated_administrators"):
    pass


@dataclass(frozen=True, kw_only=True)
class Services(Page, kind="aws_org.delegated_services"):
    """The services for which an account is a delegated administrator."""

    account: str

    def parameters(self) -> dict[str, Any]:
        return {**super().parameters(), "AccountId": self.account}


@dataclass(frozen=True, kw_only=True)
class ServiceAccess(Page, kind="aws_org.service_access"):
    """The services that may act in all accounts of the organization."""


@dataclass(frozen=True, kw_only=True)
class ResourcePolicy(TaskArgs, kind="aws_org.resource_policy"):
    pass


@dataclass(frozen=True, kw_only=True)
class Handshakes(Page, kind="aws_org.handshakes"):
    pass


@dataclass(frozen=True, kw_only=True)
class MissingHandshake(TaskArgs, kind="aws_org.missing_handshake"):
    """One that the list did not have, although an earlier run found it."""

    handshake: str


@dataclass(frozen=True, kw_only=True)
class Governed(Page, kind="aws_org.governed"):
    """All accounts, to request the effective policies of each.

    types: the enabled policy types.
    """

    types: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class EffectivePolicy(TaskArgs, kind="aws_org.effective_policy"):
    account: str
    type: str


def first_tasks(streams: tuple[str, ...]) -> Iterator[TaskArgs]:
    """The first tasks of a run for these streams, apart from the roots."""
    if not {"delegated_administrators", "delegated_services"}.isdisjoint(streams):
        yield Administrators(streams=streams)
    if "service_access" in streams:
        yield ServiceAccess(streams=streams)
    if "resource_policies" in streams:
        yield ResourcePolicy()
    if "handshakes" in streams:
        yield Handshakes(streams=streams)


def of_root(root: Mapping[str, Any], streams: tuple[str, ...]) -> Iterator[TaskArgs]:
    """What follows from a root: the policy types that are enabled in the organization."""
    if "effective_policies" in streams:
        enabled = [each["Type"] for each in root.get("PolicyTypes") or () if each.get("Status") == "ENABLED"]
        if types := tuple(each for each in enabled if each not in AUTHORIZING):
            yield Governed(types=types, streams=streams)


def _effective(keys: Iterable[str]) -> Iterator[TaskArgs]:
    for key in keys:
        account, _, policy_type = key.partition(":")
        yield EffectivePolicy(account=account, type=policy_type)


# How missing objects are requested. Streams without an entry come in one answer.
ASKS: Mapping[str, Ask] = {
    "delegated_administrators": lambda keys: [Administrators(again=True, streams=("delegated_administrators",))],
    "delegated_services": lambda keys: [Services(account=each, again=True) for each in parents(keys)],
    "service_access": lambda keys: [ServiceAccess(again=True)],
    "handshakes": lambda keys: [MissingHandshake(handshake=key) for key in keys],
    "effective_policies": _effective,
}


def registers(source: Source) -> None:
    @lists(
        source,
        Administrators,
        "list_delegated_administrators",
        items="DelegatedAdministrators",
        stream="delegated_administrators",
    )
    def administrators(args: Administrators, objects: Objects) -> Iterator[Output]:
        for each in objects:
            if "delegated_administrators" in args.streams:
                yield Record("delegated_administrators", each["Id"], {**each, "state": state(each)})
            if "delegated_services" in args.streams:
                yield Services(account=each["Id"])

    @lists(
        source,
        Services,
        "list_delegated_services_for_account",
        items="DelegatedServices",
        stream="delegated_services",
    )
    def services(args: Services, objects: Objects) -> Iterator[Output]:
        for each in objects:
            key = f"{args.account}:{each['ServicePrincipal']}"
            yield Record("delegated_services", key, {**each, "parent_id": args.account})

    @lists(
        source,
        ServiceAccess,
        "list_aws_service_access_for_organization",
        items="EnabledServicePrincipals",
        stream="service_access",
    )
    def service_access(args: ServiceAccess, objects: Objects) -> Iterator[Output]:
        for each in objects:
            yield Record("service_access", each["ServicePrincipal"], each)

    @source.handles(ResourcePolicy, stream="resource_policies", bucket="describe_resource_policy")
    def resource_policy(api: AwsApi, args: ResourcePolicy) -> Iterator[Output]:
        try:
            answer = api.call("organizations", "describe_resource_policy")
        except NotFound:  # the organization has none
            return
        match answer:
            case {"ResourcePolicy": {"ResourcePolicySummary": {"Id": str(key)} as summary, **rest}}:
                yield Record("resource_policies", key, {**summary, "Content": rest.get("Content")})
            case _:
                raise Transient("wrong body: no ResourcePolicy with its Id")

    @lists(source, Handshakes, "list_handshakes_for_organization", items="Handshakes", stream="handshakes")
    def handshakes(args: Handshakes, objects: Objects) -> Iterator[Output]:
        for each in objects:
            yield Record("handshakes", each["Id"], each)

    @source.handles(MissingHandshake, stream="handshakes", bucket="describe_handshake")
    def missing_handshake(api: AwsApi, args: MissingHandshake) -> Iterator[Output]:
        """AWS drops an invitation 30 days after it has ended."""
        try:
            answer = api.call("organizations", "describe_handshake", HandshakeId=args.handshake)
        except NotFound:
            return
        match answer:
            case {"Handshake": {"Id": str(found)}} if found == args.handshake:
                yield Record("handshakes", found, answer["Handshake"])
            case _:
                raise Transient("wrong body: not the requested Handshake")

    @lists(source, Governed, "list_accounts", items="Accounts", stream="effective_policies")
    def governed(args: Governed, objects: Objects) -> Iterator[Output]:
        for each in objects:
            for policy_type in args.types:
                yield EffectivePolicy(account=each["Id"], type=policy_type)

    @source.handles(EffectivePolicy, stream="effective_policies", bucket="describe_effective_policy", unique=True)
    def effective_policy(api: AwsApi, args: EffectivePolicy) -> Iterator[Output]:
        try:
            answer = api.call("organizations", "describe_effective_policy", PolicyType=args.type, TargetId=args.account)
        except NotFound:  # none applies to it, or it has left since it was listed
            return
        found = answer.get("EffectivePolicy")
        if not isinstance(found, dict):
            raise Transient("wrong body: no EffectivePolicy")
        yield Record("effective_policies", f"{args.account}:{args.type}", {**found, "parent_id": args.account})
