"""SIGKILL at random instants of an import from Mailchimp to a receiver: nothing is lost, and nothing applied twice."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from support.installation import until
from support.mailchimp_api import Mailchimp
from support.mailchimp_installation import news
from support.receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.installation import Installation


def test_each_version_is_applied_once_whenever_it_is_killed(install: Callable[..., Installation]) -> None:
    dice = random.Random()
    lists = {"a": 9_000, "b": 2_500} | {str(number): 60 for number in range(20)}
    resets = random.Random(7)

    def misbehave(_number: int, _key: str) -> str | None:
        return "reset" if resets.random() < 0.1 else None

    with (
        Mailchimp(lists, edits=20, deletions=2, latency=0.01) as api,
        Receiver(misbehave, latency=0.01) as receiver,
    ):
        here = news(
            install,
            api,
            receiver,
            daemon={"worker_processes": 2},
            deliver={"batch": 200, "attempts": 20},
            account={"attempts": 20},
        )
        steps = [dice.randint(1, 25) for _ in range(8)]
        kills = 0
        for step in steps:
            command = here.start("import", "--all")
            target = len(api.requests) + len(receiver.attempts) + step
            until(lambda: len(api.requests) + len(receiver.attempts) >= target or not command.running)  # noqa: B023 - it ends within the turn
            if not command.running:
                break
            command.kill()
            kills += 1
            here.assert_conserved()
        assert kills >= 3, steps
        assert here.run("import", "--all").code == 0, steps
        here.assert_conserved()
        assert set(receiver.applied.values()) == {1}, steps
        found, there = here.imported("news", "members", "mailchimp"), api.everything()
        assert there.keys() <= found.keys()
        # A member that was deleted after a kill may be in the sink in a version that was never to be delivered.
        assert {key: receiver.held[key]["revision"] for key in there} == {
            key: found[key]["merge_fields"]["REVISION"] for key in there
        }, steps
        api.edits = api.deletions = 0
        assert here.run("import", "--all").code == 0
        assert {key: each["revision"] for key, each in receiver.held.items() if key in there} == {
            key: each["merge_fields"]["REVISION"] for key, each in there.items()
        }, steps
        assert set(receiver.applied.values()) == {1}, steps
