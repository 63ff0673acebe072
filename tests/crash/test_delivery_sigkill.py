"""SIGKILL at random instants of imports that are delivered: each version is applied once, and in order."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

from support.crm import GONE, Crm, things
from support.installation import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.crm import Asked
    from support.installation import Installation


def test_each_version_is_applied_once_and_in_order(install: Callable[..., Installation]) -> None:
    dice, faults = random.Random(), random.Random(7)

    def misbehave(_asked: Asked) -> str | int | None:
        return faults.choices(["reset", 429, 503, None], [10, 5, 2, 83])[0]

    with Crm(misbehave, latency=0.03) as crm:
        here = install(accounts=0, daemon={"worker_processes": 1})
        file = things(here, crm, batch=25, attempts=50)
        there = {f"t{number}": 1 for number in range(1500)}
        expected = {key: [1] for key in there}
        kills = 0
        for revision in range(2, 12):
            file.write_text(json.dumps(there))
            command = here.start("import", "--all")
            target = len(crm.asked) + dice.randint(1, 40 if revision < 4 else 4)  # later ones have less to deliver
            until(lambda: len(crm.asked) >= target or not command.running)  # noqa: B023 - it ends within the turn
            if command.running:
                command.kill()
                kills += 1
                here.assert_conserved()
            # The import that was killed may not have read what it was to read: that is no version that is seen.
            if revision % 3 == 0:
                assert here.run("import", "--all").code == 0
                assert crm.held == there
                for key in dice.sample(sorted(there), 100):
                    there[key] = revision
                    expected[key].append(revision)
                for key in dice.sample(sorted(there), 20):
                    del there[key]
                    expected[key].append(GONE)
        file.write_text(json.dumps(there))
        assert here.run("import", "--all").code == 0
        assert here.run("import", "--all").code == 0  # the first one may have gone on with what was read before
        here.assert_conserved()
        assert kills >= 5, kills
        assert crm.held == there
        assert not [
            (key, found, expected[key])
            for key, found in crm.history.items()
            if found != [each for each in expected[key] if each in found]
        ]
        assert all(len(set(found)) == len(found) for found in crm.history.values())
        assert not crm.crossed
