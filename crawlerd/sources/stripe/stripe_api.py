"""The source itself: address, credentials, version and limits; and the owner of a key."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from crawlerd.source import Api, Identity, Limits, Output, Sending, Source, TaskArgs
from crawlerd.sources.stripe.answers import classify, id_of
from crawlerd.sources.stripe.catalogue import OPTIONAL, STREAMS, expansions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ADDRESS = "https://api.stripe.com"
VERSION = "2026-10-28.endive"  # objects keep this shape, whatever the account's own default is


class Connect(msgspec.Struct, frozen=True):
    """Options of an import.

    connected_accounts: accounts that are connected to this one are read as well.
    """

    connected_accounts: bool = False


class Options(Connect, frozen=True):
    """Options of an account.

    api_version: of Stripe's API, such as "2025-09-30.clover", in place of this catalogue's.
    """

    api_version: str = VERSION

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\d{4}-\d\d-\d\d(\.[a-z_]+)?", self.api_version):
            raise ValueError(f'api_version must be like "{VERSION}", not "{self.api_version}"')


def version_of(options: Mapping[str, Any]) -> str:
    """The version of the API that an account is read with."""
    return str(options.get("api_version") or VERSION)


def _auth(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def _sending(base_url: str, options: Mapping[str, Any]) -> Sending:
    return Sending(base_url or ADDRESS, {"Stripe-Version": version_of(options)}, _auth)


stripe = Source(
    "stripe",
    base_url=ADDRESS,
    streams=[stream for stream in STREAMS if stream not in OPTIONAL],
    optional=OPTIONAL,
    limits=Limits("100/second", bucket="25/second", by_bucket={"files": "20/second"}),
    auth=_auth,
    mode=lambda key: "live" if key.startswith(("sk_live_", "rk_live_")) else "test",
    headers={"Stripe-Version": VERSION},
    sending=_sending,
    classify=classify,
    options=Options,
    import_options=Connect,
    part_header="Stripe-Account",
    asks=lambda stream, _: expansions(stream, STREAMS),
    needs={"*": {"id": "the key of its records", "created": "its sync point"}},
)


@dataclass(frozen=True)
class Account(TaskArgs, kind="stripe.account"):
    """The owner of the key."""


@stripe.guards(Account())
def account(api: Api, args: Account) -> Iterator[Output]:
    """An account's test and live modes share no objects, so they are two identities."""
    yield Identity(f"{id_of(api.get('/v1/account'))}:{api.mode}")
