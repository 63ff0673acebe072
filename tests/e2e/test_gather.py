"""Tasks for other accounts, groups and import options, with real workers, servers and kills."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from support.installation import NO_LIMITS, Installation, until
from support.relay import Answer, Relay

if TYPE_CHECKING:
    from collections.abc import Callable

# A source of another account, and one that has no work but for that account.
DEPOT = """
source = Source("depot", auth=lambda key: {"Authorization": f"Bearer {key}"})

@dataclass(frozen=True)
class WhoAmI(TaskArgs, kind="depot.who"):
    pass

@source.guards(WhoAmI())
def who(api, args):
    yield Identity(api.get("/who")["id"])

@dataclass(frozen=True)
class Fetch(TaskArgs, kind="depot.fetch"):
    number: int

@source.handles(Fetch)
def fetch(api, args):
    api.get(f"/things/{args.number}")
    yield Record("things", str(args.number), {})
"""
SHOP = """
import msgspec
from depot_source import Fetch

class Options(msgspec.Struct):
    store: str
    count: int = 30

    def accounts(self):
        return [self.store]

source = Source("shop", base_url="http://127.0.0.1:9", streams=["things"], import_options=Options)

@dataclass(frozen=True)
class Start(TaskArgs, kind="shop.start"):
    store: str
    count: int

@source.starts
def starts(plan):
    yield Start(plan.options.store, plan.options.count)

@source.handles(Start)
def start(api, args):
    for number in range(args.count):
        yield ForAccount(args.store, Fetch(number))
"""


def answer(path: str) -> Answer:
    return Answer(200, json.dumps({"id": "d1"}).encode())


def shop_and_depot(here: Installation, url: str) -> dict[str, Any]:
    """Installs both; returns the depot's account, which is named d."""
    here.add_source("depot", DEPOT)
    here.add_source("shop", SHOP)
    here.environment["DEPOT_KEY"] = "sk_depot"
    depot = {**NO_LIMITS, "source": "depot", "base_url": url, "api_key": {"env": "DEPOT_KEY"}}
    here.config["accounts"] = {"shop": {"source": "shop", "limits": ["3/hour"], "smooth": False}, "d": depot}
    here.config["imports"] = {"shop": {"account": "shop", "sink": "sink", "streams": ["*"], "store": "d"}}
    return depot


def test_a_task_for_another_account_has_its_limits_its_key_and_its_server(install: Callable[..., Installation]) -> None:
    """Under the limit of the account that asks for them, these would take ten hours."""
    with Relay("", answer) as relay:
        here = install(accounts=0)
        shop_and_depot(here, relay.url)["limits"] = ["20/second"]
        done = here.run("import", "shop", "--json")
        seen = sorted(each for each in relay.seen if each.path != "/who")
    assert done.code == 0, done.stderr
    assert relay.of("/who")[0] == relay.seen[0]  # the guard was there first
    assert {each.key for each in relay.seen} == {"Bearer sk_depot"}
    assert sorted(each.path for each in seen) == sorted(f"/things/{number}" for number in range(30))
    arrived = sorted(each.arrived for each in relay.seen)
    assert all(later - earlier >= 1.0 for earlier, later in zip(arrived, arrived[20:], strict=False))
    assert len(here.imported("shop", "things", source="shop")) == 30  # the run's own source and account
    assert here.run("frontier", "check").code == 0


def test_an_account_that_is_not_configured_is_told_before_anything_starts(install: Callable[..., Installation]) -> None:
    here = install(accounts=0)
    shop_and_depot(here, "http://127.0.0.1:1")
    here.config["imports"]["shop"]["store"] = "e"
    done = here.run("import", "shop")
    assert done.code == 78
    assert "crawlerd.toml:22: imports.shop.store: there is no [accounts.e]; known: d, shop" in done.stderr


def test_a_borrowed_account_that_is_refused_holds_only_its_own_tasks_and_goes_on_later(
    install: Callable[..., Installation],
) -> None:
    right = False
    with Relay("", lambda path: answer(path) if right else Answer(401)) as relay:
        here = install(accounts=0)
        shop_and_depot(here, relay.url)
        done = here.run("import", "shop")
        assert done.code == 1
        assert "account d is refused: Unauthorized: HTTP 401" in done.stdout
        assert [each.path for each in relay.seen] == ["/who"]
        assert here.select("SELECT done, open, dead FROM run") == [(1, 30, 0)]
        right = True
        assert here.run("import", "shop").code == 0
        assert [each.path for each in relay.seen[:3]].count("/who") == 2  # checked again before it is used
    assert len(here.imported("shop", "things", source="shop")) == 30


