"""SIGKILL between the frontier and the queues of other programs: nothing is lost, and nothing is done twice."""

from __future__ import annotations

import signal
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from support.constants import Constant
from support.installation import until
from support.things import Things, put, taken, thing, things

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.installation import Installation


def done(here: Installation) -> int:
    """Tasks of all runs."""
    return sum(count for (count,) in here.select("SELECT done FROM run"))


@pytest.mark.parametrize("place", ["_submit", "settle"])
def test_a_task_of_the_inbox_is_performed_once(install: Callable[..., Installation], place: str) -> None:
    names = [f"t{number}" for number in range(30)]
    with Things() as api:
        here = things(install, api)
        here.constants |= {Constant.INBOX_ITEMS: 10}
        put(here.folder / "inbox", *map(thing, names))
        (here.folder / f"die-at-{place}").touch()
        daemon = here.start("run")
        daemon.process.wait(20)
        assert daemon.process.returncode == -signal.SIGKILL
        here.assert_conserved()
        daemon = here.start("run")
        until(lambda: done(here) == len(names) and "running" not in here.states())
        assert set(here.imported("things", "things", "things")) == set(names)
        assert done(here) == len(names)
        until(lambda: not here.select("SELECT 1 FROM ack_queue_default", path=here.folder / "inbox" / "data.db"))
        daemon.send(signal.SIGTERM)
        assert daemon.finish().code == 0
        here.assert_conserved()
        assert set(api.asked) == {f"/things/{name}" for name in names}


def test_a_dead_letter_reaches_the_spool_at_least_once(install: Callable[..., Installation]) -> None:
    names = [f"bad-{number}" for number in range(10)]
    with Things() as api:
        here = things(install, api)
        here.config["dead_letters"] = {"spool": "spool"}
        put(here.folder / "inbox", *map(thing, names))
        (here.folder / "die-at-put").touch()
        daemon = here.start("run")
        daemon.process.wait(20)
        assert daemon.process.returncode == -signal.SIGKILL
        daemon = here.start("run")
        until(lambda: here.states() == ["failed"])
        until(lambda: not here.select("SELECT 1 FROM unspooled"))
        daemon.send(signal.SIGTERM)
        assert daemon.finish().code == 0
        found = Counter(each["payload"] for each in taken(here.folder / "spool"))
        assert len(found) == len(names)
        assert set(found.values()) <= {1, 2}
        assert 2 in found.values(), "it was killed between the two"
