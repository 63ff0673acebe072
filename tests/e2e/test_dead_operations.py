"""Retrying and dropping what matches: counted, agreed to, and carried out once, by a daemon or without one."""

from __future__ import annotations

import json
import re
import signal
import stat
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest
import requests
from persistqueue import SQLiteAckQueue
from persistqueue.serializers import json as as_json
from support.installation import NO_LIMITS, Installation, until

from crawlerd.core.errors import FrontierError
from crawlerd.service.control import Asked, must_ask

if TYPE_CHECKING:
    from collections.abc import Callable

# Tasks that make no request. What fails is said by files: of a name that is there, nothing can be done.
DEPOT = """
source = Source("depot", base_url="http://127.0.0.1:9", streams=["boxes", "bags"])

@dataclass(frozen=True)
class Start(TaskArgs, kind="depot.start"):
    stream: str
    count: int

@dataclass(frozen=True)
class Box(TaskArgs, kind="depot.box"):
    number: int

@dataclass(frozen=True)
class Bag(TaskArgs, kind="depot.bag"):
    number: int

@source.starts
def starts(plan):
    return [Start(stream, int(Path("count").read_text())) for stream in plan.streams]

@source.handles(Start, cost=0)
def start(api, args):
    for number in range(args.count):
        yield (Box if args.stream == "boxes" else Bag)(number)

@source.handles(Box, cost=0, stream="boxes")
def box(api, args):
    if Path("no-boxes").exists():
        raise Permanent(f"no box {args.number} in aisle 'A{args.number}'")
    yield Record("boxes", str(args.number), {"number": args.number})

@source.handles(Bag, cost=0, stream="bags")
def bag(api, args):
    if Path("no-bags").exists():
        raise Denied(f"bag {args.number} is locked")
    yield Record("bags", str(args.number), {"number": args.number})
"""


@pytest.fixture
def depot(install: Callable[..., Installation]) -> Installation:
    here = install(accounts=0)
    here.add_source("depot", DEPOT)
    here.environment["DEPOT_KEY"] = "sk_depot"
    here.config["accounts"] = {"d": {**NO_LIMITS, "source": "depot", "api_key": {"env": "DEPOT_KEY"}}}
    here.config["imports"] = {"things": {"account": "d", "sink": "sink", "streams": ["*"]}}
    for name in ("no-boxes", "no-bags"):
        (here.folder / name).touch()
    (here.folder / "count").write_text("20")
    return here


def mended(here: Installation, *names: str) -> None:
    for name in names:
        (here.folder / f"no-{name}").unlink()


def all_pages(asked: Asked, path: str, items: str) -> list[list[Any]]:
    found: list[list[Any]] = []
    page: dict[str, Any] = {"next": ""}
    while page["next"] is not None:
        after = f"{'&' if '?' in path else '?'}after={page['next']}" if found else ""
        page = must_ask(asked, "GET", path + after, dict[str, Any])
        found.append(page[items])
    assert len({each.get("id", each.get("group")) for page in found for each in page}) == sum(map(len, found))
    return found


