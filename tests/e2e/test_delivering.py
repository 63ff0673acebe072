"""Deliveries by a sink of the type `http`, from a source in Python and from a description, measured at the receiver."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from support.constants import Constant
from support.crm import GONE, Crm, things
from support.installation import QUICK, until
from support.rest_api import RestApi, objects

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


def test_one_record_that_is_refused_is_found_and_the_others_go_on(install: Callable[..., Installation]) -> None:
    bad = {"t33", "t77"}
    with Crm(lambda asked: 422 if bad.intersection(asked.ids) else None) as crm:
        here = install(accounts=0)
        file = things(here, crm)
        there = {f"t{number}": 1 for number in range(300)}
        file.write_text(json.dumps(there))
        done = here.run("import", "things", "--json")
        assert done.code == 3, done.stderr
        run = done.json["imports"]["things"][0]
        assert not run["complete"]
        assert (run["streams"]["deliveries"]["new"], run["streams"]["deliveries"]["dead"]) == (298, 2)
        assert crm.held == {key: each for key, each in there.items() if key not in bad}
        listed = here.run("dead", "list").stdout
        assert "HTTP 422, for t33 (things_things of things)" in listed
        assert "HTTP 422, for t77 (things_things of things)" in listed
        # A later version of one of them goes its way; of the other, the letter is retried when it is accepted.
        bad.clear()
        file.write_text(json.dumps(there | {"t33": 2}))
        assert here.run("import", "things").code == 0
        assert crm.history["t33"] == [2]
        assert here.run("dead", "retry", "--all", "--yes").code == 0
        assert here.run("import", "things").code == 0
        assert crm.history["t33"] == [2]
        assert crm.held == there | {"t33": 2}
        assert set(map(len, crm.history.values())) == {1}
        assert here.select("SELECT count(*) FROM dead") == [(0,)]
        here.assert_conserved()


def test_what_was_refused_is_delivered_when_it_is_read_again(install: Callable[..., Installation]) -> None:
    refused = True
    with Crm(lambda asked: 422 if refused else None) as crm:
        here = install(accounts=0)
        file = things(here, crm, batch=1)
        file.write_text(json.dumps({"a": 1, "b": 1}))
        assert here.run("import", "things").code == 3
        assert here.run("import", "things").code == 3
        refused = False
        assert here.run("import", "things").code == 0
        assert crm.held == {"a": 1, "b": 1}
        assert here.run("dead", "retry", "--all", "--yes").code == 0
        assert here.run("import", "things").code == 0
        assert set(map(len, crm.history.values())) == {1}


def test_what_was_refused_is_delivered_by_a_run_of_the_same_number_of_a_new_frontier(
    install: Callable[..., Installation],
) -> None:
    refused = True
    with Crm(lambda asked: 422 if refused else None) as crm:
        here = install(accounts=0)
        file = things(here, crm)
        file.write_text(json.dumps({"a": 1}))
        assert here.run("import", "things").code == 3
        assert here.run("frontier", "new", "--force").code == 0
        refused = False
        assert here.run("import", "things").code == 0
        assert crm.held == {"a": 1}


def test_a_receiver_that_is_down_loses_nothing_and_stops_no_reading(install: Callable[..., Installation]) -> None:
    down = True
    with Crm(lambda asked: 503 if down else None) as crm:
        here = install(accounts=0, constants={Constant.OUTAGE_FIRST_PROBE: 0.2, Constant.OUTAGE_LONGEST_PROBE: 0.5})
        file = things(here, crm, batch=100, expires="2s")
        there = {f"t{number}": 1 for number in range(400)}
        file.write_text(json.dumps(there))
        done = here.run("import", "things", "--json", "--wait", "30s")
        assert done.code == 3, done.stderr  # the run has not waited longer than it may
        letters = here.run("dead", "list").stdout  # a batch may have used up its attempts before the outage is known
        assert re.search("(not delivered in time|gave up after 3 attempts), the next run goes on: .*HTTP 503", letters)
        assert crm.held == {}
        # What was read is not lost, and goes before what changes now.
        file.write_text(json.dumps(dict.fromkeys(there, 2)))
        down = False
        done = here.run("import", "things", "--json")
        assert done.code == 0, done.stderr
        assert set(map(tuple, crm.history.values())) == {(1, 2)}
        assert crm.held == dict.fromkeys(there, 2)
        before = len(crm.asked)
        assert here.run("dead", "retry", "--all", "--yes").code == 0
        assert here.run("import", "things").code == 0  # the letters have nothing left to deliver
        assert len(crm.asked) == before
        assert not crm.crossed


@pytest.mark.parametrize("fault", [503, "away"])
def test_all_batches_expire_at_once_however_seldom_a_receiver_is_probed(
    install: Callable[..., Installation], fault: int | str
) -> None:
    constants = {Constant.OUTAGE_FIRST_PROBE: 1000.0, Constant.OUTAGE_LONGEST_PROBE: 1000.0}
    with Crm(lambda asked: 503) as crm:
        here = install(accounts=0, constants=constants)
        file = things(here, crm, batch=2, expires="2s", attempts=1000)
        if fault == "away":
            here.config["accounts"]["crm"]["base_url"] = "http://127.0.0.1:9"
        file.write_text(json.dumps({f"t{number}": 1 for number in range(200)}))
        done = here.run("import", "things")
        assert done.code == 3, done.stderr
        assert "answers again" not in done.stderr  # what expires without an answer is no answer
        ((dead,),) = here.select("SELECT count(*) FROM dead")
        assert dead > 10


def test_a_wrong_token_pauses_the_receiver_and_nothing_is_lost(install: Callable[..., Installation]) -> None:
    with Crm() as crm:
        here = install(accounts=0)
        file = things(here, crm)
        file.write_text(json.dumps({"a": 1}))
        crm.token = "another"
        done = here.run("import", "things", "--json")
        assert done.code != 0
        assert crm.held == {}
        assert here.select("SELECT count(*) FROM dead") == [(0,)]
        crm.token = here.environment["CRM_TOKEN"]
        assert here.run("import", "things").code == 0
        assert crm.history == {"a": [1]}


def test_what_is_forbidden_for_all_is_left_to_the_next_run(install: Callable[..., Installation]) -> None:
    forbidden = True
    with Crm(lambda asked: 403 if forbidden else None) as crm:
        here = install(accounts=0)
        file = things(here, crm, batch=10)
        there = {f"t{number}": 1 for number in range(600)}
        file.write_text(json.dumps(there))
        assert here.run("import", "things").code == 3
        assert len(crm.asked) <= 60
        forbidden = False
        assert here.run("import", "things").code == 0
        assert crm.held == there


def test_a_record_that_is_never_accepted_is_found(install: Callable[..., Installation]) -> None:
    with Crm(lambda asked: "fewer" if "t1" in asked.ids else None) as crm:
        here = install(accounts=0)
        file = things(here, crm, batch=10)
        file.write_text(json.dumps({f"t{number}": 1 for number in range(100)}))
        assert here.run("import", "things").code == 3
        listed = here.run("dead", "list").stdout
        assert "gave up after 3 attempts: the receiver accepted 0 of 1 records, for t1 (things_things" in listed
        assert len(crm.held) == 100
        assert here.select("SELECT count(*) FROM dead") == [(1,)]


def test_what_fails_is_left_to_the_next_run(install: Callable[..., Installation]) -> None:
    """One batch alone is no outage."""
    failing = True
    with Crm(lambda asked: 500 if failing else None) as crm:
        here = install(accounts=0)
        file = things(here, crm)
        file.write_text(json.dumps({"a": 1}))
        assert here.run("import", "things").code == 3
        assert len(crm.asked) == 3
        assert "gave up after 3 attempts, the next run goes on: HTTP 500" in here.run("dead", "list").stdout
        failing = False
        file.write_text(json.dumps({"a": 2}))
        assert here.run("import", "things").code == 0
        assert crm.history == {"a": [1, 2]}
        assert len({each.key for each in crm.asked}) == 2


def test_another_receiver_gets_everything(install: Callable[..., Installation]) -> None:
    with Crm() as crm, Crm() as other:
        here = install(accounts=0)
        file = things(here, crm)
        there = {f"t{number}": 1 for number in range(50)}
        file.write_text(json.dumps(there))
        assert here.run("import", "things").code == 0
        here.config["accounts"]["crm"]["base_url"] = other.url
        done = here.run("import", "things")
        assert done.code == 0
        assert "the receiver has changed, by base_url, path or method" in done.stderr
        assert "0 versions that waited for the old one" in done.stderr
        assert "reads all there is" in done.stderr
        assert other.held == there
        asked = len(other.asked)
        assert here.run("import", "things").code == 0
        assert len(other.asked) == asked


def test_a_path_with_fields_is_a_request_for_each_record(install: Callable[..., Installation]) -> None:
    with Crm() as crm:
        here = install(accounts=0)
        file = things(here, crm)
        sink = here.config["sinks"]["crm"]
        del sink["records"], sink["accepted"], sink["tombstones"]
        sink |= {"path": "/{$stream}/{id}", "method": "PUT", "fields": {"id": "$key", "revision": "a.b.0"}}
        file.write_text(json.dumps({"a b": 1, "é/ü": 1}))
        assert here.run("import", "things").code == 0
        assert sorted((each.method, each.path) for each in crm.asked) == [
            ("PUT", "/things/%C3%A9%2F%C3%BC"),
            ("PUT", "/things/a%20b"),
        ]
        assert crm.history == {"a b": ["a b"], "é/ü": ["é/ü"]}
        file.write_text("{}")
        assert here.run("import", "things").code == 0
        assert len(crm.asked) == 2  # nobody is told of tombstones


def test_dead_deliveries_hold_up_no_sync_point_and_no_sweep(install: Callable[..., Installation]) -> None:
    with Crm(lambda asked: 422 if "bad" in asked.ids else None) as crm:
        here = install(accounts=0)
        file = things(here, crm)
        file.write_text(json.dumps({"a": 1, "b": 1}))
        assert here.run("import", "things").code == 0
        here.change_published("things", lambda _: "an earlier one")
        file.write_text(json.dumps({"a": 1, "bad": 1}))
        assert here.run("import", "things").code == 3
        assert crm.history == {"a": [1], "b": [1, GONE]}
        assert here.select("SELECT value FROM cursor") == [("read",)]


def test_records_of_a_described_api_are_delivered(install: Callable[..., Installation]) -> None:
    with RestApi() as api, Crm() as crm:
        here = install(accounts=0)
        things(here, crm, fields={"id": "id", "revision": "number"})
        description = ['name = "shop"', "[endpoints.items]", 'path = "/link/items"', "tombstones = true"]
        description.append('paginator = { type = "link_header" }')
        (here.folder / "shop.toml").write_text("\n".join(description))
        here.config["accounts"]["shop"] = {
            "source": "rest",
            "base_url": api.url,
            "description": "shop.toml",
            **QUICK,
        }
        here.config["imports"] = {"shop": {"account": "shop", "sink": "crm", "streams": ["items"]}}
        api.lists["/items"] = objects(250)
        done = here.run("import", "shop", "--json")
        assert done.code == 0, done.stderr
        assert crm.held == {f"o{number}": number for number in range(250)}
        api.lists["/items"] = objects(249)
        assert here.run("import", "shop").code == 0
        assert crm.history["o249"] == [249, GONE]
        assert here.run("sink", "check").code == 0


def test_what_is_gone_is_told_of_when_a_new_warehouse_has_never_had_it(install: Callable[..., Installation]) -> None:
    with RestApi() as api, Crm() as crm:
        here = install(accounts=0)
        things(here, crm, fields={"id": "id", "revision": "number"})
        description = ['name = "shop"', "[endpoints.items]", 'path = "/link/items"', "tombstones = true"]
        description.append('paginator = { type = "link_header" }')
        (here.folder / "shop.toml").write_text("\n".join(description))
        here.config["accounts"]["shop"] = {"source": "rest", "base_url": api.url, "description": "shop.toml", **QUICK}
        here.config["sinks"]["warehouse"] = {"type": "sqlite", "path": "sink.db"}
        here.config["imports"] = {"shop": {"account": "shop", "sink": "crm", "streams": ["items"]}}
        api.lists["/items"] = objects(250)
        assert here.run("import", "shop").code == 0
        api.lists["/items"] = objects(249)
        here.config["imports"]["shop"]["sink"] = ["warehouse", "crm"]
        done = here.run("import", "shop")
        assert done.code == 0, done.stderr
        assert crm.history["o249"] == [249, GONE]


def test_what_is_kept_is_delivered_beside(install: Callable[..., Installation]) -> None:
    with Crm(latency=0.02) as crm:
        here = install(accounts=0)
        file = things(here, crm, batch=10)
        here.config["sinks"]["warehouse"] = {"type": "sqlite", "path": "sink.db"}
        here.config["imports"]["things"]["sink"] = ["warehouse", "crm"]
        here.config["imports"]["alone"] = {"account": "things", "sink": "warehouse", "streams": ["*"]}
        there = {f"t{number}": 1 for number in range(400)}
        file.write_text(json.dumps(there))
        command = here.start("import", "things")
        until(lambda: len(crm.asked) > 5)
        command.kill()
        done = here.run("import", "things", "--json")
        assert done.code == 0, done.stderr
        streams = done.json["imports"]["things"][0]["streams"]
        assert (streams["things"]["seen"], streams["deliveries"]["new"]) == (400, 400)
        file.write_text(json.dumps(there | {"t1": 2}))
        assert here.run("import", "alone").code == 0  # both write to one database
        done = here.run("import", "things")
        assert done.code == 0
        assert "reads all there is" not in done.stderr
        assert crm.held == there | {"t1": 2}
        kept = here.imported("things", "things", "things")
        assert {key: each["revision"] for key, each in kept.items()} == crm.held
        assert set(map(len, crm.history.values())) == {1, 2}
        assert not crm.crossed
        assert here.run("sink", "check").code == 0
        here.sink_path.rename(here.folder / "away.db")
        done = here.run("import", "things")
        assert done.code == 0
        assert "reads all there is" in done.stderr
        assert len(here.imported("things", "things", "things")) == 400
        assert set(map(len, crm.history.values())) == {1, 2}  # the receiver has it all
