"""The options of an AWS account: the region or server, and the credentials."""

from __future__ import annotations

import re

import msgspec


class AwsOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The region or server, and the credentials. Raises ValueError for invalid values.

    region: "" for the region of boto3's default chain, or us-east-1 when that has none.
    endpoint_url: the address of all services, for local servers.
    profile: a profile in the shared credentials and configuration files.
    role_arn: a role to assume with these credentials.
    external_id: the external id that the owner of the role requires.
    """

    region: str = ""
    endpoint_url: str = ""
    profile: str = ""
    role_arn: str = ""
    external_id: str = ""

    def __post_init__(self) -> None:
        if self.endpoint_url:
            from crawlerd.core.notation import base_url  # imported late: it takes 0.1 s, which delays a worker's start

            try:
                base_url(self.endpoint_url)
            except ValueError as error:
                raise ValueError(f"endpoint_url {error}") from None
        if not re.fullmatch("[a-z0-9-]*", self.region):
            raise ValueError('region must be the name of a region, such as "us-east-1"')
        if self.role_arn and not re.fullmatch(r"arn:[\w-]+:iam::\d{12}:role/\S+", self.role_arn, re.ASCII):
            raise ValueError('role_arn must be like "arn:aws:iam::123456789012:role/name"')
        if self.external_id and not self.role_arn:
            raise ValueError("external_id is of no use without role_arn")
