"""Whole imports of declared sources: every way of paging, what is odd in responses, credentials, and `kill -9`."""

from __future__ import annotations

import json
import random
import signal
from base64 import b64decode
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest
from support.installation import QUICK, Installation, until
from support.rest_api import Answer, Request, RestApi, objects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WAYS = """
name = "things"
[endpoints.body]
path = "/body/items"
records = "data"
paginator = { type = "cursor_in_body", cursor = "meta.next", parameter = "from" }
[endpoints.body_more]
path = "/body/items"
records = "data"
paginator = { type = "cursor_in_body", cursor = "meta.next", parameter = "from", more = "meta.more" }
[endpoints.header]
path = "/header/items"
paginator = { type = "cursor_in_header", header = "X-Next", parameter = "from" }
[endpoints.offset]
path = "/offset/items"
records = "items"
paginator = { type = "offset", size = 20 }
[endpoints.offset_total]
path = "/offset/items"
records = "items"
paginator = { type = "offset", size = 1000, total = "total" }
[endpoints.number]
path = "/number/items"
paginator = { type = "page_number", size_parameter = "limit", size = 20 }
[endpoints.number_pages]
path = "/number/items"
paginator = { type = "page_number", size_parameter = "limit", size = 50, total_pages_header = "X-Pages" }
[endpoints.number_short]
path = "/number/items"
paginator = { type = "page_number", size_parameter = "limit", size = 20, short_page_ends = true }
[endpoints.link]
path = "/link/items"
paginator = { type = "link_header" }
[endpoints.url]
path = "/url/items"
records = "value"
paginator = { type = "next_url", url = "next" }
[endpoints.single]
path = "/all/items"
"""

TREE = """
name = "tree"
paginator = { type = "link_header" }
[endpoints.folders]
path = "/link/folders"
[endpoints.files]
parent = "folders"
path = "/link/folders/{parent.id}/files"
from_parent = { folder = "id", depth = "info.depth" }
primary_key = ["folder", "id"]
parameters = { number = "{parent.number}", limit = 5 }
"""


@pytest.fixture
def rest_api() -> Iterator[RestApi]:
    with RestApi() as api:
        yield api


def installed(
    install: Callable[..., Installation],
    description: str,
    url: str,
    *,
    streams: tuple[str, ...] = ("*",),
    **account: Any,
) -> Installation:
    """An installation with one account, `a`, of a declared source."""
    here = install(accounts=0)
    (here.folder / "source.toml").write_text(description)
    here.config["accounts"]["a"] = {
        "source": "rest", "description": "source.toml", "base_url": url, **QUICK, **account
    }  # fmt: skip
    here.config["imports"]["a"] = {"account": "a", "sink": "sink", "streams": list(streams)}
    return here


def files_of(folder: str) -> list[dict[str, Any]]:
    return [{"id": number, "name": f"{folder}-{number}"} for number in range(int(folder[1:]) % 12)]


def tree(api: RestApi, folders: int) -> dict[str, dict[str, Any]]:
    """Fills the API; returns what must arrive, by stream and key."""
    api.lists["/folders"] = [{**each, "info": {"depth": each["number"] % 3}} for each in objects(folders, "f")]
    api.lists["/folders/*/files"] = files_of
    return {
        "folders": {each["id"]: each for each in api.lists["/folders"]},
        "files": {
            f"{folder['id']}/{file['id']}": {**file, "folder": folder["id"], "depth": folder["info"]["depth"]}
            for folder in api.lists["/folders"]
            for file in files_of(folder["id"])
        },
    }


@pytest.mark.parametrize("count", [137, 20, 0])
def test_every_way_of_paging_ends_exactly(count: int, rest_api: RestApi, install: Callable[..., Installation]) -> None:
    rest_api.lists["/items"] = objects(count)
    here = installed(install, WAYS, rest_api.url)
    done = here.run("import", "--all", "--json")
    assert done.code == 0, done
    expected = {each["id"]: each for each in rest_api.lists["/items"]}
    (run,) = done.json["imports"]["a"]
    streams = [line[11:-1] for line in WAYS.splitlines() if line.startswith("[endpoints.")]
    assert len(streams) == 11
    for stream in streams:
        assert here.imported("a", stream, "things") == expected, stream
    assert run["records"] == len(streams) * count
    here.assert_conserved()


def test_lists_below_others_arrive_with_their_parents_fields(
    rest_api: RestApi, install: Callable[..., Installation]
) -> None:
    expected = tree(rest_api, 25)
    here = installed(install, TREE, rest_api.url)
    assert here.run("import", "--all").code == 0
    for stream, records in expected.items():
        assert here.imported("a", stream, "tree") == records
    asked = rest_api.asked("/link/folders/f7/files")
    assert [each.query["number"] for each in asked[:1]] == ["7"]


