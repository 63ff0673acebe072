"""Imports of the local Mailchimp: what arrives in the sink and at the receiver while members change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from mailchimp_api import FIRST_CHANGE, Mailchimp
from mailchimp_installation import news
from receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import Callable

    from installation import Installation


def versions(api: Mailchimp) -> dict[tuple[str, int], int]:
    """Each version that is there, once."""
    return {(key, each["merge_fields"]["REVISION"]): 1 for key, each in api.everything().items()}


def test_members_arrive_and_are_delivered_once(install: Callable[..., Installation]) -> None:
    with Mailchimp({"a": 2345, "b": 10, "empty": 0}) as api, Receiver() as receiver:
        here = news(install, api, receiver, deliver={"batch": 300})
        done = here.run("import", "--all", "--json")
        assert done.code == 0, done.stderr
        assert here.imported("news", "members", "mailchimp") == api.everything()
        assert set(here.imported("news", "lists", "mailchimp")) == {"a", "b", "empty"}
        assert dict(receiver.applied) == versions(api)
        assert max(receiver.sizes) == 300


@pytest.mark.parametrize("inclusive", [True, False])
@pytest.mark.parametrize("spread", [1, 40, 1100, 10**9])
def test_no_member_is_lost_while_they_change(
    install: Callable[..., Installation], spread: int, inclusive: bool
) -> None:
    """spread: members whose last change was in the same second."""

    def changed(number: int) -> int:
        return FIRST_CHANGE + number // spread

    with (
        Mailchimp({"a": 9_000}, changed=changed, edits=40, deletions=4, inclusive=inclusive) as api,
        Receiver() as receiver,
    ):
        here = news(install, api, receiver, lists=["a"])
        assert here.run("import", "--all").code == 0
        found, there = here.imported("news", "members", "mailchimp"), api.everything()
        assert there.keys() <= found.keys()
        assert there.keys() <= receiver.held.keys()
        assert set(receiver.applied.values()) == {1}
        for key in there:
            assert receiver.held[key]["revision"] == found[key]["merge_fields"]["REVISION"]
        api.edits = api.deletions = 0
        assert here.run("import", "--all").code == 0
        found = here.imported("news", "members", "mailchimp")
        assert {key: found[key] for key in there} == there
        assert {key: receiver.held[key]["revision"] for key in there} == {
            key: each["merge_fields"]["REVISION"] for key, each in there.items()
        }
        assert set(receiver.applied.values()) == {1}
