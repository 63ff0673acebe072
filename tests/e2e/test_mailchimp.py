"""Imports of the local Mailchimp: what arrives in the sink and at the receiver while members change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mailchimp_api import Mailchimp
from mailchimp_installation import news
from receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import Callable

    from installation import Installation


def versions(api: Mailchimp) -> dict[tuple[str, Any], int]:
    """Each version that is there, once."""
    return {(each["id"], each["merge_fields"]["REVISION"]): 1 for each in api.everything().values()}


def test_members_arrive_and_are_delivered_once(install: Callable[..., Installation]) -> None:
    with Mailchimp({"a": 2345, "b": 10, "empty": 0}) as api, Receiver() as receiver:
        here = news(install, api, receiver, deliver={"batch": 300})
        done = here.run("import", "--all", "--json")
        assert done.code == 0, done.stderr
        assert here.imported("news", "members", "mailchimp") == api.everything()
        assert set(here.imported("news", "lists", "mailchimp")) == {"a", "b", "empty"}
        assert dict(receiver.applied) == versions(api)
        assert max(receiver.sizes) == 300
