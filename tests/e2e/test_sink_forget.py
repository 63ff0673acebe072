"""`sink forget`: what is forgotten is in no byte of our files, the rest stays, over kills and beside a daemon."""

from __future__ import annotations

import gzip
import signal
from typing import TYPE_CHECKING, Any

import pytest
from support.installation import until
from support.rest_api import Answer, Request, RestApi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.installation import Installation

CRM = """
name = "crm"
[endpoints.people]
path = "/{variables.of}/people"
tombstones = true
[endpoints.notes]
parent = "people"
path = "/{variables.of}/people/{parent.id}/notes"
primary_key = "id"
"""
VISITS = """
[endpoints.visits]
parent = "people"
path = "/{variables.of}/people/{parent.id}/visits"
from_parent = { visitor = "id" }
"""
PEOPLE = 30
SINKS: dict[str, Any] = {
    "sink": {"type": "sqlite", "path": "sink.db"},
    "files": {"type": "jsonl", "path": "files"},
    "packed": {"type": "jsonl", "path": "packed", "gzip": True},
    "queue": {"type": "persist-queue", "path": "queue"},
}


def person(of: str, number: int, version: int) -> dict[str, Any]:
    return {"id": f"{of}-p{number}", "mail": f"{of}-p{number}-v{version}@private.example", "pad": "x" * 300 * version}


class Crm(RestApi):
    """version: of all people. broken: notes of a person that cannot be read."""

    def __init__(self) -> None:
        super().__init__(self._script)
        self.version, self.broken = 1, "p3"

    def _script(self, request: Request) -> Answer:
        of, _, *below = request.path.strip("/").split("/")
        if not below:
            return Answer([person(of, number, self.version) for number in range(PEOPLE)])
        if below[0].endswith(f"-{self.broken}"):
            return Answer({"message": f"no notes of {below[0]}"}, 400)
        if below[1] == "visits":
            return Answer([{"id": f"{of}{int(below[0].rpartition('p')[2]) + 1000}", "text": f"seen {below[0]}"}])
        return Answer([{"id": f"{below[0]}-n1", "text": f"about {below[0]}"}])


@pytest.fixture
def api() -> Iterator[Crm]:
    with Crm() as server:
        yield server


@pytest.fixture
def crm(install: Callable[..., Installation], api: Crm, request: pytest.FixtureRequest) -> Installation:
    here = install(accounts=0)
    (here.folder / "crm.toml").write_text(CRM.replace('name = "crm"', 'name = "crm"\nvariables = ["of"]'))
    if "record" in request.node.name:
        with (here.folder / "crm.toml").open("a") as file:
            file.write(VISITS)
    here.config["sinks"] = SINKS if "every" in request.node.name else {"sink": SINKS["sink"]}
    here.config["dead_letters"] = {"spool": "spool"}
    for name in ("anna", "bob"):
        here.config["accounts"][name] = {
            "source": "rest",
            "description": "crm.toml",
            "base_url": api.url,
            "variables": {"of": name},
            "limits": [],
            "attempts": 1,
        }
        for sink in here.config["sinks"]:
            here.config["imports"][f"{name}_{sink}"] = {"account": name, "sink": sink, "streams": ["*"]}
    return here


def everything(here: Installation) -> dict[str, bytes]:
    """Of all files but the configuration and what commands have printed; compressed ones as text."""
    found = {}
    for path in here.folder.rglob("*"):
        if path.is_file() and path.suffix not in (".toml", ".out", ".err"):
            data = path.read_bytes()
            found[str(path.relative_to(here.folder))] = gzip.decompress(data) if path.suffix == ".gz" else data
    return found


def holding(here: Installation, text: str) -> list[str]:
    return sorted(name for name, data in everything(here).items() if text.encode() in data)


def imported_twice(here: Installation, api: Crm) -> None:
    assert here.run("import", "--all").code == 3  # a dead letter each
    api.version = 2  # earlier versions are in free space
    assert here.run("import", "--all", "--full").code == 3
    for mark in ("anna-p7-v2@", "anna-p3"):
        found = {name.partition("/")[0].partition("-")[0] for name in holding(here, mark)}
        assert found >= {"sink.db" if name == "sink" else name for name in here.config["sinks"]}
    assert "files" not in here.config["sinks"] or holding(here, "anna-p7-v1@")
    assert "spool/data.db" in holding(here, "anna-p3")


def test_an_account_leaves_every_file(crm: Installation, api: Crm) -> None:
    imported_twice(crm, api)
    before = crm.imported("bob", "people", "crm")
    told = crm.run("sink", "forget", "--account", "anna", "--dry-run")
    assert f"sinks.sink: {PEOPLE} records of crm_people" in told.stdout
    letters = crm.select("SELECT count(*) FROM dead WHERE run IN (SELECT id FROM run WHERE import LIKE 'anna%')")[0][0]
    assert letters
    assert f"\n{letters} dead letters, " in told.stdout, told.stdout
    assert holding(crm, "anna-p7-v2@")
    assert crm.run("sink", "forget", "--account", "anna").code == 2  # nobody can be asked
    done = crm.run("sink", "forget", "--account", "anna", "--yes", "--json")
    assert done.code == 0, done.stderr
    assert done.json["dead_letters"] == letters
    for mark in ("anna-p7-v1@", "anna-p7-v2@", "anna-p3", "about anna"):
        assert holding(crm, mark) == []
    assert holding(crm, "bob-p7-v2@")
    assert "spool/data.db" in holding(crm, "bob-p3")
    assert crm.imported("bob", "people", "crm") == before
    assert crm.run("sink", "check").code == 0
    assert crm.run("frontier", "check").code == 0
    (line,) = [line for line in crm.run("audit").stdout.splitlines() if "sink forget" in line]
    assert "account anna" in line
    again = crm.run("import", "anna_sink")
    assert again.code == 3
    assert len(crm.imported("anna", "people", "crm")) == PEOPLE
    assert crm.run("sink", "check").code == 0