def test_without_a_daemon_a_filter_is_counted_agreed_to_and_done(depot: Installation) -> None:
    assert depot.run("import", "things").code == 3
    boxes, bags = sorted(depot.run("dead", "groups", "--json").json, key=lambda each: each["kind"], reverse=True)
    assert (boxes["kind"], boxes["letters"], boxes["message"]) == ("depot.box", 20, "no box * in aisle *")
    assert (bags["kind"], bags["letters"], bags["error_class"]) == ("depot.bag", 20, "Denied")
    assert "20       1        depot.box" in depot.run("dead", "groups").stdout

    refused = depot.run("dead", "retry", "--group", boxes["group"])
    assert (refused.code, refused.stdout) == (2, "")
    assert f"this would retry 20 dead letters (group {boxes['group']}): confirm with --yes" in refused.stderr
    assert depot.run("dead", "retry", "--group", "none").stdout == "no dead letters match (group none)\n"
    unknown = depot.run("dead", "retry", "--import", "nobody")
    assert unknown.code == 1
    assert "import nobody has not run yet, or does not exist" in unknown.stderr
    dry = depot.run("dead", "retry", "--stream", "boxes", "--error", "AISLE 'a1", "--dry-run")
    assert dry.stdout.startswith("11 dead letters match")  # A1, and A10 to A19
    assert depot.run("operations").stdout == "there were no operations\n"
    assert depot.run("dead", "list", "--stream", "boxes", "--json").json[0]["group"] == boxes["group"]

    mended(depot, "boxes", "bags")
    done = depot.run("dead", "retry", "--group", boxes["group"], "--yes", "--json")
    assert done.code == 0
    assert (done.json["state"], done.json["total"], done.json["done"]) == ("done", 20, 20)
    assert "run `crawlerd import things`" in done.stderr
    assert depot.run("import", "things").code == 3
    assert len(depot.imported("d", "boxes", "depot")) == 20
    assert [each["kind"] for each in depot.run("dead", "groups", "--json").json] == ["depot.bag"]

    nobody = depot.run("dead", "drop", "--kind", "depot.bag", "--yes")
    assert (nobody.code, nobody.stdout) == (2, "")
    assert "--reason" in nobody.stderr
    dropped = depot.run("dead", "drop", "--kind", "depot.bag", "--yes", "--reason", "nobody has the key")
    assert dropped.stdout == "20 dead letters were dropped\n"
    assert depot.run("dead", "list").stdout == "no dead letters\n"
    assert depot.run("status", "--json").json["runs"][0]["state"] == "completed with dead letters"
    acts = [(each["act"], each["detail"], each["count"]) for each in depot.run("audit", "--json").json]
    assert acts == [
        ("retry", f"group {boxes['group']}", 20),
        ("drop", "kind depot.bag: nobody has the key", 20),
    ]
    depot.assert_conserved()


def test_a_terminal_is_asked(depot: Installation) -> None:
    assert depot.run("import", "things").code == 3
    terminal = depot.start_on_terminal("dead", "retry", "--stream", "boxes")
    until(lambda: "Retry 20 dead letters (stream boxes)? [y/N]" in terminal.stderr)
    terminal.press(b"n\n")
    assert terminal.finish().code == 1
    assert "nothing was changed" in terminal.stderr
    terminal = depot.start_on_terminal("dead", "drop", "--stream", "boxes")
    until(lambda: "Why are they dropped?" in terminal.stderr)
    terminal.press(b"too old\n")
    until(lambda: "Drop 20 dead letters (stream boxes)?" in terminal.stderr)
    terminal.press(b"y\n")
    assert terminal.finish().code == 0
    assert [each["reason"] for each in depot.run("operations", "--json").json] == ["too old"]
    assert {each["stream"] for each in depot.run("dead", "list", "--json").json} == {"bags"}


@pytest.mark.parametrize("kills", [1])
def test_a_daemon_goes_on_after_kills_and_does_what_was_confirmed_and_no_more(depot: Installation, kills: int) -> None:
    (depot.folder / "count").write_text("2500")
    assert depot.run("import", "things").code == 3
    mended(depot, "boxes")
    daemon = depot.start("run")
    daemon.says("/metrics")
    begun = depot.run("dead", "retry", "--stream", "boxes", "--yes", "--no-wait", "--json").json
    assert (begun["total"], begun["state"]) == (2500, "running")
    before = 0
    for _ in range(kills):
        until(lambda: progress(depot) > before)  # noqa: B023 - awaited here
        daemon.kill()
        before = min(progress(depot), 2499)
        daemon = depot.start("run")
    until(lambda: depot.run("operations", "--json").json[0]["state"] == "done", 60)
    until(lambda: depot.states() == ["completed with dead letters"], 60)
    (operation,) = depot.run("operations", "--json").json
    assert (operation["seen"], operation["done"]) == (2500, 2500)
    assert len(depot.imported("d", "boxes", "depot")) == 2500
    (left,) = depot.run("dead", "groups", "--json").json
    assert (left["kind"], left["letters"]) == ("depot.bag", 2500)
    assert depot.select("SELECT count(*), sum(count) FROM audit WHERE act = 'retry'") == [(1, 2500)]

    # what has died since is not meant, and neither is what dies again
    again = depot.run("dead", "retry", "--all", "--yes", "--json").json
    assert (again["state"], again["done"]) == ("done", 2500)
    until(lambda: depot.states() == ["completed with dead letters"], 60)
    assert depot.run("dead", "groups", "--json").json[0]["letters"] == 2500
    daemon.send(signal.SIGTERM)
    assert daemon.finish().code == 0
    depot.assert_conserved()


