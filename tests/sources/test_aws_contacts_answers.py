"""What the contacts source makes of single answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.stub import Stubber

from crawlerd.clients.aws import AwsClient
from crawlerd.core.configuration import AccountSpec
from crawlerd.engine import kinds
from crawlerd.source import Denied, Identity, Output, Permanent, Record, TaskArgs
from crawlerd.sources.aws.contacts import AlternateContact, ContactInformation, PrimaryEmail, aws_contacts

if TYPE_CHECKING:
    from collections.abc import Iterator

FACTS: dict[str, Any] = {"account": "111122223333", "name": "dev", "email": "dev@example.com", "management": False}


@pytest.fixture
def client() -> Iterator[AwsClient]:
    client = AwsClient(connections=2)
    yield client
    client.close()


ACCOUNT = AccountSpec(name="org", source="aws_contacts", secret="AKID:secret", options={"region": "us-east-1"})


def perform(client: AwsClient, task: TaskArgs) -> list[Output]:
    queued = kinds.new_task(aws_contacts, task)
    return list(kinds.perform(aws_contacts, client.open(aws_contacts, ACCOUNT), queued.kind, queued.payload))


def stub(client: AwsClient, service: str = "account") -> Stubber:
    return Stubber(client.session(ACCOUNT).client(service))


def test_a_contact_that_is_set(client: AwsClient) -> None:
    contact = {"AlternateContactType": "BILLING", "Name": "Mary", "EmailAddress": "m@example.com"}
    with stub(client) as stubbed:
        stubbed.add_response(
            "get_alternate_contact",
            {"AlternateContact": contact},
            {"AlternateContactType": "BILLING", "AccountId": "111122223333"},
        )
        (record,) = perform(client, AlternateContact(**FACTS, state="ACTIVE", type="BILLING"))
    facts = {"account_id": "111122223333", "account_name": "dev", "account_state": "ACTIVE", "exists": True}
    assert record == Record("alternate_contacts", "111122223333:BILLING", {"type": "BILLING", **facts, **contact})


def test_the_management_account_is_asked_without_its_number(client: AwsClient) -> None:
    with stub(client) as stubbed:
        stubbed.add_response("get_contact_information", {"ContactInformation": _ADDRESS}, {})
        (record,) = perform(client, ContactInformation(**FACTS | {"management": True}, state="ACTIVE"))
    assert isinstance(record, Record)
    assert record.data is not None
    assert record.data["City"] == "X"


_ADDRESS = {
    "FullName": "A", "AddressLine1": "B", "City": "X", "PostalCode": "1", "CountryCode": "DE", "PhoneNumber": "+1",
}  # fmt: skip


@pytest.mark.parametrize(
    "task", [AlternateContact(**FACTS, state="ACTIVE", type="SECURITY"), PrimaryEmail(**FACTS, state="ACTIVE")]
)
def test_none_is_a_fact(client: AwsClient, task: Any) -> None:
    operation = "get_primary_email" if isinstance(task, PrimaryEmail) else "get_alternate_contact"
    with stub(client) as stubbed:
        stubbed.add_client_error(operation, "ResourceNotFoundException", http_status_code=404)
        (record,) = perform(client, task)
    assert isinstance(record, Record)
    assert record.data is not None
    assert record.data["exists"] is False


def test_a_suspended_account_may_be_closed_to_questions(client: AwsClient) -> None:
    with stub(client) as stubbed:
        stubbed.add_client_error("get_alternate_contact", "AccessDeniedException", http_status_code=403)
        (record,) = perform(client, AlternateContact(**FACTS, state="SUSPENDED", type="BILLING"))
        stubbed.add_client_error("get_alternate_contact", "AccessDeniedException", http_status_code=403)
        with pytest.raises(Denied):
            perform(client, AlternateContact(**FACTS, state="ACTIVE", type="BILLING"))
    assert isinstance(record, Record)
    assert record.data is not None
    assert (record.data["exists"], record.data["reason"]) == (None, "the account is SUSPENDED")


def test_the_guard_tells_the_organization(client: AwsClient) -> None:
    guard = aws_contacts.guard
    assert guard is not None
    arn = "arn:aws:organizations::123456789012:account/o-abc/123456789012"
    with stub(client, "organizations") as stubbed:
        stubbed.add_response("list_accounts", {"Accounts": [{"Arn": arn}]}, {"MaxResults": 1})
        assert perform(client, guard) == [Identity("o-abc")]
        stubbed.add_client_error("list_accounts", "AccessDeniedException")
        assert perform(client, guard) == []
        stubbed.add_response("list_accounts", {"Accounts": []})
        with pytest.raises(Permanent, match="not in an organization"):
            perform(client, guard)
        stubbed.add_client_error("list_accounts", "AWSOrganizationsNotInUseException")
        with pytest.raises(Permanent, match="AWSOrganizationsNotInUseException"):
            perform(client, guard)
