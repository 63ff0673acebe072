"""Fields that are dropped or hashed are in no file of ours: records, digests, dead letters, tasks, events, logs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from support.rest_api import Answer, Request, RestApi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.installation import Installation

KEY = "0123456789abcdef0123456789abcdef"
EMAIL, PHONE, NAME = "jane.doe@private.example", "+49 170 5550100", "Jane Doe-Secret"
PERSON = {"id": "p1", "email": EMAIL, "phone": PHONE, "name": {"full": NAME}, "plan": "gold"}
SOURCE = """
source = Source("crm", streams=["people", "orders"], key_optional=True)

@dataclass(frozen=True)
class People(TaskArgs, kind="crm.people"):
    way: str

@dataclass(frozen=True)
class Below(TaskArgs, kind="crm.below"):
    of: str

@source.starts
def starts(plan):
    for way in WAYS:
        yield People(way)

@source.handles(People, stream="people")
def people(api, args):
    import logging
    found = api.get("/people")["people"]
    for each in found:
        match args.way:
            case "good":
                yield Record("people", each["id"], each)
                yield Below(each["id"])
            case "raises":
                logging.getLogger("crm").warning("cannot read %s of %s", each["phone"], each["email"])
                raise Permanent(f"cannot read {each}")
            case "bug":
                yield Record("people", each["id"], each)
                int(each["phone"])
            case "skips":
                yield Record("people", "p2", {"id": "p2", "email": each["email"]})
                yield Skip("people", "p3", f"no plan for {each['email']}")
                yield Note("people", f"asked {each['name']['full']} to leave")
            case "child":
                yield Record("people", each["id"], each)
                yield Below(each["email"])
            case "cursor":
                yield Record("people", each["id"], each)
                yield Cursor("people", each["email"])
            case "key":
                yield Record("people", f"person:{each['email']}", each)
            case "parent":
                yield Record("people", each["id"], each, each["phone"])

@source.handles(Below, stream="orders")
def below(api, args):
    yield Record("orders", f"{args.of}/1", {"buyer": {"email": "EMAIL", "id": args.of}})