def progress(here: Installation) -> int:
    return int(here.select("SELECT sum(seen) FROM operation")[0][0])


def test_an_operation_is_cancelled_and_the_rest_stays(depot: Installation) -> None:
    (depot.folder / "count").write_text("2500")
    assert depot.run("import", "things").code == 3
    daemon = depot.start("run")
    daemon.says("/metrics")
    begun = depot.run("dead", "drop", "--all", "--yes", "--reason", "old", "--no-wait", "--json").json
    ended = depot.run("operations", "cancel", str(begun["id"]))
    (operation,) = depot.run("operations", "--json").json
    if ended.code == 0:  # it may have ended before
        assert operation["state"] == "cancelled"
        assert f"operation {begun['id']} is cancelled; {operation['done']:,} of 5,000" in ended.stdout
    else:
        assert f"operation {begun['id']} has ended already: done" in ended.stderr
    left = depot.run("status", "--json").json["dead"]
    assert left + operation["done"] == 5000
    assert depot.run("operations", "cancel", "99").code == 1
    daemon.send(signal.SIGTERM)
    assert daemon.finish().code == 0
    assert (
        depot.run("dead", "retry", "--run", "1", "--dry-run", "--json").stdout
        == json.dumps({"count": left}).replace(" ", "") + "\n"
    )
    depot.assert_conserved()


def test_the_socket_refuses_what_it_does_not_understand(depot: Installation) -> None:
    """Rather than taking it for all letters."""
    assert depot.run("import", "things").code == 3
    daemon = depot.start("run")
    daemon.says("/metrics")
    asked = Asked(depot.state_dir)
    for body in (
        {"filters": {"stream": "boxes"}},
        {"filter": {"streams": "boxes"}},
        {"filter": {"stream": ""}},
        {"filter": {"run": -1}},
        {"filter": {"ids": [10**30]}},
        {"filter": {"stream": "boxes"}, "expect": 10},  # there are 20
        [],
    ):
        with pytest.raises(FrontierError):
            must_ask(asked, "POST", "dead/retry", object, body)
    with pytest.raises(FrontierError, match="give a reason"):
        must_ask(asked, "POST", "dead/drop", object, {"filter": {"stream": "boxes"}})
    for path, items, pages in (
        ("dead?stream=boxes&error=aisle&limit=15", "letters", [15, 5]),
        ("dead/newest?stream=boxes&limit=15", "letters", [15, 5]),
        ("dead/groups?limit=1", "groups", [1, 1]),
        ("dead/groups?run=1&limit=1", "groups", [1, 1]),
        ("dead/groups?run=9", "groups", [0]),
    ):
        assert list(map(len, all_pages(asked, path, items))) == pages, path
    assert depot.run("operations").stdout == "there were no operations\n"
    done = must_ask(asked, "POST", "dead/retry", dict[str, object], {"filter": {"ids": [999]}, "expect": 0})
    assert done["total"] == 0
    assert must_ask(asked, "GET", f"operations/{done['id']}", dict[str, object])["filter"] == {"ids": [999]}


