"""Schedules over restarts, kills and a clock that jumps; deadlines; what `crawlerd schedule` says."""

from __future__ import annotations

import signal
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import apsw
import pytest
from support.installation import NO_LIMITS, Installation, until
from support.movable_clock import movable
from support.rest_api import RestApi
from support.shops import serve, shop

from crawlerd.demo.server import running as stripe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DAY = 86_400


@pytest.fixture
def api() -> Iterator[RestApi]:
    with RestApi() as api:
        serve(api, 10)
        yield api


def in_hours(hours: float) -> str:
    """A daily schedule, that starts so many hours from now."""
    return f"every day at {datetime.now(UTC) + timedelta(hours=hours):%H:%M}"


def scheduled(here: Installation, name: str) -> dict[str, Any]:
    (found,) = here.run("schedule", name, "--json").json
    return dict(found)


def noted(here: Installation) -> int:
    """Schedules that the daemon has looked at."""
    try:
        return len(here.select("SELECT 1 FROM schedule"))
    except (apsw.CantOpenError, apsw.SQLError):  # there is no frontier yet
        return 0


def runs_of(here: Installation, name: str) -> list[str]:
    return [state for (state,) in here.select("SELECT state FROM run WHERE import = ? ORDER BY id", name)]


def test_starts_that_were_missed_lead_to_one_or_to_none_and_are_counted(
    install: Callable[..., Installation], api: RestApi
) -> None:
    here = shop(install, api, {name: ["orders"] for name in ("once", "skip", "other")}, **NO_LIMITS)
    for name in ("once", "skip"):
        here.config["imports"][name] |= {"schedule": in_hours(2), "catch_up": name}
    move = movable(here)
    daemon = here.start("run")
    until(lambda: noted(here) == 2)
    assert [scheduled(here, name)["missed"] for name in ("once", "skip")] == [0, 0]
    move(2.5 * DAY)  # three starts, as in a suspend
    assert [scheduled(here, name)["missed"] for name in ("once", "skip")] == [3, 3]
    assert here.run("import", "other").code == 0  # the daemon looks at its clock when a run has ended
    until(lambda: runs_of(here, "once") == ["completed"])
    until(lambda: scheduled(here, "skip")["skipped"])
    assert (scheduled(here, "once")["last_state"], scheduled(here, "skip")["last_run"]) == ("completed", None)
    once, skip = scheduled(here, "once"), scheduled(here, "skip")
    assert (once["missed"], once["skipped"], skip["missed"], skip["skipped"]) == (0, 2, 0, 3)
    assert once["skipped_why"] == skip["skipped_why"] == "the machine was suspended, or its clock was set forward"
    assert daemon.says("one start makes up for what was missed")
    daemon.kill()
    move(5.5 * DAY)
    daemon = here.start("run")
    until(lambda: runs_of(here, "once") == ["completed", "completed"])
    assert runs_of(here, "skip") == []
    assert scheduled(here, "skip")["skipped"] == 6
    assert scheduled(here, "skip")["skipped_why"] == "crawlerd was not running"
    missed = "starts by its schedule were skipped: crawlerd was not running; `crawlerd import skip` runs it now"
    assert missed in " ".join(here.run("status").stdout.split())
    assert missed in " ".join(here.run("why", "skip").stdout.split()).replace("Starts", "starts")
    assert "import once: starts" not in here.run("status").stdout
    daemon.send(signal.SIGTERM)
    daemon.finish()
    text = here.run("schedule", "skip").stdout
    assert f"import skip: {here.config['imports']['skip']['schedule']}, in UTC" in text
    assert "6 skipped, the last one at " in text
    assert "no daemon is running: nothing starts until `crawlerd run` does" in text
    assert here.run("frontier", "check").code == 0


