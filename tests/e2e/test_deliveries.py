"""Deliveries by a sink of the type `http`, from a source in Python and from a description, measured at the receiver."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from support.crm import GONE, Crm, things

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.installation import Installation


def test_what_is_new_changed_or_gone_is_delivered_once(install: Callable[..., Installation]) -> None:
    with Crm() as crm:
        here = install(accounts=0)
        file = things(here, crm)
        there = {f"t{number}": 1 for number in range(900)}
        file.write_text(json.dumps(there))
        done = here.run("import", "things", "--json")
        assert done.code == 0, done.stderr
        assert crm.held == there
        assert len(crm.asked) < 60
        streams = done.json["imports"]["things"][0]["streams"]
        assert streams["deliveries"]["new"] == 900
        before = len(crm.asked)
        assert here.run("import", "things").code == 0  # `noise` is another one, and nobody has asked for it
        assert len(crm.asked) == before
        there |= {"t7": 2, "new": 1}
        del there["t8"], there["t9"]
        file.write_text(json.dumps(there))
        done = here.run("import", "things", "--json")
        assert done.code == 0, done.stderr
        assert crm.held == there
        assert crm.history["t7"] == [1, 2]
        assert crm.history["t8"] == [1, GONE]
        counted = done.json["imports"]["things"][0]["streams"]["deliveries"]
        assert (counted["new"], counted["changed"], counted["tombstoned"]) == (1, 1, 2)
        file.write_text(json.dumps(there | {"t8": 1}))
        assert here.run("import", "things").code == 0
        assert crm.history["t8"] == [1, GONE, 1]
        assert not crm.crossed
        assert len({each.key for each in crm.asked}) == len(crm.asked)
        here.assert_conserved()
