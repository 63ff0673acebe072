"""Whole imports of an organization's contacts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.aws_proxy import DOCUMENTED, AwsProxy, Fault, Organization, Request, organization
from support.installation import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.installation import Installation

MANAGEMENT = "123456789012"
QUICKER = 8


@pytest.fixture(scope="module")
def org() -> Iterator[Organization]:
    with organization(accounts=45, units=3, policies=0) as started:
        yield started


@pytest.fixture
def proxy(org: Organization) -> Iterator[AwsProxy]:
    limits = {name: (rate * QUICKER, burst) for name, (rate, burst) in DOCUMENTED.items()}
    with AwsProxy(org.address, limits=limits, most_at_once=5) as started:
        started.management = MANAGEMENT
        yield started


def settle(
    install: Callable[..., Installation], proxy: AwsProxy, *streams: str, quicker: int = QUICKER
) -> Installation:
    here = install(accounts=0)
    here.environment |= {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret"}
    limits = {"get_alternate_contact": 10, "get_contact_information": 10, "get_primary_email": 3}
    here.config["accounts"]["org"] = {
        "source": "aws_contacts",
        "endpoint_url": proxy.url,
        "bucket_limits": {name: f"{rate * quicker}/second" for name, rate in limits.items()}
        | {"list_accounts": f"{8 * quicker}/second burst 11"},
    }
    here.config["imports"]["org"] = {"account": "org", "sink": "sink", "streams": list(streams) or ["*"]}
    return here


def assert_exact(here: Installation, truth: dict[str, Any]) -> None:
    found = here.imported("org", "alternate_contacts", "aws_contacts")
    assert {key: row.get("EmailAddress") for key, row in found.items()} == truth["contacts"]
    assert {key for key, row in found.items() if row["exists"]} == {
        key for key, email in truth["contacts"].items() if email
    }
    assert {row["account_id"] for row in found.values() if row["account_state"] == "SUSPENDED"} == set(
        truth["suspended"]
    )


@pytest.mark.alone
def test_every_contact_and_every_missing_one(
    org: Organization, proxy: AwsProxy, install: Callable[..., Installation]
) -> None:
    """Evenly, at the limit, and while accounts are still being listed."""
    here = settle(install, proxy, quicker=2)
    assert here.run("import", "org").code == 0
    assert_exact(here, org.truth)
    assert not proxy.throttled
    times = proxy.times("GetAlternateContact")
    assert len(times) == 3 * 45
    assert times[0] < proxy.times("ListAccounts")[-1]
    rate = (len(times) - 1) / (times[-1] - times[0])
    assert 0.95 * 20 < rate < 20
    for first, last in zip(times, times[20:], strict=False):  # smoothed: no second has more than the rate
        assert last - first > 0.9


def test_contacts_of_an_account_that_the_list_leaves_out_stay(
    org: Organization, proxy: AwsProxy, install: Callable[..., Installation]
) -> None:
    here = settle(install, proxy, quicker=8)
    assert here.run("import", "org").code == 0
    hidden, left = list(org.truth["accounts"])[-2:]

    def leave_out(request: Request, answer: dict[str, Any]) -> dict[str, Any]:
        if request.operation == "ListAccounts":
            answer["Accounts"] = [each for each in answer["Accounts"] if each["Id"] not in (hidden, left)]
        return answer

    proxy.changed = leave_out
    proxy.fault = lambda request: (
        Fault(400, "AccountNotFoundException") if request.body.get("AccountId") == left else None
    )
    assert here.run("import", "org").code == 0
    rows = here.select(
        "SELECT id FROM aws_contacts_alternate_contacts WHERE deleted_at IS NOT NULL", path=here.sink_path
    )
    assert {key.partition(":")[0] for (key,) in rows} == {left}


@pytest.mark.alone
def test_what_is_optional_comes_when_it_is_named(
    org: Organization, proxy: AwsProxy, install: Callable[..., Installation]
) -> None:
    some, *others = org.truth["accounts"]
    proxy.contact_information = {key: {"FullName": f"name of {key}"} for key in [some, *others[::2]]}
    proxy.primary_emails = {key: f"root.{key}@example.com" for key in others}
    here = settle(install, proxy, "contact_information", "primary_emails")
    assert here.run("import", "org").code == 0
    found = here.imported("org", "contact_information", "aws_contacts")
    assert {key: row.get("FullName") for key, row in found.items()} == {
        key: proxy.contact_information.get(key, {}).get("FullName") for key in org.truth["accounts"]
    }
    found = here.imported("org", "primary_emails", "aws_contacts")
    assert {key: row["PrimaryEmail"] for key, row in found.items()} == {
        MANAGEMENT: "master@example.com"
    } | proxy.primary_emails
    assert here.imported("org", "alternate_contacts", "aws_contacts") == {}
    assert not proxy.throttled


@pytest.mark.alone
def test_killed_at_any_instant_it_ends_exact(
    org: Organization, proxy: AwsProxy, install: Callable[..., Installation]
) -> None:
    here = settle(install, proxy)
    for step in (1, 2, 5, 9, 14, 20):
        seen = len(proxy.seen)
        running = here.start("import", "org")
        until(lambda enough=seen + step: len(proxy.seen) >= enough or not running.running)  # noqa: B023 - it ends within the turn
        if not running.running:
            break
        running.kill()
    assert here.run("import", "org").code == 0
    assert_exact(here, org.truth)
    assert not proxy.throttled


def test_a_token_that_expires_pauses_the_account_and_a_new_one_resumes(
    org: Organization, proxy: AwsProxy, install: Callable[..., Installation]
) -> None:
    here = settle(install, proxy)

    def expire(request: Request) -> Fault | None:
        late = sum(each.operation == "GetAlternateContact" for each in proxy.seen) >= 30
        return Fault(400, "ExpiredTokenException", "The token has expired") if late and request.key == "AKID" else None

    proxy.fault = expire
    done = here.run("import", "org")
    assert done.code == 1
    assert "ExpiredTokenException: The token has expired" in done.stdout
    assert "secret" not in done.stdout + done.stderr
    here.environment["AWS_ACCESS_KEY_ID"] = "NEWKEY"
    assert here.run("import", "org").code == 0
    assert_exact(here, org.truth)


def test_a_token_that_expires_is_refreshed_from_the_file(
    org: Organization, proxy: AwsProxy, install: Callable[..., Installation]
) -> None:
    here = settle(install, proxy)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del here.environment[name]
    file = here.folder / "credentials"
    text = "[crawler]\naws_access_key_id = {}\naws_secret_access_key = secret\naws_session_token = token\n"
    file.write_text(text.format("FIRST"))
    here.environment["AWS_SHARED_CREDENTIALS_FILE"] = str(file)
    here.config["accounts"]["org"]["profile"] = "crawler"

    def expire(request: Request) -> Fault | None:
        if sum(each.operation == "GetAlternateContact" for each in proxy.seen) == 30:
            file.write_text(text.format("SECOND"))
        expired = file.read_text() != text.format(request.key)
        return Fault(400, "ExpiredTokenException") if expired else None

    proxy.fault = expire
    assert here.run("import", "org").code == 0
    assert {each.key for each in proxy.seen} == {"FIRST", "SECOND"}
    assert_exact(here, org.truth)


def test_a_role_is_taken_on_and_again_when_its_token_is_refused(
    org: Organization, proxy: AwsProxy, install: Callable[..., Installation]
) -> None:
    here = settle(install, proxy)
    here.config["accounts"]["org"]["role_arn"] = f"arn:aws:iam::{MANAGEMENT}:role/crawler"
    here.config["daemon"]["worker_processes"] = 1
    refused: set[str] = set()

    def expire(request: Request) -> Fault | None:
        if sum(each.operation == "GetAlternateContact" for each in proxy.seen) == 30 and not refused:
            refused.add(request.key)
        return Fault(400, "ExpiredTokenException") if request.key in refused else None

    proxy.fault = expire
    assert here.run("import", "org").code == 0
    keys = {each.key for each in proxy.seen if each.operation == "GetAlternateContact"}
    assert len(keys) == 2
    assert "AKID" not in keys
    assert len(proxy.times("AssumeRole")) >= 2
    assert_exact(here, org.truth)


def test_wrong_credentials_are_told(proxy: AwsProxy, install: Callable[..., Installation]) -> None:
    proxy.fault = lambda request: Fault(400, "UnrecognizedClientException", "The security token is invalid.")
    here = settle(install, proxy)
    done = here.run("import", "org")
    assert done.code == 1
    assert "account org is refused: Unauthorized: UnrecognizedClientException" in done.stdout
    here.environment["AWS_EC2_METADATA_DISABLED"] = "true"
    here.environment["HOME"] = str(here.folder)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        del here.environment[name]
    done = here.run("import", "org")
    assert done.code == 1
    assert "NoCredentialsError" in done.stdout
