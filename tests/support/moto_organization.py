"""A process of moto's server that begins with an organization: `python moto_organization.py ACCOUNTS UNITS POLICIES`.

The first line of stdout is what there is, as JSON, by the rules below; then it serves.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from moto.account.models import account_backends
from moto.organizations.models import organizations_backends
from moto.server import main

MANAGEMENT = "123456789012"


def build(accounts: int, units: int, policies: int) -> dict[str, Any]:
    """`units` hang below each other and the root by threes, accounts are dealt out to them and the root, with 0 to 3
    tags each; every policy is attached to some; contact types are missing by turns; each 17th account is suspended.
    No accounts: no organization."""
    if not accounts:
        return {}
    backend = organizations_backends[MANAGEMENT]["aws"]
    organization = backend.create_organization("us-east-1", FeatureSet="ALL")["Organization"]
    root = backend.list_roots()["Roots"][0]["Id"]
    backend.enable_policy_type(RootId=root, PolicyType="SERVICE_CONTROL_POLICY")
    parents, tags = [root], {root: _tag(backend, root, 3)}
    found: dict[str, str] = {MANAGEMENT: root}
    for number in range(units):
        parent = parents[number // 3]
        unit = backend.create_organizational_unit(ParentId=parent, Name=f"unit {number}")["OrganizationalUnit"]["Id"]
        parents.append(unit)
        found[unit], tags[unit] = parent, _tag(backend, unit, number % 3)
    contacts, suspended = {}, []
    for number in range(accounts - 1):
        made = backend.create_account(AccountName=f"account {number}", Email=f"a{number}@example.com")
        key, parent = made["CreateAccountStatus"]["AccountId"], parents[number % len(parents)]
        if parent != root:
            backend.move_account(AccountId=key, SourceParentId=root, DestinationParentId=parent)
        found[key], tags[key] = parent, _tag(backend, key, number % 4)
        contacts |= {f"{key}:{kind}": email for kind, email in _contacts(key, number).items()}
        if number % 17 == 16:
            backend.close_account(AccountId=key)
            suspended.append(key)
    contacts |= {f"{MANAGEMENT}:{kind}": email for kind, email in _contacts(MANAGEMENT, 0).items()}
    targets = _policies(backend, policies, list(found), tags)
    keys = [key for key in found if key.isdigit()]
    return {
        "organization": organization["Id"],
        "root": root,
        "accounts": {key: found[key] for key in keys},
        "units": {key: found[key] for key in found if not key.isdigit()},
        "tags": {f"{key}:{tag}": value for key, each in tags.items() for tag, value in each.items()},
        "targets": targets,
        "contacts": {f"{key}:{kind}": contacts.get(f"{key}:{kind}") for key in keys for kind in KINDS},
        "suspended": suspended,
    }


KINDS = ("BILLING", "OPERATIONS", "SECURITY")


def _tag(backend: Any, resource: str, count: int) -> dict[str, str]:
    tags = {f"key:{number}": f"value {resource}" for number in range(count)}
    backend.tag_resource(ResourceId=resource, Tags=[{"Key": key, "Value": value} for key, value in tags.items()])
    return tags


def _contacts(account: str, number: int) -> dict[str, str]:
    emails = {}
    for kind in (each for turn, each in enumerate(KINDS) if number % 4 != turn):
        emails[kind] = f"{kind}.{account}@example.com"
        account_backends[account]["aws"].put_alternate_contact(kind, emails[kind], "A Name", "+1 555 0100", "Boss")
    return emails


def _policies(backend: Any, count: int, objects: list[str], tags: dict[str, dict[str, str]]) -> dict[str, list[str]]:
    for number in range(count):
        policy = backend.create_policy(
            Content='{"Version": "2012-10-17"}',
            Description=f"policy number {number}",
            Name=f"policy {number}",
            Type="SERVICE_CONTROL_POLICY",
        )["Policy"]["PolicySummary"]["Id"]
        tags[policy] = _tag(backend, policy, 1)
        for target in objects[number :: count + 1]:
            backend.attach_policy(PolicyId=policy, TargetId=target)
    return {
        policy.id: [each.id for each in policy.attachments]
        for policy in backend.policies
        if policy.type == "SERVICE_CONTROL_POLICY"  # the only type that is enabled
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(build(*map(int, sys.argv[1:]))) + "\n")
    sys.stdout.flush()
    main(["-H", "127.0.0.1", "-p", "0"])
