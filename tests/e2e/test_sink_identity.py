"""A sink that is new, another one or an older copy is known as such; so is a frontier that is older than its sinks."""

from __future__ import annotations

import json
import shutil
import signal
from contextlib import closing
from typing import TYPE_CHECKING, Any

import apsw
import pytest
from support.installation import QUICK, Installation, until
from support.rest_api import Answer, Request, RestApi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DESCRIPTION = """
name = "shop"
[endpoints.items]
path = "/all/items"
incremental = { field = "updated_at", parameter = "since" }
"""
SINKS: dict[str, dict[str, Any]] = {
    "sqlite": {"type": "sqlite", "path": "sink.db"},
    "jsonl": {"type": "jsonl", "path": "lines"},
    "persist-queue": {"type": "persist-queue", "path": "queue"},
}


@pytest.fixture
def api() -> Iterator[RestApi]:
    with RestApi() as api:
        api.lists["/items"] = [item(number) for number in range(20)]
        yield api


def item(number: int) -> dict[str, Any]:
    return {"id": number, "updated_at": f"2026-01-01T00:{number:02}:00Z"}


def installed(install: Callable[..., Installation], api: RestApi, sink: str = "sqlite") -> Installation:
    here = install(accounts=0)
    (here.folder / "source.toml").write_text(DESCRIPTION)
    here.config["accounts"]["a"] = {"source": "rest", "description": "source.toml", "base_url": api.url, **QUICK}
    here.config["imports"]["a"] = {"account": "a", "sink": "sink", "streams": ["*"]}
    here.config["sinks"]["sink"] = dict(SINKS[sink])
    return here


def database(here: Installation) -> Path:
    spec = here.config["sinks"]["sink"]
    path: Path = here.folder / spec["path"]
    return {"sqlite": path, "jsonl": path / ".crawlerd.db", "persist-queue": path / "data.db"}[spec["type"]]


def known(here: Installation) -> set[str]:
    """Keys of the records that the sink holds, or has handed on."""
    return {key for (key,) in here.select("SELECT id FROM shop_items", path=database(here))}