def test_a_crawl_killed_again_and_again_ends_exact(rest_api: RestApi, install: Callable[..., Installation]) -> None:
    dice = random.Random()
    expected = tree(rest_api, 120)
    faults = random.Random(7)

    def script(request: Request) -> Answer | None:
        draw = faults.random()
        if draw < 0.04:
            return Answer({"error": "try again"}, 503)
        return Answer(b'[{"id": "cut', 200) if draw < 0.07 else None

    rest_api.script = script
    here = installed(install, TREE, rest_api.url, attempts=30)
    here.config["daemon"]["worker_processes"] = 2
    kills, steps = 0, [dice.randint(1, 60) for _ in range(6)]
    for step in steps:
        command = here.start("import", "--all")
        before = len(rest_api.requests)
        until(
            lambda before=before, step=step, command=command: (
                len(rest_api.requests) >= before + step or not command.running
            )
        )
        if not command.running:
            break
        command.kill()
        kills += 1
        if (here.state_dir / "frontier.db").exists():
            here.assert_conserved()
    assert kills >= 3, steps
    done = here.run("import", "--all", "--json")
    assert done.code == 0, (steps, done)
    for stream, records in expected.items():
        assert here.imported("a", stream, "tree") == records
    here.assert_conserved()


def test_an_edited_description_does_not_disturb_a_run(rest_api: RestApi, install: Callable[..., Installation]) -> None:
    """A worker that is started later has the description with which the run was started."""
    expected = tree(rest_api, 40)
    here = installed(install, TREE, rest_api.url)
    command = here.start("import", "--all")
    until(lambda: len(rest_api.requests) > 5)
    (here.folder / "source.toml").write_text("broken [")
    for worker in command.workers():
        worker.kill()
    assert command.finish().code == 0
    assert here.imported("a", "files", "tree") == expected["files"]


# ---- fields of the account

EVERYWHERE = """
name = "things"
variables = ["tenant", "region"]
headers = { X-Tenant = "id {variables.tenant}", X-Json = '{"id": {}}' }
[auth]
type = "oauth2"
token_url = "/{variables.tenant}/token"
scope = "all {variables.region}"
parameters = { audience = "api:{variables.tenant}", claims = '{"id":{"x":"{variables.region}"}}' }
[endpoints.items]
path = "/items"
"""


def test_fields_are_filled_in_wherever_they_stand(rest_api: RestApi, install: Callable[..., Installation]) -> None:
    def script(request: Request) -> Answer:
        if request.method == "POST":
            return Answer({"access_token": "0123456789", "token_type": "Application Access Token"})
        return Answer([{"id": request.path}])

    rest_api.script = script
    here = installed(
        install, EVERYWHERE, f"{rest_api.url}/{{variables.region}}/v1", api_key={"env": "CLIENT"}, attempts=1,
        variables={"tenant": "ten 1", "region": "e/u"},
    )  # fmt: skip
    here.environment["CLIENT"] = "client:s3cr3t+value"
    done = here.run("import", "--all", "--json")
    assert done.code == 0, done
    assert set(here.imported("a", "items", "things")) == {"/e%2Fu/v1/items"}
    (token, *_) = rest_api.asked("/e%2Fu/v1/ten%201/token")
    assert dict(parse_qsl(token.body.decode())) == {
        "grant_type": "client_credentials",
        "scope": "all e/u",
        "audience": "api:ten 1",
        "claims": '{"id":{"x":"e/u"}}',
    }
    (asked,) = rest_api.asked("/e%2Fu/v1/items")
    assert (asked.headers["x-tenant"], asked.headers["x-json"]) == ("id ten 1", '{"id": {}}')
    assert asked.headers["authorization"] == "Bearer 0123456789"
    shown = here.run(
        "source", "test", "source.toml", "items", "--base-url", f"{rest_api.url}/{{variables.region}}", "--key-env",
        "CLIENT", "--variable", "tenant=t", "--variable", "region=r",
    )  # fmt: skip
    assert shown.code == 0, shown
    assert rest_api.asked("/r/items")[0].headers["x-tenant"] == "id t"


def test_the_user_of_basic_auth_may_be_a_variable(rest_api: RestApi, install: Callable[..., Installation]) -> None:
    description = """
name = "things"
variables = ["sid"]
auth = { type = "basic", user = "{variables.sid}" }
[endpoints.items]
path = "/items"
"""
    rest_api.script = lambda request: Answer([{"id": request.headers["authorization"]}])
    here = installed(install, description, rest_api.url, api_key={"env": "KEY"}, variables={"sid": "AC{variables.sid}"})
    here.environment["KEY"] = "{variables.sid}"  # neither a variable nor the key is looked at for fields
    assert here.run("import", "--all").code == 0
    (sent,) = here.imported("a", "items", "things")
    assert b64decode(sent.removeprefix("Basic ")) == b"AC{variables.sid}:{variables.sid}"


# ---- incremental

CHANGES = """
name = "log"
[endpoints.asked]
path = "/offset/asked"
records = "items"
paginator = { type = "offset", total = "total" }
incremental = { field = "updated_at", parameter = "since", overlap = "1h" }
[endpoints.latest_first]
path = "/offset/latest_first"
records = "items"
paginator = { type = "offset", size = 5, total = "total" }
incremental = { field = "updated_at", overlap = "1h" }
"""


def change(number: int, minute: int) -> dict[str, Any]:
    return {"id": str(number), "updated_at": f"2024-03-01T{minute // 60:02}:{minute % 60:02}:00Z"}


