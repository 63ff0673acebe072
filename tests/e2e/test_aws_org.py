"""Whole crawls of an organization: exact, as fast as the limits permit, never throttled, whatever happens meanwhile."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from support.aws_proxy import DOCUMENTED, AwsProxy, Fault, Organization, Request, organization
from support.installation import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.installation import Installation, Running

QUICKER = 8  # than documented, both our limits and the server's, where time is not the question
STREAMS = ("organizations", "roots", "organizational_units", "accounts", "tags", "policies", "policy_targets")


@pytest.fixture(scope="module")
def org() -> Iterator[Organization]:
    with organization(accounts=60, units=7, policies=3) as started:
        yield started


@pytest.fixture
def proxy(org: Organization) -> Iterator[AwsProxy]:
    limits = {name: (rate * QUICKER, burst) for name, (rate, burst) in DOCUMENTED.items()}
    with AwsProxy(org.address, limits=limits, most_at_once=5) as started:
        yield started


def settle(install: Callable[..., Installation], proxy: AwsProxy, *, quicker: int = 1, **account: Any) -> Installation:
    """An installation with an import `org`; with all limits so many times the documented ones."""
    here = install(accounts=0)
    here.environment |= {
        "AWS_ACCESS_KEY_ID": "AKID",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    here.config["accounts"]["org"] = {"source": "aws_org", "region": "us-east-1", "endpoint_url": proxy.url, **account}
    here.config["imports"]["org"] = {"account": "org", "sink": "sink", "streams": ["*"]}
    if quicker > 1:
        here.config["accounts"]["org"]["bucket_limits"] = {
            _snake(name): f"{rate * quicker}/second burst {burst if name != 'ListAccounts' else burst - 1}"
            for name, (rate, burst) in DOCUMENTED.items()
            if not name.startswith("Get") and name not in ("DescribeAccount", "ListChildren")
        }
    return here


def _snake(name: str) -> str:
    return "".join("_" + each.lower() if each.isupper() else each for each in name).lstrip("_")


def rows(here: Installation, stream: str) -> dict[str, Any]:
    return here.imported("org", stream, "aws_org")


def assert_exact(here: Installation, truth: dict[str, Any]) -> None:
    assert set(rows(here, "organizations")) == {truth["organization"]}
    assert {key: row["parent_id"] for key, row in rows(here, "roots").items()} == {truth["root"]: truth["organization"]}
    for stream, table in (("accounts", "accounts"), ("units", "organizational_units")):
        assert {key: row["parent_id"] for key, row in rows(here, table).items()} == truth[stream]
    assert {key: row["Value"] for key, row in rows(here, "tags").items()} == truth["tags"]
    assert set(rows(here, "policies")) == set(truth["targets"])
    wanted = {f"{policy}:{target}" for policy, targets in truth["targets"].items() for target in targets}
    assert set(rows(here, "policy_targets")) == wanted
    suspended = {key for key, row in rows(here, "accounts").items() if row["state"] == "SUSPENDED"}
    assert suspended == set(truth["suspended"])


@pytest.mark.alone
def test_documented_limits_are_used_up_and_never_exceeded(install: Callable[..., Installation]) -> None:
    """The critical path is one request for each object's tags; bench/peers/aws.py holds 5% on a quiet machine."""
    with organization(accounts=120, units=12, policies=3) as org, AwsProxy(org.address, most_at_once=4) as proxy:
        here = settle(install, proxy)
        done = here.run("import", "org", "--json")
        assert (done.code, done.json["state"]) == (0, "completed")
        assert not proxy.throttled
        assert proxy.took() <= 1.08 * proxy.least_seconds()
        assert_exact(here, org.truth)


@pytest.mark.alone
def test_three_thousand_accounts(install: Callable[..., Installation]) -> None:
    """Without their tags, which moto would take a minute for."""
    limits = dict.fromkeys(DOCUMENTED, (400, 100))
    with organization(3000, 150, 3) as org, AwsProxy(org.address, limits=limits, most_at_once=20) as proxy:
        here = settle(install, proxy, concurrency=12)
        here.config["accounts"]["org"]["bucket_limits"] = {
            _snake(name): "400/second burst 90"
            for name in DOCUMENTED
            if name.startswith("List") and name != "ListChildren"
        } | {"describe_policy": "400/second burst 90"}
        here.config["imports"]["org"]["streams"] = [stream for stream in STREAMS if stream != "tags"]
        proxy.paged["ListTargetsForPolicy"] = ("Targets", 500)
        running = here.start("import", "org", "--json")
        peak = 0
        while running.running:
            peak = max(peak, _resident(running))
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.process.wait(0.2)
        assert running.finish().code == 0
        assert not proxy.throttled
        assert_exact(here, org.truth | {"tags": {}})
        assert 0 < peak < 120 << 20