def test_a_daemon_that_is_killed_again_and_again_starts_what_is_due_once(
    install: Callable[..., Installation], api: RestApi
) -> None:
    names = [f"i{number}" for number in range(4)]
    here = shop(install, api, {name: ["orders"] for name in names}, **NO_LIMITS)
    here.config["daemon"]["catch_up_spread"] = "4s"
    for name in names:
        here.config["imports"][name]["schedule"] = in_hours(2)
    move = movable(here)
    here.start("run")
    until(lambda: noted(here) == len(names))
    here.close()
    move(DAY / 8)
    for started in range(1, len(names) + 1):
        daemon = here.start("run")
        until(lambda wanted=started: len(here.select("SELECT 1 FROM run")) >= wanted)
        daemon.kill()
    daemon = here.start("run")
    until(lambda: [runs_of(here, name) for name in names] == [["completed"]] * len(names))
    assert here.select("SELECT DISTINCT skipped, catch_up_at FROM schedule") == [(0, None)]
    starts = [at for (at,) in here.select("SELECT started_at FROM run ORDER BY started_at")]
    assert starts[-1] - starts[0] > 2.5
    daemon.send(signal.SIGTERM)
    daemon.finish()


def test_a_run_that_takes_longer_than_its_deadline_is_cancelled(
    install: Callable[..., Installation], api: RestApi
) -> None:
    serve(api, 300)
    here = shop(install, api, {"slow": ["orders", "lines"], "quick": ["stores"]}, limits=["50/second"])
    here.config["imports"]["slow"]["deadline"] = here.config["imports"]["quick"]["deadline"] = "2s"
    done = here.run("import", "slow", "--json")
    assert (done.code, done.json["state"]) == (3, "cancelled")
    assert len(api.requests) < 200
    assert here.select("SELECT state, ended_why FROM run") == [("cancelled", "it was not done after 2 s, its deadline")]
    assert here.select("SELECT 1 FROM cursor UNION ALL SELECT 1 FROM staged") == []
    daemon = here.start("run")
    until(lambda: here.run("status").code == 0 and daemon.says("pid"))
    assert here.run("import", "quick").code == 0
    followed = here.run("import", "slow")
    assert (followed.code, "cancelled" in followed.stdout + followed.stderr) == (3, True)
    here.close()
    assert here.run("frontier", "check").code == 0


def test_a_run_is_full_when_full_every_has_passed(install: Callable[..., Installation]) -> None:
    with stripe(accounts=1, customers=20, rate=0) as server:
        here = install(url=server.url, account=NO_LIMITS)
        ((name, table),) = here.config["imports"].items()
        table["full_every"] = "7d"
        move = movable(here)
        for days in (0, 1, 6.9, 7.1, 8):
            move(days * DAY)
            assert here.run("import", name).code == 0
    full = here.select('SELECT "full", why FROM run ORDER BY id')
    assert [bool(each) for each, _ in full] == [True, False, False, True, False]
    assert full[3][1] == "the last full run began 7.1 days ago, and full_every asks for one"


def test_what_starts_next_is_told_in_the_zone_of_the_import(install: Callable[..., Installation], api: RestApi) -> None:
    here = shop(install, api, {name: ["orders"] for name in ("berlin", "york", "cron", "hand")}, **NO_LIMITS)
    for name, zone in (("berlin", "Europe/Berlin"), ("york", "America/New_York")):
        here.config["imports"][name] |= {"schedule": "every monday at 03:00", "time_zone": zone}
    here.config["imports"]["cron"]["schedule"] = "*/15 * * * *"
    text = here.run("schedule").stdout
    assert [line.split()[0] for line in text.splitlines()[2:5]] == ["cron", "berlin", "york"]
    assert "every 15th minute of every hour" in text
    assert "1 import starts on demand only" in text
    found = here.run("schedule", "berlin", "--next", "3")
    assert found.stdout.count("Mon ") == found.stdout.count(" 03:00:00 CE") == 3
    coming = {name: scheduled(here, name)["next"] for name in ("berlin", "york")}
    assert [len(each) for each in coming.values()] == [5, 5]
    assert all(time.time() < at for each in coming.values() for at in each)
    wrong = here.run("schedule", "berlim")
    assert (wrong.code, "did you mean berlin?" in wrong.stderr) == (1, True)
    here.start("run")
    until(lambda: noted(here) == 3)
    assert scheduled(here, "york")["next"] == coming["york"]