def test_later_runs_ask_for_changes_only(rest_api: RestApi, install: Callable[..., Installation]) -> None:
    records = [change(number, 10 * number) for number in range(60)]
    rest_api.lists["/asked"] = list(records)
    rest_api.lists["/latest_first"] = records[::-1]
    here = installed(install, CHANGES, rest_api.url)
    assert here.run("import", "--all").code == 0
    changed = [*records[:3], {**change(3, 600), "edited": True}, *records[4:], change(60, 605)]
    rest_api.lists["/asked"] = changed
    rest_api.lists["/latest_first"] = sorted(changed, key=lambda each: each["updated_at"], reverse=True)
    before = len(rest_api.requests)
    done = here.run("import", "--all", "--json")
    assert done.code == 0
    for stream in ("asked", "latest_first"):
        assert here.imported("a", stream, "log") == {each["id"]: each for each in changed}
    asked = [each for each in rest_api.requests[before:] if each.path.endswith("/asked")]
    assert {each.query["since"] for each in asked} == {"2024-03-01T08:50:00Z"}  # the latest, less the overlap
    seen = {stream: facts["seen"] for stream, facts in done.json["imports"]["a"][0]["streams"].items()}
    assert seen == {"asked": 9, "latest_first": 9}
    assert here.run("import", "--all", "--full").code == 0
    assert "since" not in rest_api.requests[-1].query


def test_a_stream_that_is_new_to_an_import_is_read_from_the_beginning(
    rest_api: RestApi, install: Callable[..., Installation]
) -> None:
    description = """
name = "shop"
[endpoints.orders]
path = "/all/orders"
incremental = { field = "updated_at", parameter = "since" }
[endpoints.lines]
parent = "orders"
path = "/all/orders/{parent.id}/lines"
"""
    rest_api.lists["/orders"] = [change(number, number) for number in range(5)]
    rest_api.lists["/orders/*/lines"] = lambda order: [{"id": f"{order}-line"}]
    here = installed(install, description, rest_api.url, streams=("orders",))
    assert here.run("import", "--all").code == 0
    here.config["imports"]["a"]["streams"] = ["orders", "lines"]
    assert here.run("import", "--all").code == 0
    assert set(here.imported("a", "lines", "shop")) == {f"{number}-line" for number in range(5)}


UNREADABLE = """
name = "log"
[endpoints.american]
path = "/all/american"
incremental = { field = "updated_at", parameter = "changed_after" }
[endpoints.mistyped]
path = "/all/american"
incremental = { field = "updatedAt" }
[endpoints.some]
path = "/all/some"
incremental = { field = "updated_at", parameter = "changed_after", format = "unix" }
[endpoints.none]
path = "/all/none"
incremental = { field = "updated_at", parameter = "changed_after" }
"""


def test_times_that_cannot_be_read_are_told(rest_api: RestApi, install: Callable[..., Installation]) -> None:
    rest_api.lists["/american"] = [{"id": number, "updated_at": "10/02/2025 12:00"} for number in range(3)]
    times = [None, "Thu, 09 Oct 2025 08:53:20 GMT", "1759999999.5"]
    rest_api.lists["/some"] = [{"id": number, "updated_at": time} for number, time in enumerate(times)]
    rest_api.lists["/none"] = []
    here = installed(install, UNREADABLE, rest_api.url)
    no_mark = "no mark: read in full each time, because the time of change cannot be read in any record: "
    told = {
        "american": f'{no_mark}"updated_at" is "10/02/2025 12:00", which may have day or month first',
        "mistyped": f'{no_mark}"updatedAt" is missing or null',
        "some": 'the time of change cannot be read in 1 record: "updated_at" is missing or null',
        "none": None,
    }
    for _ in range(2):
        done = here.run("import", "--all", "--json")
        assert done.code == 0, done
        assert report(done)["complete"]
        assert {stream: facts["reason"] for stream, facts in report(done)["streams"].items()} == told
    assert [each.query.get("changed_after") for each in rest_api.asked("/all/some")] == [None, "1759999700"]
    assert (
        f"american: 3 records, 3 seen, 0 new, 0 changed, 3 unchanged, 0 tombstoned; {no_mark}"
        in here.run("import", "a").stdout
    )
    rest_api.lists["/some"] = [{"id": 7, "updated_at": None}]  # what it has been asked for since its mark
    assert "in 1 record:" in report(here.run("import", "--all", "--json"))["streams"]["some"]["note"]


def test_a_trial_counts_the_times_that_can_be_read(rest_api: RestApi, install: Callable[..., Installation]) -> None:
    times = ["2025-10-09 08:53:20 UTC", "soon", 1760000000123]
    rest_api.lists["/some"] = [{"id": number, "updated_at": time} for number, time in enumerate(times)]
    rest_api.lists["/american"] = rest_api.lists["/some"][1:2]
    here = installed(install, UNREADABLE, rest_api.url)
    shown = here.run("source", "test", "source.toml", "some")
    why = '"updated_at" is "soon", which is not a time that can be read'
    assert f"the time of change can be read in 2 of 3 records; in the others, it cannot be read: {why}" in shown.stdout
    assert "the latest change is of 2025-10-09T08:53:20.123000Z" in shown.stdout
    assert shown.code == 0
    shown = here.run("source", "test", "source.toml", "american")
    assert "the time of change can be read in 0 of 1 records" in shown.stdout
    assert "no time of change: each run would read the whole list" in shown.stdout
    assert shown.code == 1