def test_an_account_that_is_borrowed_and_no_longer_there_is_told(install: Callable[..., Installation]) -> None:
    with Relay("", lambda path: Answer(401)) as relay:
        here = install(accounts=0)
        depot = shop_and_depot(here, relay.url)
        assert here.run("import", "shop").code == 1
        here.config["accounts"]["e"] = depot
        del here.config["accounts"]["d"]
        here.config["imports"]["shop"]["store"] = "e"
        done = here.run("import", "shop")
    assert done.code == 1
    assert "account d is refused: not configured any more, but an import has tasks for it" in done.stdout


# Eight parts of four pieces each, half of them of another account. What follows a group notes what the sink has.
TREE = """
import os, sqlite3, time

source = Source("tree", base_url="http://127.0.0.1:9", streams=["parts", "reports"])

@dataclass(frozen=True)
class Part(TaskArgs, kind="tree.part"):
    name: str

@dataclass(frozen=True)
class Report(TaskArgs, kind="tree.report"):
    name: str

def pieces(name):
    for number in range(4):
        part = Part(f"{name}.{number}")
        yield ForAccount("other", part) if number % 2 else part

@source.starts
def starts(plan):
    yield Gather([Part(str(number)) for number in range(8)], then=Report(""), if_dead="fail")

@source.handles(Part)
def part(api, args):
    time.sleep(0.02)  # as an API would
    if args.name == "3.1" and Path("broken").exists():
        raise Permanent("broken")
    yield Record("parts", args.name, {"by": args.name})
    if "." not in args.name:
        yield Gather(list(pieces(args.name)), then=Report(args.name), if_dead="fail")

@source.handles(Report)
def report(api, args):
    sink = sqlite3.connect("file:sink.db?mode=ro", uri=True)
    def count(table):
        like = f"{args.name}%"
        return sink.execute(f"SELECT count(*) FROM {table} WHERE id LIKE ? AND id <> 'all'", (like,)).fetchone()[0]
    saw = count("tree_parts"), 0 if args.name else count("tree_reports")
    sink.close()
    with open("followed", "a") as file:
        file.write(f"{args.name} {saw}\\n")
    yield Record("reports", args.name or "all", {})
"""
NAMES = [*map(str, range(8)), ""]


@pytest.fixture
def tree(install: Callable[..., Installation]) -> Installation:
    here = install(accounts=0, daemon={"threads_per_process": 2})
    here.add_source("tree", TREE)
    here.config["accounts"]["other"] = here.config["accounts"]["tree"]
    return here


def followed(here: Installation) -> dict[str, str]:
    """What has followed groups, and what it saw; a killed one may have been tried twice, and must see the same."""
    lines = set((here.folder / "followed").read_text().splitlines())
    found = dict(line.split(" ", 1) for line in lines)
    assert len(found) == len(lines)
    return found


def assert_grown(here: Installation) -> None:
    assert followed(here) == {name: "(5, 0)" if name else "(40, 8)" for name in NAMES}
    assert here.select("SELECT state, done, open, dead FROM run") == [("completed", 8 + 32 + 9, 0, 0)]
    assert len(here.imported("tree", "reports", source="tree")) == 9
    assert here.select("SELECT count(*) FROM gather") == [(0,)]
    assert here.run("frontier", "check").code == 0


def done(here: Installation) -> int:
    if not here.states():
        return 0
    ((count,),) = here.select("SELECT done FROM run")
    return int(count)


def test_what_follows_groups_follows_them_once_whatever_is_killed(tree: Installation) -> None:
    for count in (1, 15, 30, 47):
        command = tree.start("import", "tree")
        until(lambda count=count: done(tree) >= count)
        command.kill()
        tree.assert_conserved()
    if tree.states() == ["running"]:  # the last kill may have come after the end
        assert tree.run("import", "tree").code == 0
    assert_grown(tree)