def _resident(running: Running) -> int:
    """Bytes of the largest of its processes."""
    sizes = [0]
    for process in running.workers():
        with contextlib.suppress(psutil.NoSuchProcess):
            sizes.append(process.memory_info().rss)
    return max(sizes)


@pytest.mark.alone
def test_killed_at_any_instant_it_ends_exact(
    org: Organization, proxy: AwsProxy, install: Callable[..., Installation]
) -> None:
    here = settle(install, proxy, quicker=QUICKER)
    for step in (1, 3, 6, 12, 25, 45, 70, 95):
        seen = len(proxy.seen)
        running = here.start("import", "org")
        until(lambda seen=seen, step=step: len(proxy.seen) >= seen + min(step, 20) or not running.running)  # noqa: B023 - it ends within the turn
        if not running.running:
            break
        running.kill()
    assert here.run("import", "org").code == 0
    assert here.run("frontier", "check").code == 0
    assert_exact(here, org.truth)
    assert not proxy.throttled


def test_an_account_that_moves_ahead_of_the_crawl_is_found(
    install: Callable[..., Installation],
) -> None:
    """From a unit that is not listed yet to one that already was; and into a unit that was made meanwhile."""
    with organization(60, 7, 1) as org, AwsProxy(org.address, limits={}) as proxy:
        move_ahead(
            settle(install, proxy, quicker=QUICKER, retry_base="20ms", retry_cap="50ms", attempts=1000), org, proxy
        )


def move_ahead(here: Installation, org: Organization, proxy: AwsProxy) -> None:
    client = org.client()
    root = org.truth["root"]
    first, second = [key for key, parent in org.truth["accounts"].items() if parent != root][:2]
    was = org.truth["accounts"]
    begun, made = threading.Event(), list[str]()

    def move(request: Request) -> None:
        if request.operation == "ListAccountsForParent" and request.body["ParentId"] == root and not begun.is_set():
            begun.set()
            unit = client.create_organizational_unit(ParentId=root, Name="made meanwhile")["OrganizationalUnit"]["Id"]
            client.move_account(AccountId=first, SourceParentId=was[first], DestinationParentId=root)
            client.move_account(AccountId=second, SourceParentId=was[second], DestinationParentId=unit)
            made.append(unit)  # and no sooner: the others are held back until both have moved

    def hold_back(request: Request) -> Fault | None:
        """The root's accounts are listed first, and its units before the new one is made."""
        others = request.operation == "ListAccountsForParent" and request.body["ParentId"] != root
        return Fault(500, "ServiceException") if others and not made else None

    proxy.answered, proxy.fault = move, hold_back
    assert here.run("import", "org").code == 0
    found = rows(here, "accounts")
    assert {key: row["parent_id"] for key, row in found.items()} == {**was, first: root, second: made[0]}
    assert rows(here, "organizational_units")[made[0]]["parent_id"] == root
    assert any(request.operation == "ListParents" for request in proxy.seen)


def test_an_operation_that_is_denied_denies_its_stream_only(
    org: Organization, proxy: AwsProxy, install: Callable[..., Installation]
) -> None:
    proxy.fault = lambda request: Fault(400, "AccessDeniedException") if request.operation == "ListPolicies" else None
    here = settle(install, proxy, quicker=QUICKER)
    done = here.run("import", "org", "--json")
    assert done.code == 3
    (run,) = done.json["imports"]["org"]
    assert [stream for stream, facts in run["streams"].items() if facts["denied"]] == ["policies"]
    assert set(rows(here, "accounts")) == set(org.truth["accounts"])
    assert rows(here, "policies") == {}


def test_without_the_lists_of_parents_each_account_is_asked_for_its_parent(
    org: Organization, proxy: AwsProxy, install: Callable[..., Installation]
) -> None:
    """Nor does the check of credentials need more than that they work."""
    proxy.fault = lambda request: (
        Fault(400, "AccessDeniedException")
        if request.operation == "ListAccountsForParent" or (request.body.get("MaxResults") == 1)
        else None
    )
    here = settle(install, proxy, quicker=QUICKER)
    assert here.run("import", "org").code == 3
    assert {key: row["parent_id"] for key, row in rows(here, "accounts").items()} == org.truth["accounts"]


def test_a_throttled_crawl_slows_down_and_ends_complete(
    org: Organization, proxy: AwsProxy, install: Callable[..., Installation]
) -> None:
    """Limits that are too high by half, and more at once than the server takes."""
    proxy.latency, proxy.most_at_once = 0.05, 3
    here = settle(install, proxy, quicker=12)
    done = here.run("import", "org", "--json")
    assert done.code == 0
    assert_exact(here, org.truth)
    assert proxy.throttled
    assert len(proxy.throttled) < 0.2 * len(proxy.seen)
    (run,) = done.json["imports"]["org"]
    assert run["retried"] == 0


