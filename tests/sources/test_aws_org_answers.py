"""What the organization source asks for, and what it makes of single answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore import xform_name
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.stub import Stubber

from crawlerd.clients.aws import AwsClient
from crawlerd.core.configuration import AccountSpec
from crawlerd.engine import kinds
from crawlerd.source import MISSING_KEYS, Gather, Output, Record, RunPlan, Sweep, TaskArgs, Transient
from crawlerd.sources.aws import administration
from crawlerd.sources.aws import organization as source
from crawlerd.sources.aws.contacts import aws_contacts
from crawlerd.sources.aws.organization import aws_org
from crawlerd.sources.aws.tree import dot, text, trees

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crawlerd.core.task import NewTask

ACCOUNT = AccountSpec(name="org", source="aws_org", secret="AKID:secret", options={"region": "us-east-1"})
ALL = aws_org.streams
ARN = "arn:aws:organizations::111111111111:account/o-1/222222222222"


@pytest.fixture
def client() -> Iterator[AwsClient]:
    client = AwsClient(connections=2)
    yield client
    client.close()


def perform(client: AwsClient, task: TaskArgs) -> list[Output]:
    """Runs one task as a worker does, from what lies in the frontier."""
    queued = kinds.new_task(aws_org, task)
    return list(kinds.perform(aws_org, client.open(aws_org, ACCOUNT), queued.kind, queued.payload))


def stub(client: AwsClient) -> Stubber:
    return Stubber(client.session(ACCOUNT).client("organizations"))


def starts(*streams: str) -> list[NewTask]:
    found = kinds.first(aws_org, RunPlan(streams=streams, full=True, started_at=0.0))
    (whole,) = found.gathers
    assert (whole.then.kind, whole.if_dead, found.children) == ("aws_org.gone", "fail", [])
    return whole.tasks


def test_a_run_begins_with_what_its_streams_need() -> None:
    assert [task.kind for task in starts(*ALL)] == ["aws_org.organization", "aws_org.accounts", "aws_org.roots"]
    assert [task.kind for task in starts("organizations")] == ["aws_org.organization"]
    assert [task.kind for task in starts("accounts")] == ["aws_org.roots"]
    assert [task.kind for task in starts("tags", "policies")] == ["aws_org.accounts", "aws_org.roots"]


def test_each_operation_has_its_bucket_with_the_documented_limit() -> None:
    buckets = {kind.bucket for kind in aws_org.kinds.values()} - {"in_tree", "credentials", "gone"}
    assert buckets == set(aws_org.limits.by_bucket)
    assert aws_org.limits.by_bucket["list_tags_for_resource"] == ("10/second burst 15",)
    assert aws_org.limits.concurrency == "auto"


def test_what_is_asked_of_aws_is_in_its_models() -> None:
    model = ServiceModel(Loader().load_service_model("organizations", "service-2"))
    operations = {xform_name(name) for name in model.operation_names}
    assert set(aws_org.limits.by_bucket) <= operations
    types = {name: model.shape_for(name).enum for name in ("PolicyType", "EffectivePolicyType")}
    assert set(types["PolicyType"]) - set(types["EffectivePolicyType"]) == set(administration.AUTHORIZING)
    model = ServiceModel(Loader().load_service_model("account", "service-2"))
    operations |= {xform_name(name) for name in model.operation_names}
    assert set(aws_contacts.limits.by_bucket) <= operations


def test_what_is_not_named_is_not_asked_for(client: AwsClient) -> None:
    assert [task.kind for task in starts("handshakes", "resource_policies")] == [
        "aws_org.resource_policy",
        "aws_org.handshakes",
    ]
    (roots,) = starts("effective_policies")
    root = {"Id": "r-1", "Arn": "arn:aws:organizations::1:root/o-1/r-1", "PolicyTypes": []}
    for each in ("TAG_POLICY", "SERVICE_CONTROL_POLICY"):
        root["PolicyTypes"] = [*root["PolicyTypes"], {"Type": each, "Status": "ENABLED"}]
    with stub(client) as stubbed:
        stubbed.add_response("list_roots", {"Roots": [root]}, {"MaxResults": 20})
        wanted = ("effective_policies",)
        assert perform(client, source.Roots(streams=wanted)) == [
            administration.Governed(types=("TAG_POLICY",), streams=wanted)
        ]
    assert roots.kind == "aws_org.roots"


def test_a_root_opens_the_tree_as_a_group_that_a_list_of_all_accounts_closes(client: AwsClient) -> None:
    root = {
        "Id": "r-abcd",
        "Arn": "arn:aws:organizations::111111111111:root/o-1/r-abcd",
        "PolicyTypes": [
            {"Type": "SERVICE_CONTROL_POLICY", "Status": "ENABLED"},
            {"Type": "TAG_POLICY", "Status": "PENDING_DISABLE"},
        ],
    }
    with stub(client) as stubbed:
        stubbed.add_response("list_roots", {"Roots": [root]}, {"MaxResults": 20})
        record, tags, tree, policies = perform(client, source.Roots(streams=ALL))
    assert record == Record("roots", "r-abcd", {**root, "parent_id": "o-1"})
    assert tags == source.Tags(resource="r-abcd", streams=ALL)
    assert tree == Gather(
        [source.UnitsBelow(parent="r-abcd", streams=ALL), source.AccountsBelow(parent="r-abcd", streams=ALL)],
        then=source.Accounts(closing=True, streams=ALL),
    )
    assert policies == source.Policies(type="SERVICE_CONTROL_POLICY", streams=ALL)


def test_a_page_names_the_next_one_even_when_it_is_empty(client: AwsClient) -> None:
    with stub(client) as stubbed:
        stubbed.add_response(
            "list_accounts_for_parent", {"Accounts": [], "NextToken": "t1"}, {"ParentId": "ou-1", "MaxResults": 20}
        )
        (following,) = perform(client, source.AccountsBelow(parent="ou-1"))
        assert isinstance(following, TaskArgs)
        assert aws_org.kinds[following.kind].sequential
        stubbed.add_response(
            "list_accounts_for_parent",
            {"Accounts": [{"Id": "222222222222", "Status": "SUSPENDED"}]},
            {"ParentId": "ou-1", "MaxResults": 20, "NextToken": "t1"},
        )
        record, seen = perform(client, following)
    data = {"Id": "222222222222", "Status": "SUSPENDED", "state": "SUSPENDED", "parent_id": "ou-1"}
    assert record == Record("accounts", "222222222222", data)
    assert seen == source.AccountInTree(account="222222222222")


def test_an_account_that_the_tree_has_is_the_same_task_as_one_that_it_lost() -> None:
    seen = kinds.new_task(aws_org, source.AccountInTree(account="222222222222"))
    lost = kinds.new_task(aws_org, source.LostAccount(stream="accounts", object={"Id": "222222222222"}, streams=ALL))
    other = kinds.new_task(aws_org, source.LostAccount(stream="accounts", object={"Id": "333333333333"}, streams=ALL))
    assert seen.unique
    assert lost.unique
    assert seen.key() == lost.key() != other.key()
    unit, new = source.UnitInTree(unit="ou-1", streams=ALL), source.NewUnit(unit="ou-1", streams=ALL)
    assert kinds.new_task(aws_org, unit).key() == kinds.new_task(aws_org, new).key() != seen.key()


def test_a_lost_account_is_asked_for_its_parent(client: AwsClient) -> None:
    lost = source.LostAccount(stream="accounts", object={"Id": "222222222222", "state": "ACTIVE"}, streams=ALL)
    with stub(client) as stubbed:
        parents = [{"Id": "ou-9", "Type": "ORGANIZATIONAL_UNIT"}]
        stubbed.add_response("list_parents", {"Parents": parents}, {"ChildId": "222222222222"})
        assert perform(client, lost) == [
            Record("accounts", "222222222222", {"Id": "222222222222", "state": "ACTIVE", "parent_id": "ou-9"}),
            source.NewUnit(unit="ou-9", streams=ALL),
        ]
        stubbed.add_client_error("list_parents", "ChildNotFoundException")
        assert perform(client, lost) == []


@pytest.mark.parametrize(
    ("task", "operation", "code"),
    [
        (source.Tags(resource="222222222222"), "list_tags_for_resource", "TargetNotFoundException"),
        (source.UnitsBelow(parent="ou-1"), "list_organizational_units_for_parent", "ParentNotFoundException"),
        (source.Targets(policy="p-1"), "list_targets_for_policy", "PolicyNotFoundException"),
        (source.Policy(policy="p-1"), "describe_policy", "PolicyNotFoundException"),
    ],
)
def test_what_is_gone_since_it_was_listed_leaves_nothing(
    client: AwsClient, task: TaskArgs, operation: str, code: str
) -> None:
    with stub(client) as stubbed:
        stubbed.add_client_error(operation, code)
        assert perform(client, task) == []


def test_an_answer_without_its_list_is_a_wrong_body(client: AwsClient) -> None:
    with stub(client) as stubbed:
        stubbed.add_response("list_roots", {})
        with pytest.raises(Transient, match="wrong body"):
            perform(client, source.Roots(streams=ALL))


def test_policies_of_aws_itself_have_no_tags(client: AwsClient) -> None:
    objects = [{"Id": "p-FullAWSAccess", "AwsManaged": True}, {"Id": "p-1", "AwsManaged": False}]
    with stub(client) as stubbed:
        stubbed.add_response(
            "list_policies", {"Policies": objects}, {"Filter": "SERVICE_CONTROL_POLICY", "MaxResults": 20}
        )
        outputs = perform(client, source.Policies(type="SERVICE_CONTROL_POLICY", streams=ALL))
    assert [each.resource for each in outputs if isinstance(each, source.Tags)] == ["p-1"]
    assert [each.policy for each in outputs if isinstance(each, source.Policy)] == ["p-FullAWSAccess", "p-1"]
    assert [each.policy for each in outputs if isinstance(each, source.Targets)] == ["p-FullAWSAccess", "p-1"]


def test_tags_may_have_any_name(client: AwsClient) -> None:
    with stub(client) as stubbed:
        stubbed.add_response("list_tags_for_resource", {"Tags": [{"Key": "a:b", "Value": ""}]}, {"ResourceId": "ou-1"})
        (record,) = perform(client, source.UnitTags(resource="ou-1", streams=ALL))
    assert record == Record("tags", "ou-1:a:b", {"Key": "a:b", "Value": "", "parent_id": "ou-1"})


# ---- drawing


def rows(**streams: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    return streams


def test_the_tree_as_text_and_as_a_graph() -> None:
    (tree,) = trees(
        rows(
            organizations=[{"Id": "o-1"}],
            roots=[{"Id": "r-1", "Name": "Root", "parent_id": "o-1"}],
            organizational_units=[{"Id": "ou-1", "Name": 'say "hi"', "parent_id": "r-1"}],
            accounts=[
                {"Id": "2", "Name": "b", "state": "SUSPENDED", "parent_id": "ou-1"},
                {"Id": "1", "Name": "a", "state": "ACTIVE", "parent_id": "r-1"},
            ],
        )
    )
    assert list(text(tree)) == [
        "o-1",
        "└── r-1 Root",
        '    ├── ou-1 say "hi"',
        "    │   └── 2 b SUSPENDED",
        "    └── 1 a",
    ]
    assert '  "ou-1" [label="ou-1 say \\"hi\\""];' in list(dot(tree))
    assert '  "r-1" -> "ou-1";' in list(dot(tree))


def test_what_hangs_nowhere_is_shown_all_the_same() -> None:
    found = trees(rows(accounts=[{"Id": "1", "Name": "a", "parent_id": "ou-gone"}, {"Id": "2", "Name": "b"}]))
    assert [line for tree in found for line in text(tree)] == ["2 b", "ou-gone (not imported)", "└── 1 a"]
    assert json.loads(json.dumps([tree.id for tree in found])) == ["2", "ou-gone"]


def test_what_is_missing_is_asked_for_by_itself(client: AwsClient) -> None:
    def asks(stream: str, *keys: str) -> list[Output]:
        return list(kinds.perform(aws_org, None, "aws_org.missing", json.dumps({"stream": stream, "missing": keys})))

    assert asks("accounts", "1", "2") == [source.MissingAccount(account="1"), source.MissingAccount(account="2")]
    assert asks("tags", "1:a", "1:b:c", "r:a") == [source.Tags(resource=each, again=True) for each in "1r"]
    assert asks("policy_targets", "p:1", "p:2") == [source.Targets(policy="p", again=True)]
    assert asks("policies", "p") == [source.Policy(policy="p")]
    many = asks("organizational_units", *(f"ou-{number:04}" for number in range(MISSING_KEYS)))
    assert many[:-1] == [source.MissingUnit(unit=f"ou-{number:04}") for number in range(MISSING_KEYS)]
    assert isinstance(many[-1], Sweep)
    assert (many[-1].stream, many[-1].after) == ("organizational_units", "ou-0999")
    first = kinds.new_task(aws_org, source.Tags(resource="r", streams=()))
    assert first.key() != kinds.new_task(aws_org, source.Tags(resource="r", again=True)).key()

    unit = {"Id": "ou-1", "Name": "x"}
    with stub(client) as stubbed:
        stubbed.add_response("describe_account", {"Account": {"Id": "1", "Status": "ACTIVE"}}, {"AccountId": "1"})
        (parent,) = perform(client, source.MissingAccount(account="1"))
        stubbed.add_client_error("describe_account", "AccountNotFoundException")
        assert perform(client, source.MissingAccount(account="2")) == []
        stubbed.add_response("describe_organizational_unit", {"OrganizationalUnit": unit})
        (above,) = perform(client, source.MissingUnit(unit="ou-1"))
        stubbed.add_client_error("describe_organizational_unit", "OrganizationalUnitNotFoundException")
        assert perform(client, source.MissingUnit(unit="ou-2")) == []
    account = {"Id": "1", "Status": "ACTIVE", "state": "ACTIVE"}
    assert parent == source.Parent(stream="accounts", object=account, streams=())
    assert above == source.Parent(stream="organizational_units", object=unit, streams=())