# ---- what is odd in responses


def report(done: Any) -> dict[str, Any]:
    (run,) = done.json["imports"]["a"]
    return run


ONE = """
name = "odd"
[endpoints.items]
path = "/items"
paginator = { type = "page_number", size_parameter = "", total_pages_header = "X-Pages" }
"""


def endpoints(count: int) -> str:
    """A description whose endpoints e0, e1, … have one list each, and two pages."""
    lines = [
        'name = "odd"',
        'paginator = { type = "page_number", size_parameter = "", total_pages_header = "X-Pages" }',
    ]
    for number in range(count):
        lines += [f"[endpoints.e{number}]", f'path = "/{number}"']
    return "\n".join(lines)


ODD_RECORDS: list[tuple[bytes, set[str], str]] = [
    (b'[{"id": "a", "n": NaN}, {"id": "b"}]', {"b"}, "is not allowed in JSON"),
    (b"[" * 100_000 + b"]" * 100_000, set(), "is not an object but a list"),
    (rb'[{"id": "a", "n": "\ud800"}, {"id": "b"}]', {"b"}, "not valid JSON (half a surrogate pair)"),
    (rb'[{"id": "\ud800"}, {"id": "b"}]', {"b"}, "half a surrogate pair"),
    (b'[{"id": "a", "n": "\xff"}, {"id": "b"}]', {"b"}, "not valid UTF-8"),
    (b'[{"id": null}, {"id": "b"}]', {"b"}, "missing or null"),
    (
        b'[{}, {"id": ""}, {"id": {}}, {"id": true}, {"id": 1.5}, null, [], 7, {"id": "b"}]',
        {"b"},
        "is not an object but 7",
    ),
    (b'[{"id": "a", "n": 1}, {"id": "a", "n": 2}, {"id": "b"}]', {"a", "b"}, 'primary key "id" repeats'),
    (b'[{"id": "' + b"k" * 5000 + b'"}, {"id": "b"}]', {"b"}, "5,000 characters"),
]


def test_an_odd_record_is_set_aside_alone(rest_api: RestApi, install: Callable[..., Installation]) -> None:
    def script(request: Request) -> Answer:
        first = ODD_RECORDS[int(request.path[1:])][0]
        return Answer(first if request.query["page"] == "1" else b'[{"id": "c"}]', headers={"X-Pages": "2"})

    rest_api.script = script
    here = installed(install, endpoints(len(ODD_RECORDS)), rest_api.url)
    done = here.run("import", "--all", "--json")
    assert done.code == 3, done
    for number, (_, kept, reason) in enumerate(ODD_RECORDS):
        facts = report(done)["streams"][f"e{number}"]
        assert facts["skipped"] >= 1
        assert reason in facts["reason"]
        assert set(here.imported("a", f"e{number}", "odd")) == kept | {"c"}


ODD_PAGES = [
    (b'{"items": [{"id": "a"}]}', 'records = "@" finds an object, not a list, in the response: an object with items'),
    (b"null", "finds nothing, not a list"),
    (b'[{"id": "a"', "is not JSON"),
    (b"<html>", "is not JSON"),
]


def test_an_odd_page_is_a_dead_letter(rest_api: RestApi, install: Callable[..., Installation]) -> None:
    bodies = [*(body for body, _ in ODD_PAGES), b'[{"id": "x"}]']
    rest_api.script = lambda request: Answer(bodies[int(request.path[1:])], headers={"X-Pages": "1"})
    here = installed(install, endpoints(len(bodies)), rest_api.url, attempts=2)
    done = here.run("import", "--all", "--json")
    assert done.code == 3
    for number, (_, reason) in enumerate(ODD_PAGES):
        facts = report(done)["streams"][f"e{number}"]
        assert facts["dead"] == 1
        assert reason in facts["reason"]
    assert set(here.imported("a", f"e{len(ODD_PAGES)}", "odd")) == {"x"}
    here.assert_conserved()


def test_a_key_that_is_not_unique_below_its_parents_shows_in_the_report(
    rest_api: RestApi, install: Callable[..., Installation]
) -> None:
    tree(rest_api, 24)
    here = installed(install, TREE.replace('primary_key = ["folder", "id"]\n', ""), rest_api.url)
    done = here.run("import", "--all")
    assert done.code == 0, done
    (line,) = (line for line in done.stdout.splitlines() if "  files: " in line)
    assert "11 seen" in line
    assert "had a key that had been seen before" in line
    assert "had a key" not in done.stdout.replace(line, "")


def test_the_report_has_streams_of_which_nothing_came(rest_api: RestApi, install: Callable[..., Installation]) -> None:
    rest_api.script = lambda request: Answer([], headers={"X-Pages": "1"})
    below = '[endpoints.below]\nparent = "e0"\npath = "/{parent.id}"'
    here = installed(install, f"{endpoints(1)}\n{below}", rest_api.url)
    done = here.run("import", "--all", "--json")
    assert done.code == 0, done
    assert report(done)["complete"]
    nothing = {
        "records": 0,
        "seen": 0,
        "new": 0,
        "changed": 0,
        "unchanged": 0,
        "tombstoned": 0,
        "skipped": 0,
        "dead": 0,
    }
    for stream in ("e0", "below"):
        assert report(done)["streams"][stream] == {**nothing, "denied": False, "reason": None, "note": None}
    assert "  below: 0 records, 0 seen" in here.run("import", "--all").stdout