"""


@pytest.fixture
def api() -> Iterator[RestApi]:
    with RestApi(lambda request: Answer({"people": [PERSON]})) as server:
        yield server


@pytest.fixture
def crm(install: Callable[..., Installation], api: RestApi) -> Callable[..., Installation]:
    def make(*ways: str, **more: Any) -> Installation:
        here = install(accounts=0, daemon={"hash_key": {"env": "HASH_KEY"}})
        here.environment["HASH_KEY"] = KEY
        here.add_source("crm", SOURCE.replace("WAYS", repr(ways)).replace("EMAIL", EMAIL))
        here.config["accounts"]["crm"]["base_url"] = api.url
        here.config["imports"]["crm"]["fields"] = {
            "people": {"drop": ["email", "name.full"], "hash": ["phone"]},
            "orders": {"drop": ["buyer.email"]},
        }
        return here

    return make


def nowhere(here: Installation, *outputs: str) -> None:
    """Neither in a file below the installation, but for its source and the configuration, nor in these texts."""
    texts = {path: path.read_bytes() for path in here.folder.rglob("*") if path.is_file() and "site" not in path.parts}
    for value in (EMAIL, PHONE, NAME, KEY):
        for spelling in (value, json.dumps(value)[1:-1], value.replace(" ", "+").replace("@", "%40")):
            found = [path for path, text in texts.items() if spelling.encode() in text]
            assert not found, (value, found)
            assert not any(spelling in each for each in outputs), value


def test_records_have_no_dropped_field_and_a_hash_of_others(crm: Callable[..., Installation]) -> None:
    here = crm("good")
    ended = here.run("import", "crm")
    assert ended.code == 0, ended.stderr
    (person,) = here.imported("crm", "people", "crm").values()
    assert person == {"id": "p1", "phone": person["phone"], "name": {}, "plan": "gold"}
    assert here.imported("crm", "orders", "crm") == {"p1/1": {"buyer": {"id": "p1"}}}
    columns = [name for (_, name, *_) in here.select("PRAGMA table_info(crm_people_view)", path=here.sink_path)]
    assert "email" not in columns
    assert "phone" in columns
    nowhere(here, ended.stdout, ended.stderr)
    again = here.run("import", "crm", "--full")
    assert again.code == 0, again.stderr
    assert here.select("SELECT changed, unchanged FROM tally WHERE stream = 'people' AND run = 2") == [(0, 1)]


def test_texts_of_failures_quote_nothing_of_it(crm: Callable[..., Installation]) -> None:
    here = crm("raises", "bug", "skips")
    ended = here.run("import", "crm")
    letters = here.run("dead", "list", "--json")
    assert [each["error"].count("***") > 0 for each in letters.json] == [True, True]
    shown = here.run("dead", "show", str(letters.json[0]["id"]))
    assert "cannot read *** of ***" in ended.stderr
    nowhere(here, ended.stdout, ended.stderr, letters.stdout, shown.stdout)


@pytest.mark.parametrize("way", ["child", "cursor", "key", "parent"])
def test_what_is_needed_elsewhere_is_a_dead_letter_that_names_the_field(
    crm: Callable[..., Installation], way: str
) -> None:
    here = crm(way)
    ended = here.run("import", "crm")
    (letter,) = here.run("dead", "list", "--json").json
    field = "phone of people" if way == "parent" else "email of people"
    assert f"the field {field} cannot be dropped or hashed" in letter["error"]
    assert here.imported("crm", "people", "crm") == {}
    nowhere(here, ended.stdout, ended.stderr, letter["error"])


def test_other_sinks_get_the_same(crm: Callable[..., Installation]) -> None:
    here = crm("good", "raises")
    here.config["sinks"] = {"sink": {"type": "jsonl", "path": "files"}}
    ended = here.run("import", "crm")
    (line,) = [json.loads(line) for line in next(here.folder.glob("files/crm_people-*")).read_text().splitlines()]
    assert line["data"].keys() == {"id", "phone", "name", "plan"}
    nowhere(here, ended.stdout, ended.stderr)
    sample = here.run("import", "crm", "--sample", "1")
    nowhere(here, sample.stdout, sample.stderr)


def test_other_rules_make_the_next_run_a_full_one(crm: Callable[..., Installation]) -> None:
    here = crm("good")
    assert here.run("import", "crm").code == 0
    here.config["imports"]["crm"]["fields"]["people"]["drop"].append("plan")
    ended = here.run("import", "crm")
    assert "full" in ended.stderr, ended.stderr
    (person,) = here.imported("crm", "people", "crm").values()
    assert person.keys() == {"id", "phone", "name"}


def test_lists_of_a_description_and_what_their_api_says(install: Callable[..., Installation], api: RestApi) -> None:
    people = [
        PERSON,
        {"id": None, "email": EMAIL, "name": {"full": NAME}},
        EMAIL,
        {**PERSON, "id": "p2", "plan": PHONE},
    ]

    def script(request: Request) -> Answer:
        if request.path == "/people":
            return Answer({"people": people})
        pad = "well, " * (49 if "p1" in request.path else 1_500)  # in the midst of it, and after it, errors are cut
        return Answer({"message": f"{pad}no orders of {NAME}, {EMAIL}"}, 400)

    api.script = script
    here = install(accounts=0)
    (here.folder / "crm.toml").write_text(
        'name = "crm"\n[endpoints.people]\npath = "/people"\nrecords = "people"\n'
        '[endpoints.orders]\nparent = "people"\npath = "/people/{parent.id}/orders"\n'
    )
    here.config["accounts"]["crm"] = {"source": "rest", "description": "crm.toml", "base_url": api.url, "attempts": 1}
    fields = {"*": {"drop": ["email", "name", "phone", "buyer.email"]}, "people": {"drop": ["plan"]}}
    here.config["imports"]["crm"] = {"account": "crm", "sink": "sink", "streams": ["*"], "fields": fields}
    ended = here.run("import", "crm")
    assert here.imported("crm", "people", "crm") == {"p1": {"id": "p1"}, "p2": {"id": "p2"}}
    letters = here.run("dead", "list", "--json")
    assert len(letters.json) == 2
    assert {each["error"].rstrip(", ") for each in letters.json} == {"Permanent: HTTP 400: ***"}
    shown = here.run("run", "show", "1", "--json")
    nowhere(here, ended.stdout, ended.stderr, letters.stdout, shown.stdout)


def test_a_description_says_beforehand_what_is_needed(install: Callable[..., Installation], api: RestApi) -> None:
    here = install(accounts=0)
    (here.folder / "crm.toml").write_text(
        'name = "crm"\n[endpoints.people]\npath = "/people"\nrecords = "people"\nprimary_key = ["id", "name.full"]\n'
        'incremental = { field = "changed.at", parameter = "since" }\n'
        '[endpoints.orders]\nparent = "people"\npath = "/orders"\nparameters = { of = "{parent.email}" }\n'
        'from_parent = { plan = "upper(plan)", of = "id", named = "name.full" }\n'
    )
    here.config["accounts"]["crm"] = {"source": "rest", "description": "crm.toml", "base_url": api.url}
    drop = ["name", "changed.at", "email", "plan", "phone"]
    here.config["imports"]["crm"] = {
        "account": "crm",
        "sink": "sink",
        "streams": ["*"],
        "fields": {"people": {"drop": drop}, "orders": {"drop": ["of", "named", "plan"]}},
    }
    found = here.run("config", "check")
    assert found.code != 0
    line = (here.folder / "crawlerd.toml").read_text().splitlines().index('[imports."crm"]') + 5
    for path, why in {
        "name": "the key of its records",
        "changed.at": "its sync point",
        "email": "used by tasks of orders",
        "plan": "used by tasks of orders",
    }.items():
        (said,) = [each for each in found.stderr.splitlines() if f'"{path}"' in each]
        assert why in said
        assert f"crawlerd.toml:{line}: " in said
    assert '"phone"' not in found.stderr
    of_orders = [each for each in found.stderr.splitlines() if "fields.orders" in each]
    assert len(of_orders) == 2, of_orders
    assert all("the key of its parent" in each for each in of_orders)