def test_a_record_leaves_every_file_with_what_is_known_of_it(crm: Installation, api: Crm) -> None:
    imported_twice(crm, api)
    done = crm.run("sink", "forget", "--key", "anna-p3", "--yes")
    assert done.code == 0, done.stderr
    assert "anna-p3" not in done.stdout
    assert holding(crm, "anna-p3-v") == holding(crm, '"anna-p3"') == []
    for database in ("sink.db", "files/.crawlerd.db", "queue/data.db", "var/frontier.db"):
        assert b"anna-p3" not in everything(crm)[database], database
    assert len(crm.imported("anna", "people", "crm")) == PEOPLE - 1
    assert holding(crm, "anna-p7-v2@")


def test_records_that_show_their_parent_leave_every_file_with_it(crm: Installation, api: Crm) -> None:
    """Those of a description, too, where `from_parent` has its key: rows, digests, lines and items. All paths go
    through a link."""
    (crm.folder / "real").mkdir()
    (crm.folder / "linked").symlink_to("real")
    crm.config["sinks"] = {name: {**sink, "path": f"linked/{sink['path']}"} for name, sink in SINKS.items()}
    crm.config["daemon"]["state_dir"] = "linked/var"
    crm.config["dead_letters"]["spool"] = "linked/spool"
    assert crm.run("import", "--all").code == 3
    found = {name.split("/")[1] for name in holding(crm, "seen anna-p7")}
    assert found >= {"sink.db", "files", "packed", "queue"}
    assert holding(crm, "anna1007")
    done = crm.run("sink", "forget", "--key", "anna-p7", "--account", "anna", "--yes")
    assert done.code == 0, done.stderr
    assert holding(crm, "seen anna-p7") == holding(crm, "anna1007") == []
    assert holding(crm, "seen anna-p8")
    assert crm.run("sink", "check").code == 0
    assert crm.run("frontier", "check").code == 0


def test_an_import_leaves_and_its_sync_points(crm: Installation, api: Crm) -> None:
    crm.config["imports"] = {
        "people": {"account": "anna", "sink": "sink", "streams": ["people"]},
        "notes": {"account": "anna", "sink": "sink", "streams": ["people", "notes"]},
    }
    assert crm.run("import", "--all").code == 3
    assert crm.run("sink", "forget", "--import", "notes", "--stream", "notes", "--yes").code == 0
    assert crm.imported("anna", "notes", "crm") == {}
    assert len(crm.imported("anna", "people", "crm")) == PEOPLE
    asked = crm.start_on_terminal("sink", "forget", "--import", "people")
    asked.says("Delete it for good")
    assert "30 records of crm_people" in asked.stderr
    asked.press(b"n\n")
    assert asked.finish().code == 1
    assert len(crm.imported("anna", "people", "crm")) == PEOPLE
    assert crm.run("sink", "forget", "--import", "nots", "--yes").code == 1
    assert crm.run("sink", "forget", "--stream", "notes", "--yes").code == 2


def test_beside_a_daemon(crm: Installation, api: Crm) -> None:
    imported_twice(crm, api)
    daemon = crm.start("run")
    daemon.says("http://")
    done = crm.run("sink", "forget", "--account", "anna", "--yes")
    assert done.code == 0, done.stderr + daemon.stderr
    for mark in ("anna-p7-v1@", "anna-p7-v2@", "anna-p3", "about anna"):
        assert holding(crm, mark) == []
    assert crm.run("import", "anna_sink").code == 3
    assert len(crm.imported("anna", "people", "crm")) == PEOPLE
    daemon.send(signal.SIGTERM)
    ended = daemon.finish()
    assert ended.code == 0
    assert "ERROR" not in ended.stderr


def test_not_while_a_run_may_write_of_it(crm: Installation, api: Crm) -> None:
    assert crm.run("import", "anna_sink").code == 3
    script, api.script = api.script, lambda request: Answer({}, 503, {"Retry-After": "60"})
    daemon = crm.start("run")
    daemon.says("http://")
    started = crm.start("import", "anna_sink", "--full")
    until(lambda: "running" in crm.states())
    refused = crm.run("sink", "forget", "--account", "anna", "--yes")
    assert refused.code == 1
    assert "import anna_sink is under way" in refused.stderr
    assert crm.run("sink", "forget", "--account", "bob", "--yes").code == 0
    assert len(crm.imported("anna", "people", "crm")) == PEOPLE
    started.kill()
    daemon.kill()
    api.script = script


def test_killed_and_said_again(crm: Installation, api: Crm) -> None:
    imported_twice(crm, api)
    command = crm.start("sink", "forget", "--account", "anna", "--yes")
    until(lambda: crm.select("SELECT 1 FROM audit WHERE act = 'sink forget'"))  # the frontier has, the sinks go on
    command.kill()
    assert crm.run("sink", "forget", "--account", "anna", "--yes").code == 0
    for mark in ("anna-p7-v1@", "anna-p7-v2@", "anna-p3", "about anna"):
        assert holding(crm, mark) == []
    assert crm.run("sink", "check").code == 0