def test_large_and_hostile_texts_arrive_as_they_are(rest_api: RestApi, install: Callable[..., Installation]) -> None:
    table = 'x"; DROP TABLE odd_items; --'
    records = [
        {"id": table, table: "'; DELETE FROM odd_items; --", "$.a": 1, "a.b": {"'": '"'}},
        {"id": "large", "text": "x" * 10_000_000},
        {"id": 18446744073709551616, "n": 2**70},
    ]
    rest_api.lists["/items"] = records
    body = json.dumps(records).encode()[:-1] + b', {"id": "twice", "n": 1, "n": 2}]'
    rest_api.script = lambda _: Answer(body, headers={"X-Pages": "1"})
    here = installed(install, ONE, rest_api.url)
    done = here.run("import", "--all", "--json")
    assert done.code == 0, done
    expected = {str(each["id"]): each for each in records} | {"twice": {"id": "twice", "n": 2}}
    assert here.imported("a", "items", "odd") == expected


def test_a_next_page_elsewhere_is_never_asked_for(rest_api: RestApi, install: Callable[..., Installation]) -> None:
    with RestApi(lambda _: Answer({"value": [], "next": None})) as thief:
        targets = [f"{thief.url}/items", f"//{thief.url[7:]}/items", "http://[", "file:///etc/passwd"]
        description = 'name = "odd"\nauth = { type = "bearer" }\npaginator = { type = "next_url", url = "next" }\n'
        for number in range(len(targets)):
            description += f'[endpoints.e{number}]\npath = "/{number}"\nrecords = "value"\n'
        rest_api.script = lambda request: Answer({"value": [{"id": "a"}], "next": targets[int(request.path[1:])]})
        here = installed(install, description, rest_api.url, api_key={"env": "SECRET_KEY"})
        here.environment["SECRET_KEY"] = "sekret-key-1234"
        done = here.run("import", "--all", "--json")
        assert done.code == 3
        for number in range(len(targets)):
            assert "not a URL of" in report(done)["streams"][f"e{number}"]["reason"]
            assert set(here.imported("a", f"e{number}", "odd")) == {"a"}
        assert thief.requests == []


def test_an_api_that_ignores_the_page_is_told(rest_api: RestApi, install: Callable[..., Installation]) -> None:
    rest_api.script = lambda _: Answer(objects(3))
    description = 'name = "odd"\n'
    for paginator in ("offset", "page_number"):
        description += f'[endpoints.{paginator}]\npath = "/items"\npaginator = {{ type = "{paginator}" }}\n'
    here = installed(install, description, rest_api.url)
    done = here.run("import", "--all", "--json")
    assert done.code == 3
    for stream in ("offset", "page_number"):
        assert "has the same records as the one before" in report(done)["streams"][stream]["reason"]
    assert len(rest_api.requests) <= 7  # an API may ignore an offset that is no multiple of the size alone


def test_a_cursor_that_leads_round_ends(rest_api: RestApi, install: Callable[..., Installation]) -> None:
    following = {None: "a", "a": "b", "b": "a"}
    rest_api.script = lambda request: Answer({"data": objects(2), "next": following[request.query.get("from")]})
    description = 'name = "odd"\n[endpoints.items]\npath = "/items"\nrecords = "data"\n'
    description += 'paginator = { type = "cursor_in_body", cursor = "next", parameter = "from" }\n'
    here = installed(install, description, rest_api.url)
    done = here.run("import", "--all", "--json")
    assert done.code == 3
    assert "repeated" in report(done)["streams"]["items"]["reason"]
    assert len(rest_api.requests) == 3


def test_a_parent_that_comes_twice_is_asked_below_once(rest_api: RestApi, install: Callable[..., Installation]) -> None:
    expected = tree(rest_api, 15)
    folders = rest_api.lists["/folders"]
    assert isinstance(folders, list)
    folders.append(folders[0])  # as when a list is changed while it is paged
    folders.append({"id": None, "info": {}, "number": 3})
    folders.append({"id": "..", "info": {}, "number": 3})
    here = installed(install, TREE, rest_api.url)
    done = here.run("import", "--all", "--json")
    assert done.code == 3
    assert "leads elsewhere" in report(done)["streams"]["files"]["reason"]
    assert here.imported("a", "files", "tree") == expected["files"]
    assert len(rest_api.asked("/link/folders/f0/files")) == 1


# ---- errors, limits, credentials

RULES = """
name = "rules"
errors = [{ status = [403, 429], header = "X-Left", equals = "0", action = "throttle", wait_header = "X-Reset" }]
[endpoints.parents]
path = "/parents"
[endpoints.gone]
parent = "parents"
path = "/parents/{parent.id}/gone"
errors = [{ status = 404, action = "empty" }]
[endpoints.aside]
parent = "parents"
path = "/parents/{parent.id}/aside"
errors = [{ status = 404, action = "skip" }]
[endpoints.flaky]
parent = "parents"
path = "/parents/{parent.id}/flaky"
errors = [{ status = 404, action = "retry" }]
[endpoints.lies]
path = "/lies"
records = "items"
errors = [{ status = 200, body = "error", action = "retry" }]
[endpoints.slow]
path = "/slow"
"""