def test_what_is_gone_is_tombstoned_by_the_next_run_that_finds_all(install: Callable[..., Installation]) -> None:
    with organization(24, 3, 1) as org, AwsProxy(org.address, limits={}) as proxy:
        here = settle(install, proxy, quicker=QUICKER)
        assert here.run("import", "org").code == 0
        client = org.client()
        left, *_ = [key for key, parent in org.truth["accounts"].items() if parent != org.truth["root"]]
        tag = next(key for key in org.truth["tags"] if key.startswith(org.truth["root"]))
        client.remove_account_from_organization(AccountId=left)
        client.untag_resource(ResourceId=org.truth["root"], TagKeys=[tag.partition(":")[2]])
        proxy.fault = lambda request: Fault(400, "AccessDenied") if request.operation == "DescribePolicy" else None
        assert here.run("import", "org").code == 3
        assert gone(here) == set()
        proxy.fault = lambda request: None
        assert here.run("import", "org").code == 0
        assert {left, tag} <= gone(here)
        for key in gone(here) - {left, tag}:
            assert left in key  # its tags, and what was attached to it
        assert left not in here.run("show", "tree").stdout


def test_what_a_list_leaves_out_is_asked_for_by_itself(install: Callable[..., Installation]) -> None:
    """Lists of AWS may lag behind what they are asked about for seconds."""
    with organization(24, 3, 2) as org, AwsProxy(org.address, limits={}) as proxy:
        here = settle(install, proxy, quicker=QUICKER)
        assert here.run("import", "org").code == 0
        assert_exact(here, org.truth)
        root = org.truth["root"]
        account = next(key for key, parent in org.truth["accounts"].items() if parent != root)
        unit = next(key for key, parent in org.truth["units"].items() if parent == root)
        policy = next(iter(org.truth["targets"]))
        left = next(
            key for key, parent in org.truth["accounts"].items() if parent not in (root, unit) and key != account
        )
        org.client().remove_account_from_organization(AccountId=left)
        hidden = {account, unit, policy}

        def leave_out(request: Request, answer: dict[str, Any]) -> dict[str, Any]:
            for name, objects in answer.items():
                if request.operation != "ListParents" and isinstance(objects, list):
                    answer[name] = [each for each in objects if each.get("Id") not in hidden]
            return answer

        proxy.changed = leave_out
        before = len(proxy.seen)
        assert here.run("import", "org").code == 0
        asked = {request.operation for request in proxy.seen[before:]}
        proxy.changed = None
        assert {account, unit, policy} <= {key for stream in STREAMS for key in living(here, stream)}
        assert all(left in key for key in gone(here)), gone(here)
        assert left in gone(here)
        assert {"DescribeAccount", "DescribeOrganizationalUnit", "DescribePolicy"} <= asked


def living(here: Installation, stream: str) -> set[str]:
    rows = here.select(f"SELECT id FROM aws_org_{stream} WHERE deleted_at IS NULL", path=here.sink_path)
    return {key for (key,) in rows}


def gone(here: Installation) -> set[str]:
    return {
        key
        for stream in STREAMS
        for (key,) in here.select(f"SELECT id FROM aws_org_{stream} WHERE deleted_at IS NOT NULL", path=here.sink_path)
    }


def test_the_tree_is_drawn_from_the_sink(
    org: Organization, proxy: AwsProxy, install: Callable[..., Installation]
) -> None:
    here = settle(install, proxy, quicker=QUICKER)
    assert here.run("show", "tree").code == 1
    assert here.run("import", "org").code == 0
    tree = json.loads(here.run("show", "tree", "--json").stdout)
    parents: dict[str, str] = {}
    todo = [tree]
    for node in todo:
        for child in node.get("children", []):
            parents[child["id"]] = node["id"]
            todo.append(child)
    assert tree["id"] == org.truth["organization"]
    assert parents == {org.truth["root"]: org.truth["organization"], **org.truth["units"], **org.truth["accounts"]}
    lines = here.run("show", "tree", "org").stdout.splitlines()
    assert len(lines) == len(parents) + 1
    assert lines[1].startswith(f"└── {org.truth['root']} Root")
    assert any(line.endswith("SUSPENDED") for line in lines)
    dot = here.run("show", "tree", "--dot").stdout
    assert dot.count(" -> ") == len(parents)
    assert here.run("show", "tree", "nothing").code == 2


def test_no_organization_is_told(install: Callable[..., Installation]) -> None:
    with organization(0, 0, 0) as nothing, AwsProxy(nothing.address) as proxy:
        done = settle(install, proxy).run("import", "org")
        assert done.code == 1
        assert "organization" in done.stdout + done.stderr
        assert "is not in an organization" in done.stdout + done.stderr
