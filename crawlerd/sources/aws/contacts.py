"""AWS account contacts: billing, operations and security of each account of an organization, and other facts about
accounts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crawlerd.source import (
    AwsApi,
    Denied,
    Full,
    Gather,
    Limits,
    NotFound,
    Output,
    Record,
    RunPlan,
    Source,
    TaskArgs,
    Transient,
)
from crawlerd.sources.aws.pages import (
    DESCRIBE_ACCOUNT_LIMIT,
    LIST_ACCOUNTS_LIMIT,
    WHY_FULL,
    Ask,
    Objects,
    Page,
    guards,
    lists,
    management,
    parents,
    state,
    sweeps,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

MOST_REGIONS = 50  # in one answer
TYPES = ("BILLING", "OPERATIONS", "SECURITY")

aws_contacts = Source(
    "aws_contacts",
    client="aws",
    streams=["alternate_contacts"],
    optional=["contact_information", "primary_emails", "account_information", "regions"],
    limits=Limits(
        # Their bursts are left to other users of the account.
        # https://docs.aws.amazon.com/accounts/latest/reference/quotas.html
        by_bucket={  # https://docs.aws.amazon.com/accounts/latest/reference/quotas.html
            "describe_account": [DESCRIBE_ACCOUNT_LIMIT],
            "get_account_information": ["3/second"],
            "get_alternate_contact": ["10/second"],
            "get_contact_information": ["10/second"],
            "get_primary_email": ["3/second"],
            "list_accounts": [LIST_ACCOUNTS_LIMIT],
            "list_regions": ["5/second"],
        },
        concurrency="auto",
    ),
)
guards(aws_contacts)


@dataclass(frozen=True, kw_only=True)
class Accounts(Page, kind="aws_contacts.accounts"):
    pass


@dataclass(frozen=True, kw_only=True)
class OfAccount(TaskArgs, kind="aws_contacts.of_account"):
    """A request about an account.

    account, name, state, email: as AWS Organizations has them.
    management: it is the organization's management account.
    """

    account: str
    name: str
    state: str
    email: str
    management: bool

    def asked(self, api: AwsApi, operation: str, item: str = "", **parameters: Any) -> dict[str, Any]:
        """The row for what AWS answers about the account.

        item: the field of the answer with the data; "" for the whole answer.
        The row's `exists` is False if nothing is set, and null, with the reason, if AWS does not answer because of the
        account's state.
        """
        if not self.management:  # AWS does not accept the number of the management account
            parameters["AccountId"] = self.account
        try:
            answer = api.call("account", operation, **parameters)
        except NotFound:
            return self.row(exists=False)
        except Denied:
            if self.state == "ACTIVE":
                raise
            return self.row(exists=None, reason=f"the account is {self.state}")
        found = answer.get(item) if item else answer
        if not isinstance(found, dict):
            raise Transient(f"wrong body: {operation} has no {item}")
        return self.row(exists=True, **found)

    def row(self, **facts: Any) -> dict[str, Any]:
        return {"account_id": self.account, "account_name": self.name, "account_state": self.state, **facts}


@dataclass(frozen=True, kw_only=True)
class AlternateContact(OfAccount, kind="aws_contacts.alternate_contact"):
    type: str


@dataclass(frozen=True, kw_only=True)
class ContactInformation(OfAccount, kind="aws_contacts.contact_information"):
    pass


@dataclass(frozen=True, kw_only=True)
class PrimaryEmail(OfAccount, kind="aws_contacts.primary_email"):
    pass


@dataclass(frozen=True, kw_only=True)
class AccountInformation(OfAccount, kind="aws_contacts.account_information"):
    pass


@dataclass(frozen=True, kw_only=True)
class Regions(OfAccount, kind="aws_contacts.regions"):
    """A page of an account's regions.

    token: where it begins, "" for the first.
    """

    token: str = ""


@dataclass(frozen=True, kw_only=True)
class NextRegions(Regions, kind="aws_contacts.regions.next"):
    pass


@dataclass(frozen=True, kw_only=True)
class MissingAccount(TaskArgs, kind="aws_contacts.missing_account"):
    """An account that the list did not have, although an earlier run found it.

    streams: the streams that lack something of it.
    """

    account: str
    streams: tuple[str, ...]


def _asks(stream: str) -> Ask:
    return lambda keys: [MissingAccount(account=each, streams=(stream,)) for each in parents(keys)]


whole = sweeps(aws_contacts, {stream: _asks(stream) for stream in (*aws_contacts.streams, *aws_contacts.optional)})


@aws_contacts.starts
def first_page(plan: RunPlan) -> Iterable[Gather | Full]:
    yield Full(WHY_FULL)
    streams = tuple(plan.streams)
    yield whole([Accounts(streams=streams)], streams)


@lists(aws_contacts, Accounts, "list_accounts", items="Accounts", stream="alternate_contacts")
def accounts(args: Accounts, objects: Objects) -> Iterator[Output]:
    for each in objects:
        yield from _of(each, args.streams)


@aws_contacts.handles(MissingAccount, stream="alternate_contacts", bucket="describe_account")
def missing_account(api: AwsApi, args: MissingAccount) -> Iterator[Output]:
    try:
        answer = api.call("organizations", "describe_account", AccountId=args.account)
    except NotFound:
        return
    account = answer.get("Account")
    if not isinstance(account, dict):
        raise Transient("wrong body: no Account")
    yield from _of(account, args.streams)


def _of(account: dict[str, Any], streams: Sequence[str]) -> Iterator[Output]:
    """The tasks about an account."""
    facts = {
        "account": account["Id"],
        "name": account.get("Name") or "",
        "state": state(account),
        "email": account.get("Email") or "",
        "management": management(account),
    }
    if "alternate_contacts" in streams:
        for contact in TYPES:
            yield AlternateContact(**facts, type=contact)
    if "contact_information" in streams:
        yield ContactInformation(**facts)
    if "primary_emails" in streams:
        yield PrimaryEmail(**facts)
    if "account_information" in streams:
        yield AccountInformation(**facts)
    if "regions" in streams:
        yield Regions(**facts)


@aws_contacts.handles(AlternateContact, stream="alternate_contacts", bucket="get_alternate_contact", unique=True)
def alternate_contact(api: AwsApi, args: AlternateContact) -> Iterator[Output]:
    row = args.asked(api, "get_alternate_contact", "AlternateContact", AlternateContactType=args.type)
    yield Record("alternate_contacts", f"{args.account}:{args.type}", {"type": args.type, **row})


@aws_contacts.handles(ContactInformation, bucket="get_contact_information", unique=True)
def contact_information(api: AwsApi, args: ContactInformation) -> Iterator[Output]:
    row = args.asked(api, "get_contact_information", "ContactInformation")
    yield Record("contact_information", args.account, row)


@aws_contacts.handles(PrimaryEmail, stream="primary_emails", bucket="get_primary_email", unique=True)
def primary_email(api: AwsApi, args: PrimaryEmail) -> Iterator[Output]:
    if args.management:  # it cannot be requested; the list of accounts has it
        row = args.row(exists=bool(args.email), PrimaryEmail=args.email)
    else:
        row = args.asked(api, "get_primary_email")
    yield Record("primary_emails", args.account, row)


@aws_contacts.handles(AccountInformation, bucket="get_account_information", unique=True)
def account_information(api: AwsApi, args: AccountInformation) -> Iterator[Output]:
    yield Record("account_information", args.account, args.asked(api, "get_account_information"))


@aws_contacts.handles(NextRegions, stream="regions", bucket="list_regions", sequential=True)
@aws_contacts.handles(Regions, bucket="list_regions", unique=True)
def regions(api: AwsApi, args: Regions) -> Iterator[Output]:
    """A row for each region; if AWS does not answer, one for the account."""
    token = {"NextToken": args.token} if args.token else {}
    row = args.asked(api, "list_regions", MaxResults=MOST_REGIONS, **token)
    if not row["exists"]:
        yield Record("regions", args.account, row)
        return
    if not isinstance(row.get("Regions"), list):
        raise Transient("wrong body: list_regions has no Regions")
    for each in row["Regions"]:
        yield Record("regions", f"{args.account}:{each['RegionName']}", args.row(exists=True, **each))
    if row.get("NextToken"):
        yield NextRegions(**{**vars(args), "token": row["NextToken"]})