def test_errors_mean_what_the_description_says(rest_api: RestApi, install: Callable[..., Installation]) -> None:
    seen: dict[str, int] = {}

    def script(request: Request) -> Answer:
        seen[request.path] = first = seen.get(request.path, 0) + 1
        match request.path.split("/")[1:]:
            case ["parents"]:
                return Answer([{"id": 1}, {"id": 2}])
            case ["lies"]:
                return Answer({"error": "busy"} if first == 1 else {"items": [{"id": 1}]})
            case ["slow"] if first == 1:
                return Answer({}, 403, {"X-Left": "0", "X-Reset": "1"})
            case ["slow"]:
                return Answer([{"id": 1}])
            case ["parents", _, "flaky"] if first == 3:
                return Answer([{"id": request.path}])
        return Answer({"message": "there is none"}, 404)

    rest_api.script = script
    here = installed(install, RULES, rest_api.url)
    done = here.run("import", "--all", "--json")
    assert done.code == 3, done
    streams = report(done)["streams"]
    assert streams["aside"]["skipped"] == 2
    assert streams["gone"]["seen"] == streams["gone"]["skipped"] == 0
    assert set(here.imported("a", "flaky", "rules")) == {"/parents/1/flaky", "/parents/2/flaky"}
    assert report(done)["throttled"] == 1
    first, second = (each.at for each in rest_api.asked("/slow"))
    assert second - first >= 1.0


@pytest.mark.alone
def test_an_endpoints_concurrency_limits_and_cost_hold(rest_api: RestApi, install: Callable[..., Installation]) -> None:
    description = """
name = "busy"
[endpoints.parents]
path = "/all/parents"
[endpoints.single]
parent = "parents"
path = "/all/parents/{parent.id}/single"
concurrency = 1
[endpoints.limited]
parent = "parents"
path = "/all/parents/{parent.id}/limited"
limits = "10/second"
cost = 5
"""
    import threading

    now, most = 0, 0
    lock, hold = threading.Lock(), threading.Event()

    def script(request: Request) -> None:
        nonlocal now, most
        if not request.path.endswith("/single"):
            return
        with lock:
            now += 1
            most = max(most, now)
        hold.wait(0.02)
        with lock:
            now -= 1

    rest_api.script = script
    rest_api.lists["/parents"] = objects(8)
    for name in ("single", "limited"):
        rest_api.lists[f"/parents/*/{name}"] = lambda parent: [{"id": parent}]
    here = installed(install, description, rest_api.url)
    assert here.run("import", "--all").code == 0
    assert most == 1
    limited = sorted(each.at for each in rest_api.requests if each.path.endswith("/limited"))
    assert len(limited) == 8
    assert limited[-1] - limited[0] >= 3.0  # 8 tasks of 5 at 10 a second, the first pair at once


def oauth(api: RestApi, *, seconds: int = 3600) -> Callable[[Request], Answer | None]:
    """Tokens t1, t2, …; only those in `good` are accepted."""
    tokens: list[str] = []

    def script(request: Request) -> Answer | None:
        if request.path == "/oauth/token":
            tokens.append(f"t{len(tokens) + 1}-0123456789")
            return Answer({"access_token": tokens[-1], "token_type": "Bearer", "expires_in": seconds})
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        return None if given in script.good(tokens) else Answer({"error": "invalid_token"}, 401)  # type: ignore[attr-defined]

    script.good = lambda tokens: tokens  # type: ignore[attr-defined]
    script.tokens = tokens  # type: ignore[attr-defined]
    api.script = script
    return script


OAUTH = TREE + '[auth]\ntype = "oauth2"\ntoken_url = "/oauth/token"\nscope = "read"\n'


def test_a_token_is_asked_for_once_and_renewed_when_it_ends(
    rest_api: RestApi, install: Callable[..., Installation]
) -> None:
    expected = tree(rest_api, 30)
    script: Any = oauth(rest_api)
    uses: dict[str, int] = {}

    def good(tokens: list[str]) -> list[str]:
        uses[tokens[-1]] = uses.get(tokens[-1], 0) + 1
        return tokens[-1:] if uses[tokens[-1]] <= 12 or len(tokens) >= 3 else []

    script.good = good
    # Requests with the old token that are still on their way count as uses of the new one: fewer than 12.
    here = installed(install, OAUTH, rest_api.url, api_key={"env": "CLIENT"}, attempts=50, concurrency=8)
    here.environment["CLIENT"] = "client:s3cr3t+value"
    done = here.run("import", "--all", "--json")
    assert done.code == 0, done
    for stream, records in expected.items():
        assert here.imported("a", stream, "tree") == records
    assert len(script.tokens) == 3
    (asked, *_) = rest_api.asked("/oauth/token")
    assert asked.method == "POST"
    assert b"grant_type=client_credentials" in asked.body
    assert b"scope=read" in asked.body
    for file in [*here.state_dir.iterdir(), here.sink_path]:
        if file.is_file():
            assert not {b"s3cr3t", b"0123456789"} & {
                each for each in (b"s3cr3t", b"0123456789") if each in file.read_bytes()
            }
    assert "s3cr3t" not in done.stderr + done.stdout