def test_what_follows_groups_follows_them_once_though_workers_die(tree: Installation) -> None:
    command = tree.start("import", "tree")
    for count in (3, 12, 25):
        until(lambda count=count: done(tree) >= count)
        for worker in command.workers():
            worker.send_signal(signal.SIGKILL)
            psutil.wait_procs([worker], 10)
    assert command.finish().code == 0
    assert_grown(tree)


def test_a_retry_of_one_letter_says_what_comes_back_with_it(tree: Installation) -> None:
    (tree.folder / "broken").touch()
    assert tree.run("import", "tree").code == 3
    (tree.folder / "broken").unlink()
    (number,) = (each["id"] for each in tree.run("dead", "list", "--json").json if "3.1" in each["payload"])
    assert tree.run("dead", "retry", str(number)).stdout.splitlines() == [
        "3 dead letters are ready again",
        "2 of them did not match: they follow a group, and come back with it",
    ]


def test_what_follows_a_failed_group_waits_again_when_its_dead_letters_are_retried(tree: Installation) -> None:
    (tree.folder / "broken").touch()
    assert tree.run("import", "tree").code == 3
    letters = {each["payload"]: each for each in tree.run("dead", "list", "--json").json}
    assert letters.keys() == {'{"name":"3.1"}', '{"name":"3"}', '{"name":""}'}
    assert letters['{"name":""}']["error"] == "not run: 1 dead letter in its group; it waits for those retried"
    assert followed(tree) == {name: "(5, 0)" for name in NAMES if name not in ("", "3")}
    (tree.folder / "broken").unlink()
    assert "3 dead letters are ready again" in tree.run("dead", "retry", "--all", "--yes").stdout
    status = tree.run("status", "--json").json
    assert (status["ready"], status["waiting"], status["dead"]) == (1, 2, 0)
    assert "tasks: 1 ready, 0 delayed, 2 waiting, 0 dead" in tree.run("status").stdout
    assert tree.run("import", "tree").code == 0
    assert_grown(tree)


def test_an_import_without_a_sink_and_records_that_have_none(install: Callable[..., Installation]) -> None:
    here = install(accounts=0)
    code = """
    import msgspec
    class Options(msgspec.Struct):
        file: str
        def needs_sink(self):
            return False
    source = Source("plain", base_url="http://127.0.0.1:9", streams=["things"], import_options=Options)
    @dataclass(frozen=True)
    class Write(TaskArgs, kind="plain.write"):
        file: str
    @dataclass(frozen=True)
    class Wrong(TaskArgs, kind="plain.wrong"):
        pass
    @source.starts
    def starts(plan):
        yield Gather([Wrong()], then=Write(plan.options.file))
    @source.handles(Write)
    def write(api, args):
        Path(args.file).touch()
        yield from ()
    @source.handles(Wrong)
    def wrong(api, args):
        yield Record("things", "a", {})
    """
    here.add_source("plain", code.replace("\n    ", "\n"))
    del here.config["imports"]["plain"]["sink"]
    here.config["imports"]["plain"] |= {"file": "written", "priority": 1}
    assert here.run("import", "plain").code == 3
    assert (here.folder / "written").exists()
    (letter,) = here.run("dead", "list", "--json").json
    assert letter["error"] == "it yields records of things, but its import has no sink"
    assert not here.sink_path.exists()
    here.assert_conserved()


def test_a_source_that_cannot_begin_does_not_take_the_daemon_with_it(install: Callable[..., Installation]) -> None:
    here = install(accounts=0)
    code = 'source = Source("broken", base_url="http://127.0.0.1:9", streams=["things"])\n'
    here.add_source("broken", f"{code}source.starts(lambda plan: [1 / 0])")
    alone = here.run("import", "broken")
    assert alone.code == 1
    assert "crawlerd: the source broken cannot begin: ZeroDivisionError: division by zero" in alone.stderr
    here.add_source("tree", TREE.replace('ForAccount("other", part) if number % 2 else part', "part"))
    for name in ("broken", "tree"):
        here.config["imports"][name]["schedule"] = "1h"
    daemon = here.start("run")
    daemon.says("import broken: the source broken cannot begin: ZeroDivisionError: division by zero")
    daemon.says("import tree: run 1 completed")
    daemon.send(signal.SIGTERM)
    assert daemon.finish().code == 0
    assert daemon.stderr.count("cannot begin") == 1