def test_letters_go_to_other_programs_and_come_back(depot: Installation) -> None:
    assert depot.run("import", "things").code == 3
    boxes = depot.run("dead", "list", "--stream", "boxes", "--json").json
    folder = depot.folder / "letters"
    assert depot.run("dead", "export", str(folder)).code == 2
    assert depot.run("dead", "export", str(folder), "--stream", "none").stdout == "no dead letters match\n"
    assert depot.run("dead", "export", str(folder), "--all", "--dry-run").stdout.startswith("40 dead letters match")
    assert not folder.exists()
    done = depot.run("dead", "export", str(folder), "--stream", "boxes")
    assert (done.code, done.stdout) == (0, f"20 dead letters were put into {folder}\n")
    assert stat.S_IMODE((folder / "data.db").stat().st_mode) == 0o600
    assert len(depot.run("dead", "list", "--json").json) == 40  # they stay

    # another program, with the library alone: it keeps two, edits one, and adds what is none
    queue = SQLiteAckQueue(str(folder), serializer=as_json)
    items = [queue.get(block=False) for _ in range(20)]
    for item in items:
        queue.ack(item)
    assert [{**item, "history": []} for item in items] == boxes
    assert items[0]["history"][0]["error"] == boxes[0]["error"]
    for item in [*items[3:], {**items[2], "payload": '{"number":77}'}, {"id": "1"}, [], {"id": 99_999}]:
        queue.put(item)
    queue.put(items[3])  # once more
    queue.close()
    mended(depot, "boxes")
    back = depot.run("dead", "import", str(folder))
    assert back.code == 1
    assert "17 dead letters are ready again; 4 items were refused" in back.stdout
    assert f"dead letter {items[2]['id']}, or was edited: its `payload` differs" in back.stderr
    assert "there is no dead letter 99999 any more" in back.stderr
    assert depot.run("dead", "import", str(folder)).stdout == "0 dead letters are ready again\n"
    queue = SQLiteAckQueue(str(folder), serializer=as_json)
    assert (queue.acked_count(), queue.ack_failed_count()) == (20 + 18, 4)
    queue.close()
    assert depot.run("import", "things").code == 3
    assert len(depot.imported("d", "boxes", "depot")) == 17
    assert depot.run("dead", "import", str(depot.folder / "nothing")).code == 1
    assert not (depot.folder / "nothing").exists()
    depot.assert_conserved()


def test_one_kind_of_failure_is_retried_from_the_page_while_another_stays(depot: Installation) -> None:
    depot.config["daemon"]["listen"] = "127.0.0.1:0"
    assert depot.run("import", "things").code == 3
    daemon = depot.start("run")
    root = daemon.says(r"(http://127\.0\.0\.1:\d+)/")[1]
    boxes = next(each for each in depot.run("dead", "groups", "--json").json if each["kind"] == "depot.box")
    with requests.Session() as browser:
        browser.headers["Origin"] = root

        def linked(text: str, start: str, *parts: str) -> str:
            links = [unescape(link) for link in re.findall(r'href="([^"]*)"', text)]
            return next(each for each in links if each.startswith(start) and all(part in each for part in parts))

        def sent(path: str, text: str, **more: str) -> requests.Response:
            found = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', text)
            fields = {name: unescape(value) for name, value in found}
            return browser.post(root + path, {**fields, **more})

        listed = browser.get(f"{root}/dead?import=things").text
        assert "40 dead letters, of 2 kinds of failure" in listed
        asked = browser.get(root + linked(listed, "/dead/retry", f"group={boxes['group']}", "import=things")).text
        assert "Retry 20 dead letters?" in asked
        mended(depot, "boxes")
        back = sent("/dead/retry", asked, reason="the shelf is filled")
        assert back.url.startswith(f"{root}/dead?import=things&note=")
        assert "Operation 1 retries 20 dead letters" in back.text
        until(lambda: "20 of 20 dead letters retried" in browser.get(f"{root}/operations/1").text)
        until(lambda: len(depot.imported("d", "boxes", "depot")) == 20)
        left = browser.get(f"{root}/dead?import=things").text
        assert "20 dead letters, of 1 kind of failure: Denied: bag * is locked" in left
        assert "import things, group " in browser.get(f"{root}/audit?act=retry").text

        # what was seen has grown by more than a tenth since
        asked = browser.get(f"{root}/dead/drop?kind=depot.bag&back=%2Fdead%3Fkind%3Ddepot.bag").text
        refused = sent("/dead/drop", asked, reason="no key", expect="10")
        assert refused.status_code == 409
        assert "20 dead letters match now, 10 letters were expected: look again" in refused.text
        assert '<a href="/dead?kind=depot.bag">Back</a>' in refused.text
        # a form of another site does nothing
        evil = browser.post(f"{root}/dead/drop", {"reason": "r", "kind": "depot.bag"}, headers={"Origin": "http://a.b"})
        assert evil.status_code == 403

        account = browser.get(f"{root}/accounts/d").text
        asking = browser.get(root + linked(account, "/pause", "kind=account")).text
        paused = sent("/pause/account/d", asking, reason="they move their shelves")
        assert "Account d is paused." in paused.text
        assert "they move their shelves" in browser.get(f"{root}/accounts?reason=paused").text
        assert "they move their shelves" in depot.run("why", "account", "d").stdout
        assert "Account d is resumed." in sent("/resume/account/d", paused.text).text
    daemon.send(signal.SIGTERM)
    assert daemon.finish().code == 0