def test_a_new_token_that_is_refused_pauses_the_account(
    rest_api: RestApi, install: Callable[..., Installation]
) -> None:
    script: Any = oauth(rest_api)
    script.good = lambda tokens: []
    here = installed(install, OAUTH, rest_api.url, api_key={"env": "CLIENT"})
    here.environment["CLIENT"] = "client:s3cr3t+value"
    done = here.run("import", "--all", "--json")
    assert done.code == 1
    assert "401" in report(done)["paused"]
    assert report(done)["dead"] == 0
    script.good = lambda tokens: tokens
    tree(rest_api, 3)
    assert here.run("import", "--all").code == 0


def test_a_key_in_the_query_is_kept_out_of_everything(rest_api: RestApi, install: Callable[..., Installation]) -> None:
    description = WAYS.replace('name = "things"', 'name = "things"\nauth = { type = "query", name = "api_key" }')
    rest_api.lists["/items"] = objects(30)
    rest_api.script = lambda request: (
        None if request.query.get("api_key") == "sekret-1234" else Answer({"message": f"bad {request.query}"}, 401)
    )
    here = installed(install, description, rest_api.url, api_key={"env": "KEY"})
    here.environment["KEY"] = "sekret-1234"
    here.config["daemon"]["drain_seconds"] = 0
    command = here.start("import", "--all", "--json")
    until(lambda: len(rest_api.requests) > 3)
    command.send(signal.SIGINT)
    command.finish()
    files = [file.read_bytes() for file in here.state_dir.iterdir() if file.is_file()]
    assert not any(b"sekret" in content for content in files)
    assert here.run("import", "--all").code == 0
    assert len(here.imported("a", "link", "things")) == 30
    shown = here.run("source", "test", "source.toml", "link")
    assert shown.code == 0
    assert "next page: GET" in shown.stdout
    assert "sekret" not in shown.stdout + shown.stderr


@pytest.mark.parametrize("auth", ["bearer", "oauth2"])
def test_credentials_that_a_200_refuses_pause_the_account(
    auth: str, rest_api: RestApi, install: Callable[..., Installation]
) -> None:
    description = f"""
name = "things"
auth = {{ type = "{auth}"{', token_url = "/oauth/token"' if auth == "oauth2" else ""} }}
errors = [{{ status = 200, body = "!ok && error", action = "pause" }}]
[endpoints.items]
path = "/items"
records = "items"
"""
    refused = Answer({"ok": False, "error": "invalid_auth: s3cr3t+value"})
    good = Answer({"ok": True, "items": [{"id": 1}]})
    answers = [refused]

    def script(request: Request) -> Answer:
        return Answer({"access_token": "0123456789"}) if request.method == "POST" else answers[-1]

    rest_api.script = script
    here = installed(install, description, rest_api.url, api_key={"env": "CLIENT"})
    here.environment["CLIENT"] = "client:s3cr3t+value"
    done = here.run("import", "--all", "--json")
    assert done.code == 1
    assert "by the description: pause, !ok && error: invalid_auth: " in report(done)["paused"]
    assert report(done)["dead"] == report(done)["retried"] == 0
    if auth == "oauth2":
        assert "s3cr3t" not in done.stdout + done.stderr
    answers.append(good)
    assert here.run("import", "--all").code == 0
    assert set(here.imported("a", "items", "things")) == {"1"}


# ---- tombstones

SHELVES = """
name = "library"
[endpoints.shelves]
path = "/all/shelves"
tombstones = true
errors = [{ status = 418, action = "skip" }]
[endpoints.books]
parent = "shelves"
path = "/all/shelves/{parent.id}/books"
parameters = { room = "{parent.room}" }
tombstones = true
[endpoints.loans]
path = "/all/loans"
tombstones = true
incremental = { field = "updated_at", parameter = "since" }
[endpoints.notes]
path = "/all/notes"
"""


def alive(here: Installation, stream: str) -> set[str]:
    table = f"library_{stream}"
    return {key for (key,) in here.select(f"SELECT id FROM {table} WHERE deleted_at IS NULL", path=here.sink_path)}


def library(api: RestApi, *, shelves: str, books: dict[str, str]) -> None:
    api.lists["/shelves"] = [{"id": each, "room": 1} for each in shelves]
    api.lists["/shelves/*/books"] = lambda shelf: [{"id": f"{shelf}{each}"} for each in books.get(shelf, "")]


