"""Delegated administrators, service access, policies and handshakes of an organization; regions of its accounts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel
from support.aws_proxy import DOCUMENTED, AwsProxy, Fault, Organization, Request, organization
from support.installation import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.installation import Installation

MANAGEMENT = "123456789012"
QUICKER = 24
STREAMS = (
    "delegated_administrators",
    "delegated_services",
    "service_access",
    "resource_policies",
    "handshakes",
    "effective_policies",
)
# What the source gives each operation that AWS documents no rate of.
LOWEST = {
    "DescribeEffectivePolicy": "describe_effective_policy",
    "DescribeHandshake": "describe_handshake",
    "DescribeResourcePolicy": "describe_resource_policy",
    "ListAWSServiceAccessForOrganization": "list_aws_service_access_for_organization",
    "ListDelegatedAdministrators": "list_delegated_administrators",
    "ListDelegatedServicesForAccount": "list_delegated_services_for_account",
    "ListHandshakesForOrganization": "list_handshakes_for_organization",
}


class Beside:
    """What moto has not, by the service's own model: an answer with a name that AWS' has not is refused."""

    def __init__(self, accounts: list[str]) -> None:
        self.accounts = accounts
        self.models = {
            name: ServiceModel(Loader().load_service_model(name, "service-2")) for name in ("organizations", "account")
        }
        self.policy: dict[str, Any] | None = {
            "ResourcePolicySummary": {"Id": "rp-1", "Arn": "arn:aws:organizations::1:resourcepolicy/o-1/rp-1"},
            "Content": "{}",
        }
        self.handshakes = {
            f"h-{number}": {"Id": f"h-{number}", "Action": "INVITE", "State": "OPEN", "RequestedTimestamp": 1.7e9}
            for number in range(45)
        }
        self.hidden: set[str] = set()  # handshakes that the list leaves out
        self.without: set[str] = set()  # accounts that have no effective policy
        self.regions = {key: {f"region-{number}": "ENABLED" for number in range(60)} for key in accounts}
        self.suspended = accounts[-1]

    def fault(self, request: Request) -> Fault | None:
        match request.operation:
            case "DescribeResourcePolicy" if self.policy is None:
                return Fault(400, "ResourcePolicyNotFoundException")
            case "DescribeHandshake" if request.body["HandshakeId"] not in self.handshakes:
                return Fault(400, "HandshakeNotFoundException")
            case "DescribeEffectivePolicy" if request.body["TargetId"] in self.without:
                return Fault(400, "EffectivePolicyNotFoundException")
            case "ListRegions" | "GetAccountInformation" if request.body.get("AccountId") == MANAGEMENT:
                return Fault(403, "AccessDeniedException", "standalone context")
            case "ListRegions" if request.body.get("AccountId") == self.suspended:
                return Fault(403, "AccessDeniedException", "suspended")
        return None

    def answer(self, request: Request) -> dict[str, Any] | None:
        found = self._answer(request)
        if found is not None:
            service = "account" if request.operation in ("ListRegions", "GetAccountInformation") else "organizations"
            model = self.models[service].operation_model(request.operation)
            assert set(found) <= set(model.output_shape.members)
            assert set(request.body) <= set(model.input_shape.members if model.input_shape else ())
        return found

    def _answer(self, request: Request) -> dict[str, Any] | None:
        body = request.body
        match request.operation:
            case "DescribeResourcePolicy":
                return {"ResourcePolicy": self.policy}
            case "DescribeHandshake":
                return {"Handshake": self.handshakes[body["HandshakeId"]]}
            case "ListHandshakesForOrganization":
                listed = [each for key, each in self.handshakes.items() if key not in self.hidden]
                return _page("Handshakes", listed, body)
            case "DescribeEffectivePolicy":
                found = {"TargetId": body["TargetId"], "PolicyType": body["PolicyType"], "PolicyContent": "{}"}
                return {"EffectivePolicy": found}
            case "ListRegions":
                regions = self.regions[body.get("AccountId", MANAGEMENT)]
                listed = [{"RegionName": name, "RegionOptStatus": status} for name, status in regions.items()]
                return _page("Regions", listed, body)
            case "GetAccountInformation":
                account = body.get("AccountId", MANAGEMENT)
                return {"AccountId": account, "AccountName": f"name {account}", "AccountState": "ACTIVE"}
        return None


def _page(items: str, objects: list[Any], body: dict[str, Any]) -> dict[str, Any]:
    start = int(body.get("NextToken", "0"))
    end = start + body["MaxResults"]
    return {items: objects[start:end]} | ({"NextToken": str(end)} if end < len(objects) else {})


@pytest.fixture
def org() -> Iterator[Organization]:
    with organization(accounts=24, units=2, policies=0) as started:
        client = started.client()
        client.enable_policy_type(RootId=started.truth["root"], PolicyType="TAG_POLICY")
        for number, account in enumerate(list(started.truth["accounts"])[1:4]):
            for service in ("guardduty", "macie", "ssm")[: number + 1]:
                client.register_delegated_administrator(AccountId=account, ServicePrincipal=f"{service}.amazonaws.com")
        for service in ("guardduty", "sso"):
            client.enable_aws_service_access(ServicePrincipal=f"{service}.amazonaws.com")
        yield started


@pytest.fixture
def beside(org: Organization) -> Beside:
    return Beside(list(org.truth["accounts"]))


@pytest.fixture
def proxy(org: Organization, beside: Beside) -> Iterator[AwsProxy]:
    limits = {name: (rate * QUICKER, burst) for name, (rate, burst) in DOCUMENTED.items()}
    limits |= dict.fromkeys(LOWEST, (QUICKER, 2)) | {
        "ListRegions": (5.0 * QUICKER, 5),
        "GetAccountInformation": (3.0 * QUICKER, 3),
    }
    with AwsProxy(org.address, limits=limits, most_at_once=5) as started:
        started.management = MANAGEMENT
        started.own, started.fault = beside.answer, beside.fault
        started.paged |= {"ListDelegatedServicesForAccount": ("DelegatedServices", 2)}
        yield started


def settle(
    install: Callable[..., Installation], proxy: AwsProxy, source: str, streams: tuple[str, ...]
) -> Installation:
    here = install(accounts=0)
    here.environment |= {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret"}
    limits = dict.fromkeys(LOWEST.values(), f"{QUICKER}/second burst 2") | {"list_roots": f"{QUICKER}/second burst 2"}
    if source == "aws_contacts":
        limits = {"list_regions": f"{5 * QUICKER}/second", "get_account_information": f"{3 * QUICKER}/second"}
    here.config["accounts"]["org"] = {"source": source, "endpoint_url": proxy.url, "bucket_limits": limits}
    here.config["imports"]["org"] = {"account": "org", "sink": "sink", "streams": list(streams)}
    return here


@pytest.mark.alone
def test_killed_at_any_instant_all_of_it_is_there_and_what_goes_is_tombstoned(
    org: Organization, beside: Beside, proxy: AwsProxy, install: Callable[..., Installation]
) -> None:
    here = settle(install, proxy, "aws_org", STREAMS)
    for step in (1, 4, 8, 14):
        seen = len(proxy.seen)
        running = here.start("import", "org")
        until(lambda enough=seen + step: len(proxy.seen) >= enough or not running.running)  # noqa: B023 - it ends within the turn
        if not running.running:
            break
        running.kill()
    assert here.run("import", "org").code == 0
    assert here.run("frontier", "check").code == 0
    assert not proxy.throttled
    first, second, third = list(org.truth["accounts"])[1:4]
    served = {f"{first}:guardduty", f"{second}:guardduty", f"{second}:macie"}
    served |= {f"{third}:{service}" for service in ("guardduty", "macie", "ssm")}
    assert set(rows(here, "delegated_administrators")) == {first, second, third}
    assert set(rows(here, "delegated_services")) == {f"{key}.amazonaws.com" for key in served}
    assert set(rows(here, "service_access")) == {"guardduty.amazonaws.com", "sso.amazonaws.com"}
    assert rows(here, "resource_policies")["rp-1"]["Content"] == "{}"
    assert set(rows(here, "handshakes")) == set(beside.handshakes)
    # An SCP is enabled as well, and has no effective policy.
    assert set(rows(here, "effective_policies")) == {f"{key}:TAG_POLICY" for key in org.truth["accounts"]}

    client = org.client()
    client.deregister_delegated_administrator(AccountId=first, ServicePrincipal="guardduty.amazonaws.com")
    client.deregister_delegated_administrator(AccountId=third, ServicePrincipal="ssm.amazonaws.com")
    client.disable_aws_service_access(ServicePrincipal="sso.amazonaws.com")
    del beside.handshakes["h-3"]
    beside.policy, beside.without, beside.hidden = None, {second}, {"h-7"}
    assert here.run("import", "org").code == 0
    assert gone(here) == {
        "delegated_administrators": {first},
        "delegated_services": {f"{first}:guardduty.amazonaws.com", f"{third}:ssm.amazonaws.com"},
        "service_access": {"sso.amazonaws.com"},
        "resource_policies": {"rp-1"},
        "handshakes": {"h-3"},  # the list does not have h-7 either, but AWS describes it
        "effective_policies": {f"{second}:TAG_POLICY"},
    }
    assert not proxy.throttled


@pytest.mark.alone
def test_where_aws_documents_no_rate_none_is_exceeded_that_it_documents_of_any_read(
    org: Organization, beside: Beside, install: Callable[..., Installation]
) -> None:
    with AwsProxy(org.address, limits=DOCUMENTED | dict.fromkeys(LOWEST, (1, 2)), most_at_once=4) as proxy:
        proxy.own, proxy.fault = beside.answer, beside.fault
        here = settle(install, proxy, "aws_org", ("delegated_services", "handshakes"))
        del here.config["accounts"]["org"]["bucket_limits"]
        assert here.run("import", "org").code == 0
        assert not proxy.throttled
        assert len(proxy.times("ListDelegatedServicesForAccount")) == 3
        assert len(proxy.times("ListHandshakesForOrganization")) == 3
        assert set(rows(here, "handshakes")) == set(beside.handshakes)


@pytest.mark.alone
def test_regions_and_account_information(
    org: Organization, beside: Beside, proxy: AwsProxy, install: Callable[..., Installation]
) -> None:
    here = settle(install, proxy, "aws_contacts", ("regions", "account_information"))
    org.client().close_account(AccountId=beside.suspended)
    running = here.start("import", "org")
    until(lambda: len(proxy.times("ListRegions")) >= 10)
    running.kill()
    assert here.run("import", "org").code == 0
    assert not proxy.throttled
    found = here.imported("org", "regions", "aws_contacts")
    told = [key for key in beside.accounts if key != beside.suspended]
    wanted = {f"{key}:{name}" for key in told for name in beside.regions[key]}
    assert set(found) == wanted | {beside.suspended}
    assert found[f"{MANAGEMENT}:region-59"]["RegionOptStatus"] == "ENABLED"
    assert found[beside.suspended]["exists"] is None
    assert "SUSPENDED" in found[beside.suspended]["reason"]
    found = here.imported("org", "account_information", "aws_contacts")
    assert {key: row["AccountName"] for key, row in found.items()} == {key: f"name {key}" for key in beside.accounts}

    del beside.regions[MANAGEMENT]["region-7"]
    assert here.run("import", "org").code == 0
    deleted = here.select("SELECT id FROM aws_contacts_regions WHERE deleted_at IS NOT NULL", path=here.sink_path)
    assert deleted == [(f"{MANAGEMENT}:region-7",)]


@pytest.mark.alone
def test_an_extension_adds_the_tags_of_those_who_administer(
    org: Organization, proxy: AwsProxy, install: Callable[..., Installation]
) -> None:
    """The example that the docs show; `*` leaves out the stream that it is made of."""
    here = settle(install, proxy, "aws_org", ("*", "administrator_tags"))
    here.config["accounts"]["org"]["bucket_limits"]["list_tags_for_resource"] = f"{10 * QUICKER}/second burst 15"
    example = Path(__file__).parents[2] / "examples/administrator_tags/administrator_tags.py"
    here.add_extension("aws_org", "administrator_tags", example.read_text())
    assert here.run("import", "org").code == 0
    administrators = set(list(org.truth["accounts"])[1:4])
    assert set(rows(here, "delegated_administrators")) == administrators
    assert {key: row["Value"] for key, row in rows(here, "administrator_tags").items()} == {
        key.replace(":", "/", 1): value
        for key, value in org.truth["tags"].items()
        if key.partition(":")[0] in administrators
    }
    assert not proxy.throttled


def rows(here: Installation, stream: str) -> dict[str, Any]:
    return here.imported("org", stream, "aws_org")


def gone(here: Installation) -> dict[str, set[str]]:
    return {
        stream: {
            key
            for (key,) in here.select(
                f"SELECT id FROM aws_org_{stream} WHERE deleted_at IS NOT NULL", path=here.sink_path
            )
        }
        for stream in STREAMS
    }