def files(path: Path) -> list[Path]:
    return [path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm")]


def assert_full(here: Installation, why: str, count: int = 20) -> None:
    done = here.run("import", "--all", "--json")
    assert done.code == 0, done.stderr
    assert why in done.stderr
    (run,) = done.json["imports"]["a"]
    assert run["streams"]["items"]["new"] == count
    assert known(here) == {str(number) for number in range(count)}
    again = here.run("import", "--all", "--json").json["imports"]["a"][0]
    assert again["streams"]["items"]["new"] == 0
    here.assert_conserved()


@pytest.mark.parametrize("sink", SINKS)
def test_a_sink_that_was_deleted_is_filled_again(api: RestApi, install: Callable[..., Installation], sink: str) -> None:
    here = installed(install, api, sink)
    assert here.run("import", "--all").code == 0
    since = [each.query.get("since") for each in api.asked("/all/items")]
    for file in files(database(here)):
        file.unlink(missing_ok=True)
    assert_full(here, "sinks.sink is another database than before, or rows were deleted from it: the next import reads")
    asked = [each.query.get("since") for each in api.asked("/all/items")]
    assert since == [None]
    assert asked[:2] == [None, None]
    assert asked[2] is not None  # the one after it is incremental again


@pytest.mark.parametrize("sink", SINKS)
def test_another_path_is_another_sink_and_a_moved_file_is_not(
    api: RestApi, install: Callable[..., Installation], sink: str
) -> None:
    here = installed(install, api, sink)
    assert here.run("import", "--all").code == 0
    before = here.folder / here.config["sinks"]["sink"]["path"]
    here.config["sinks"]["sink"] = {**SINKS[sink], "path": f"moved-{before.name}"}
    assert_full(here, "is another database than before")
    shutil.rmtree(here.folder / f"moved-{before.name}", ignore_errors=True)
    for file in files(here.folder / f"moved-{before.name}"):
        file.unlink(missing_ok=True)
    here.config["sinks"]["sink"] = dict(SINKS[sink])
    assert_full_from_scratch = here.run("import", "--all", "--json")  # it has what it had, and is believed of nothing
    assert assert_full_from_scratch.code == 0
    before.rename(here.folder / f"moved-{before.name}")
    here.config["sinks"]["sink"] = {**SINKS[sink], "path": f"moved-{before.name}"}
    api.requests.clear()
    done = here.run("import", "--all", "--json")
    assert done.code == 0
    assert [each.query.get("since") is None for each in api.asked("/all/items")] == [False]


@pytest.mark.parametrize("sink", SINKS)
def test_an_older_copy_of_a_sink_is_filled_again(api: RestApi, install: Callable[..., Installation], sink: str) -> None:
    here = installed(install, api, sink)
    assert here.run("import", "--all").code == 0
    path = database(here)
    copy = here.folder / "copy"
    shutil.copy(path, copy)
    api.lists["/items"] += [item(20)]  # type: ignore[operator]
    assert here.run("import", "--all").code == 0
    assert len(known(here)) == 21
    for file in files(path):
        file.unlink(missing_ok=True)
    shutil.copy(copy, path)
    done = here.run("import", "--all", "--json")
    assert done.code == 0
    assert "sinks.sink is an older copy: it lacks what was imported last" in done.stderr
    assert len(known(here)) == 21


def test_a_frontier_is_sound_after_a_run_with_dead_letters_was_given_up(
    api: RestApi, install: Callable[..., Installation]
) -> None:
    here = installed(install, api)
    (here.folder / "source.toml").write_text(f'{DESCRIPTION}\n[endpoints.none]\npath = "/all/none"\n')
    assert here.run("import", "--all").code == 3
    for file in files(database(here)):
        file.unlink(missing_ok=True)
    assert here.run("import", "--all").code == 3
    assert here.states() == ["cancelled", "completed with dead letters"]
    checked = here.run("frontier", "check")
    assert (checked.code, checked.stdout) == (0, f"{here.state_dir}/frontier.db: every invariant holds\n")


def test_a_lost_log_of_a_sink_is_noticed_after_kill_9(api: RestApi, install: Callable[..., Installation]) -> None:
    here = installed(install, api)
    here.config["imports"]["a"]["schedule"] = "1s"
    daemon = here.start("run")
    until(lambda: here.states()[:1] == ["completed"])
    daemon.kill()
    assert files(database(here))[1].stat().st_size
    for file in files(database(here))[1:]:
        file.unlink()
    daemon = here.start("run")
    daemon.says("import a: run [0-9]+ is full: sinks.sink is an")
    until(lambda: here.select("SELECT 1 FROM run WHERE why LIKE 'sinks.sink is an%' AND state = 'completed'"))
    assert len(known(here)) == 20
    daemon.send(signal.SIGTERM)
    assert daemon.finish().code == 0


def test_imports_that_share_a_sink_begin_again_together_and_their_tasks_go(
    api: RestApi, install: Callable[..., Installation]
) -> None:
    """One of them is in the middle of its run when the sink's file is deleted, with the daemon down."""
    here = installed(install, api)
    pages = 300
    api.lists["/big"] = [item(number % 60) | {"id": number} for number in range(pages * 10)]
    (here.folder / "big.toml").write_text(
        'name = "big"\n[endpoints.items]\npath = "/offset/big"\nrecords = "items"\n'
        'paginator = { type = "offset", size = 10, total = "total" }\n'
        '[endpoints.below]\nparent = "items"\npath = "/all/items"\nparameters = { of = "{parent.id}" }\n'
        'from_parent = { of = "id" }\nprimary_key = ["of", "id"]\n'
    )
    here.config["accounts"]["b"] = {**here.config["accounts"]["a"], "description": "big.toml", "limits": ["20/second"]}
    here.config["imports"]["b"] = {**here.config["imports"]["a"], "account": "b"}
    started = here.start("import", "--all")
    until(lambda: here.states() and here.select("SELECT done FROM run WHERE import = 'b' AND done > 3"))
    started.kill()
    for file in files(database(here)):
        file.unlink(missing_ok=True)
    here.config["accounts"]["b"]["limits"] = []
    api.lists["/big"] = api.lists["/big"][:30]  # type: ignore[index]
    daemon = here.start("run")  # no schedule: what was interrupted begins again by itself
    until(lambda: here.select("SELECT 1 FROM run WHERE import = 'b' AND state = 'completed'"))
    until(lambda: here.select("SELECT 1 FROM run WHERE state = 'cancelled' AND open = 0"))
    daemon.send(signal.SIGTERM)
    assert daemon.finish().code == 0
    here.assert_conserved()
    assert here.run("frontier", "check").code == 0
    assert len(here.select("SELECT id FROM big_items", path=here.sink_path)) == 30
    status = json.loads(here.run("status", "--json").stdout)
    (cancelled,) = [each for each in status["runs"] if each["state"] == "cancelled"]
    assert "sinks.sink is another database" in cancelled["ended_reason"]
    (begun,) = [each for each in status["runs"] if each["import"] == "b" and each["state"] == "completed"]
    assert "sinks.sink is another database" in begun["full_reason"]


@pytest.mark.parametrize("sink", SINKS)
@pytest.mark.parametrize("way", ["deleted", "replaced", "log deleted"])
def test_a_file_that_goes_while_it_is_open_is_noticed_and_its_import_begins_again(
    api: RestApi, install: Callable[..., Installation], sink: str, way: str
) -> None:
    """The records of the first pages are gone with the file; the run must not end as if they were there."""
    here = installed(install, api, sink)
    (here.folder / "source.toml").write_text(
        'name = "shop"\npaginator = { type = "cursor_in_body", cursor = "meta.next", parameter = "from" }\n'
        '[endpoints.items]\npath = "/body/items"\nrecords = "data"\nparameters = { limit = 5 }\n'
    )
    path = database(here)

    def script(request: Request) -> Answer | None:
        if request.query.get("from") == "15" and len(api.asked("/body/items")) == 4:
            until(lambda: len(here.select("SELECT id FROM shop_items", path=path)) == 15)
            if way == "replaced":
                path.with_name("new").write_bytes(b"")
                path.with_name("new").replace(path)
            for file in files(path)[1 if way == "log deleted" else 0 :][: 1 if way == "replaced" else 3]:
                file.unlink(missing_ok=True)
        return None

    api.script = script
    done = here.run("import", "--all", "--json")
    assert done.code == 0, done.stderr
    assert "was deleted, moved or replaced while it was in use" in done.stderr
    (run,) = done.json["imports"]["a"]
    assert (run["id"], run["state"], run["records"]) == (2, "completed", 20)
    assert len(known(here)) == 20
    until(lambda: here.run("frontier", "check").code == 0)
    here.assert_conserved()


def test_a_frontier_that_is_older_than_its_sink_is_refused(api: RestApi, install: Callable[..., Installation]) -> None:
    here = installed(install, api)
    assert here.run("import", "--all").code == 0
    path = here.state_dir / "frontier.db"
    shutil.copy(path, here.folder / "old.db")
    for number in range(20, 23):
        api.lists["/items"] += [item(number)]  # type: ignore[operator]
        assert here.run("import", "--all").code == 0
    shutil.copy(here.folder / "old.db", path)
    requests = len(api.requests)
    for command in (("import", "--all"), ("run",)):
        refused = here.run(*command)
        assert refused.code == 78
        assert "this frontier is older than sinks.sink" in refused.stderr
        assert "crawlerd frontier restore FILE" in refused.stderr
        assert refused.stderr.count("this frontier is older") == 1
    assert len(api.requests) == requests
    assert here.run("frontier", "check").code == 0
    restored = here.run("frontier", "restore", str(here.folder / "old.db"))
    assert restored.code == 0, restored.stderr
    done = here.run("import", "--all", "--json")
    assert done.code == 0, done.stderr
    assert len(known(here)) == 23
    assert here.run("frontier", "check").code == 0
    assert here.run("sink", "check").code == 0


@pytest.mark.parametrize("how", ["missing", "empty", "another"])
def test_a_frontier_that_is_gone_is_not_begun_in_silence(
    api: RestApi, install: Callable[..., Installation], how: str
) -> None:
    here = installed(install, api)
    assert here.run("import", "--all").code == 0
    path = here.state_dir / "frontier.db"
    backup = here.folder / "backup.db"
    assert here.run("frontier", "backup", str(backup)).code == 0
    for file in files(path):
        file.unlink(missing_ok=True)
    if how == "empty":
        path.write_bytes(b"")
    elif how == "another":
        there = installed(install, api)
        assert there.run("import", "--all").code == 0
        shutil.copy(there.state_dir / "frontier.db", path)
    requests = len(api.requests)
    refused = here.run("import", "--all")
    assert refused.code == 78
    assert f"{'is another' if how == 'another' else 'is ' + how}" in refused.stderr
    assert "frontier restore" in refused.stderr
    assert "frontier new" in refused.stderr
    assert len(api.requests) == requests
    assert here.run("frontier", "restore", str(backup)).code == 0
    assert here.run("import", "--all").code == 0
    assert api.asked("/all/items")[-1].query.get("since") is not None  # its sync points hold
    for file in files(path):
        file.unlink(missing_ok=True)
    begun = here.run("frontier", "new")
    assert begun.code == 0, begun.stderr
    assert here.run("import", "--all").code == 0
    assert api.asked("/all/items")[-1].query.get("since") is None


def test_a_first_start_that_is_killed_at_any_point_starts_again(
    api: RestApi, install: Callable[..., Installation]
) -> None:
    """By how far it has come: each file that it makes, in order, is a point."""
    here = installed(install, api)
    points = ["lock", "frontier.db", "frontier.db-wal", "frontier.id.part", "frontier.id"]
    for point in points:
        shutil.rmtree(here.state_dir, ignore_errors=True)
        command = here.start("import", "--all")
        until(lambda point=point, command=command: (here.state_dir / point).exists() or not command.running)
        command.kill()
        assert here.run("import", "--all").code == 0, point
        assert here.run("frontier", "check").code == 0


def test_a_new_frontier_does_not_take_the_place_of_a_good_one_unasked(
    api: RestApi, install: Callable[..., Installation]
) -> None:
    here = installed(install, api)
    assert here.run("import", "--all").code == 0
    refused = here.run("frontier", "new")
    assert refused.code == 1
    assert "--force" in refused.stderr
    assert here.run("frontier", "new", "--force").code == 0
    assert here.states() == []
    assert here.run("import", "--all").code == 0
    assert api.asked("/all/items")[-1].query.get("since") is None


def test_two_frontiers_may_share_a_sink(api: RestApi, install: Callable[..., Installation]) -> None:
    first, second = installed(install, api), installed(install, api)
    second.config["sinks"]["sink"]["path"] = str(first.sink_path)
    for number in range(20, 24):
        for here in (first, second):
            done = here.run("import", "--all", "--json")
            assert done.code == 0, done.stderr
            assert "reads all there is" not in done.stderr
        api.lists["/items"] += [item(number)]  # type: ignore[operator]
    with closing(apsw.Connection(str(first.sink_path))) as db:
        assert db.execute("SELECT count(*) FROM _crawlerd_frontier").get == 2
    first.sink_path.unlink()
    for here in (first, second):
        done = here.run("import", "--all", "--json")
        assert done.code == 0
        assert "is another database than before" in done.stderr


def other_account(here: Installation, api: RestApi, other: RestApi) -> None:
    here.config["accounts"]["z"] = here.config["accounts"].pop("a") | {"base_url": other.url}
    here.config["imports"]["a"]["account"] = "z"


def other_address(here: Installation, api: RestApi, other: RestApi) -> None:
    here.config["accounts"]["a"]["base_url"] = other.url


def other_variable(here: Installation, api: RestApi, other: RestApi) -> None:
    here.config["accounts"]["a"]["variables"] = {"kind": "others"}


def other_description(here: Installation, api: RestApi, other: RestApi) -> None:
    path = here.folder / "source.toml"
    path.write_text(path.read_text().replace("{variables.kind}", "others").replace('variables = ["kind"]', ""))
    del here.config["accounts"]["a"]["variables"]


@pytest.mark.parametrize("change", [other_account, other_address, other_variable, other_description])
def test_an_import_that_reads_from_elsewhere_is_a_full_one(
    api: RestApi, install: Callable[..., Installation], change: Callable[[Installation, RestApi, RestApi], None]
) -> None:
    """Though its sink is the same: sync points say nothing of another account, address or list."""
    here = installed(install, api)
    path = here.folder / "source.toml"
    path.write_text(path.read_text().replace("/all/items", "/all/{variables.kind}"))
    path.write_text(path.read_text().replace("[endpoints", 'variables = ["kind"]\n[endpoints', 1))
    here.config["accounts"]["a"]["variables"] = {"kind": "items"}
    assert here.run("import", "--all").code == 0
    with RestApi() as other:
        others = [{"id": 100 + number, "updated_at": f"2025-01-01T00:{number:02}:00Z"} for number in range(20)]
        other.lists["/items"] = api.lists["/others"] = others
        change(here, api, other)
        done = here.run("import", "--all", "--json")
        assert done.code == 0, done.stderr
        (run,) = done.json["imports"]["a"]
        assert run["full"]
        assert (
            "items: the account, its address, or what is asked for, dropped or hashed is another than before"
            in run["full_reason"]
        )
        assert {str(each["id"]) for each in others} <= known(here)
        (again,) = here.run("import", "--all", "--json").json["imports"]["a"]
        assert not again["full"]


def test_what_does_not_change_the_records_leaves_an_import_incremental(
    api: RestApi, install: Callable[..., Installation]
) -> None:
    here = installed(install, api)
    assert here.run("import", "--all").code == 0
    path = here.folder / "source.toml"
    path.write_text(path.read_text().replace("[endpoints", 'limits = ["500/second"]\n[endpoints', 1))
    path.rename(here.folder / "renamed.toml")
    here.config["accounts"]["a"] |= {"description": "renamed.toml", "base_url": f"{api.url}/"}
    (run,) = here.run("import", "--all", "--json").json["imports"]["a"]
    assert not run["full"]