def test_what_a_whole_list_has_no_more_gets_a_tombstone(
    rest_api: RestApi, install: Callable[..., Installation]
) -> None:
    library(rest_api, shelves="abc", books={"a": "12", "b": "1", "c": "1"})
    rest_api.lists["/loans"] = [change(number, number) for number in range(5)]
    rest_api.lists["/notes"] = objects(3)
    here = installed(install, SHELVES, rest_api.url)
    done = here.run("import", "--all", "--json")
    assert done.code == 0, done
    assert alive(here, "books") == {"a1", "a2", "b1", "c1"}

    library(rest_api, shelves="ac", books={"a": "23", "c": ""})
    rest_api.lists["/loans"] = rest_api.lists["/loans"][3:]  # type: ignore[index]
    rest_api.lists["/notes"] = objects(1)
    done = here.run("import", "--all", "--json")
    assert done.code == 0, done
    assert alive(here, "shelves") == {"a", "c"}
    assert alive(here, "books") == {"a2", "a3"}
    assert len(alive(here, "loans")) == 5  # only changes were asked for
    assert len(alive(here, "notes")) == 3  # not said to be complete
    streams = report(done)["streams"]
    assert (streams["books"]["new"], streams["books"]["tombstoned"], streams["shelves"]["tombstoned"]) == (1, 3, 1)
    assert here.run("import", "--all", "--full").code == 0
    assert alive(here, "loans") == {"3", "4"}
    here.assert_conserved()


@pytest.mark.parametrize("trouble", ["dead page below", "skipped page", "unfit parent", "odd record", "no key"])
def test_nothing_is_taken_for_deleted_where_something_was_not_read(
    trouble: str, rest_api: RestApi, install: Callable[..., Installation]
) -> None:
    library(rest_api, shelves="ab", books={"a": "12", "b": "1"})
    rest_api.lists["/loans"], rest_api.lists["/notes"] = [], []
    here = installed(install, SHELVES, rest_api.url, streams=("shelves", "books"))
    assert here.run("import", "--all").code == 0

    def script(request: Request) -> Answer | None:
        shelves = request.path == "/all/shelves"
        if trouble == "dead page below" and request.path == "/all/shelves/a/books":
            return Answer({}, 400)
        if trouble == "skipped page" and shelves:
            return Answer({}, 418)
        if trouble == "unfit parent" and shelves:
            return Answer([{"id": "a", "room": {}}, {"id": "b", "room": 1}])
        if trouble == "odd record" and shelves:
            return Answer(b'[{"id": "a", "room": 1, "size": NaN}, {"id": "b", "room": 1}]')
        if trouble == "no key" and shelves:
            return Answer([{"room": 1}, {"id": "b", "room": 1}])
        return None

    rest_api.script = script
    done = here.run("import", "--all", "--json")
    assert alive(here, "shelves") == {"a", "b"}
    assert alive(here, "books") == {"a1", "a2", "b1"}
    assert done.code == {"skipped page": 1}.get(trouble, 3)
    rest_api.script = lambda _: None
    library(rest_api, shelves="ab", books={"a": "1", "b": "1"})
    if trouble in ("dead page below", "skipped page"):
        assert here.run("dead", "retry", "--all", "--yes").code == 0
    assert here.run("import", "--all").code == 0
    assert alive(here, "books") == {"a1", "b1"}


def test_a_list_that_moves_too_much_to_be_compared_is_complete_and_says_so(
    rest_api: RestApi, install: Callable[..., Installation]
) -> None:
    """Its first reading came to its end, so nothing is missing."""
    description = """
name = "library"
[endpoints.books]
path = "/offset/books"
records = "items"
paginator = { type = "offset", total = "total", size = 10 }
tombstones = true
"""
    rest_api.lists["/books"] = objects(25)
    here = installed(install, description, rest_api.url)
    assert here.run("import", "--all").code == 0
    rest_api.lists["/books"] = objects(15)
    before = len(rest_api.requests)

    def script(request: Request) -> Answer | None:
        return Answer({"items": [], "total": 15}) if len(rest_api.requests) > before + 2 else None

    rest_api.script = script
    done = here.run("import", "--all", "--json")
    assert done.code == 0, done
    facts = report(done)["streams"]["books"]
    assert report(done)["complete"]
    assert (facts["tombstoned"], facts["skipped"]) == (0, 0)
    assert facts["reason"].startswith("not compared: the list moved while it was read: ")
    assert len(alive(here, "books")) == 25
    before = len(rest_api.requests)
    assert "(not compared: the list moved" in here.run("import", "--all").stdout
    rest_api.script = lambda _: None
    assert here.run("import", "--all").code == 0
    assert len(alive(here, "books")) == 15


def test_a_sweep_that_is_killed_ends_exact(rest_api: RestApi, install: Callable[..., Installation]) -> None:
    library(rest_api, shelves="abcdefgh", books=dict.fromkeys("abcdefgh", "123456789"))
    rest_api.lists["/loans"], rest_api.lists["/notes"] = [], []
    here = installed(install, SHELVES, rest_api.url)
    assert here.run("import", "--all").code == 0
    library(rest_api, shelves="bcdefgh", books=dict.fromkeys("bcdefgh", "1234"))
    for more in (1, 4, 7, 9):  # of some 10 requests
        command, before = here.start("import", "--all", "--allow-shrink"), len(rest_api.requests)
        until(
            lambda before=before, more=more, command=command: (
                len(rest_api.requests) >= before + more or not command.running
            )
        )
        command.kill()
    assert here.run("import", "--all", "--allow-shrink").code == 0
    assert alive(here, "shelves") == set("bcdefgh")
    assert alive(here, "books") == {f"{shelf}{book}" for shelf in "bcdefgh" for book in "1234"}
    here.assert_conserved()
