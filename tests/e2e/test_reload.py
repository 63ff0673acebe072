"""A running daemon takes another configuration over, by SIGHUP or `crawlerd reload`, and loses nothing by it."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from support.constants import Constant
from support.installation import QUICK, Installation, Running, until
from support.rest_api import Answer, Request, RestApi
from support.shops import serve, shop

from crawlerd.demo.server import running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MANY = 300
KEY = """
[auth]
type = "bearer"
"""


@pytest.fixture
def api() -> Iterator[RestApi]:
    with RestApi() as api:
        serve(api, MANY)
        yield api


def orders(install: Callable[..., Installation], api: RestApi, **account: Any) -> Installation:
    """One import of orders and their lines, from an API that wants the key in the file `key`."""
    here = shop(install, api, {"orders": ["orders", "lines"]}, **{"limits": ["100/second"], **account})
    source = here.folder / "source.toml"
    source.write_text(source.read_text().replace('name = "shop"\n', 'name = "shop"\n' + KEY, 1))
    (here.folder / "key").write_text("first")
    (here.folder / "key").chmod(0o600)
    here.config["accounts"]["acme"]["api_key"] = {"file": "key"}
    here.config["imports"]["orders"]["schedule"] = "1d"
    return here


def busy(install: Callable[..., Installation], api: RestApi) -> tuple[Installation, Running]:
    """The same, with a daemon in the middle of its import."""
    serve(api, 5_000)
    here = orders(install, api)
    daemon = here.start("run")
    until(lambda: len(api.requests) > 20)
    return here, daemon


def keys(api: RestApi) -> list[str]:
    return [each.headers.get("authorization", "").removeprefix("Bearer ") for each in list(api.requests)]


def states(here: Installation) -> dict[str, str]:
    return {run["import"]: run["state"] for run in here.run("status", "--json").json["runs"]}


def told_by(here: Installation, *command: str) -> str:
    """Its lines as one."""
    return " ".join(here.start_as_it_is(*command).finish().stdout.split())


def stop(here: Installation, daemon: Any) -> None:
    daemon.send(signal.SIGTERM)
    assert daemon.finish().code == 0
    here.assert_conserved()


def done(here: Installation, daemon: Any, name: str = "orders") -> None:
    """The import ends; then the daemon does."""
    until(lambda: states(here)[name] == "completed")
    stop(here, daemon)


def only_second(api: RestApi) -> None:
    """From now on the API takes the key `second` alone."""
    script = api.script
    api.script = lambda request: (
        script(request) if request.headers.get("authorization") == "Bearer second" else Answer({}, 401)
    )


def test_a_rotated_key_is_used_at_once_and_loses_no_request(install: Callable[..., Installation], api: RestApi) -> None:
    rotated, script = threading.Event(), api.script

    def waits(request: Request) -> Answer | None:
        if len(api.requests) > 100:  # there is work left when the reload has ended, however long that takes
            rotated.wait(30)
        return script(request)

    api.script = waits
    here = orders(install, api)
    daemon = here.start("run")
    until(lambda: len(api.requests) > 20)
    (here.folder / "key").write_text("second")
    told = here.run("reload")
    tried = (
        "account acme: its next request will show whether the new key works; `crawlerd accounts test acme` tests it now"
    )
    assert (told.code, told.stdout) == (0, f"applied: account acme changed (key)\n{tried}\n")
    at = time.monotonic()
    only_second(api)
    rotated.set()
    until(lambda: keys(api)[-1] == "second")
    assert next(each.at for each, key in zip(api.requests, keys(api), strict=False) if key == "second") < at + 1.0
    done(here, daemon)
    assert here.select("SELECT count(*) FROM dead") == [(0,)]
    assert "account acme is refused" not in daemon.stderr


def test_what_is_under_way_with_the_old_key_and_then_refused_is_asked_again(
    install: Callable[..., Installation], api: RestApi
) -> None:
    """The API keeps requests waiting, and refuses the key of those when the daemon has another one already."""
    here = orders(install, api, attempts=1)
    rotated, script = threading.Event(), api.script

    def late(request: Request) -> Answer | None:
        if request.headers["authorization"] != "Bearer second" and request.path.endswith("lines"):
            rotated.wait(20)
            return Answer({}, 401)
        return script(request)

    api.script = late
    daemon = here.start("run")
    until(lambda: len(api.requests) > 10)
    (here.folder / "key").write_text("second")
    assert here.run("reload").code == 0
    rotated.set()
    done(here, daemon)
    assert here.select("SELECT count(*) FROM dead") == [(0,)]
    assert "account acme is refused" not in daemon.stderr
    assert Counter(keys(api))["second"] >= MANY


def test_a_refused_account_is_tried_at_once_with_its_new_key(
    install: Callable[..., Installation], api: RestApi
) -> None:
    here = orders(install, api)
    only_second(api)
    daemon = here.start("run")
    daemon.says("account acme is refused")
    (here.folder / "key").write_text("second")
    daemon.send(signal.SIGHUP)
    done(here, daemon)
    assert here.select("SELECT refused FROM account") == [(None,)]


def test_a_wrong_file_leaves_the_old_one_in_force_and_says_so(
    install: Callable[..., Installation], api: RestApi
) -> None:
    here, daemon = busy(install, api)
    file = here.folder / "crawlerd.toml"
    good = file.read_text()
    file.write_text(good.replace("100/second", "100/fortnight").replace('"1d"', '"often"'))
    told = here.start_as_it_is("reload").finish()
    assert told.code == 78
    assert "accounts.acme.limits" in told.stderr
    assert "imports.orders.schedule" in told.stderr
    assert told.stderr.endswith("the configuration is wrong; the one before stays in force\n")
    assert "configuration: the file is wrong, so the previous configuration is used" in told_by(here, "status")
    assert "the configuration file is wrong since" in here.start_as_it_is("why", "orders").finish().stdout
    asked = len(api.requests)
    until(lambda: len(api.requests) > asked + 20)
    file.write_text(good)
    told = here.start_as_it_is("reload").finish()
    assert (told.code, told.stdout) == (0, "applied: nothing has changed\n")
    assert "is wrong" not in told_by(here, "status")
    stop(here, daemon)


def test_what_needs_a_restart_is_named_and_stays(install: Callable[..., Installation], api: RestApi) -> None:
    here = orders(install, api)
    daemon = here.start("run")
    until(lambda: len(api.requests) > 20)
    here.config["daemon"] |= {"listen": "127.0.0.1:1", "visibility_timeout": "9m", "drain_seconds": 20}
    here.config["sinks"]["sink"]["path"] = "elsewhere.db"
    here.config["sinks"]["more"] = {"type": "sqlite", "path": "more.db"}
    told = here.run("reload")
    assert told.stdout == (
        "applied: sinks more added; daemon.drain_seconds\n"
        "needs a restart: daemon.listen, daemon.visibility_timeout, sinks.sink\n"
    )
    assert here.run("reload", "--json").json == {
        "applied": [],
        "restart": ["daemon.listen", "daemon.visibility_timeout", "sinks.sink"],
        "problems": [],
        "rekeyed": [],
        "keys": [],
    }
    assert "that need a restart: daemon.listen" in told_by(here, "status")
    done(here, daemon)
    assert here.imported("acme", "orders", "shop")
    assert not (here.folder / "elsewhere.db").exists()


def test_accounts_imports_and_sinks_come_and_go_while_others_are_busy(
    install: Callable[..., Installation], api: RestApi
) -> None:
    here, daemon = busy(install, api)
    with RestApi() as other:
        serve(other, 5)
        here.config["accounts"]["initech"] = {**here.config["accounts"]["acme"], "base_url": other.url}
        here.config["sinks"]["more"] = {"type": "sqlite", "path": "more.db"}
        here.config["imports"]["new"] = {
            "account": "initech",
            "sink": "more",
            "streams": ["stores", "shelves"],
            "schedule": "1d",
        }
        asked = len(api.requests)
        told = here.run("reload")
        assert told.stdout == "applied: account initech added; import new added; sinks more added\n"
        until(lambda: states(here)["new"] == "completed")
        assert len(api.requests) > asked
        assert len(other.requests) == 6
        for kind, name in (("imports", "new"), ("accounts", "initech"), ("sinks", "more")):
            del here.config[kind][name]
        told = here.run("reload")
        assert told.stdout == "applied: account initech removed; import new removed; sinks more removed\n"
        assert not [path for path in opened(daemon) if path.startswith(str(here.folder / "more.db"))]
        stop(here, daemon)


def opened(daemon: Any) -> list[str]:
    return [each.path for each in psutil.Process(daemon.pid).open_files()]


def test_a_run_whose_import_is_removed_is_held_until_it_is_back(
    install: Callable[..., Installation], api: RestApi
) -> None:
    here = orders(install, api, limits=["20/second"])
    daemon = here.start("run")
    until(lambda: len(api.requests) > 20)
    removed = here.config["imports"].pop("orders")
    assert here.run("reload").stdout == "applied: import orders removed\n"
    until(lambda: "is not configured any more" in here.run("why", "orders").stdout)
    asked = len(api.requests)
    time.sleep(0.5)
    assert len(api.requests) == asked
    here.config["imports"]["orders"] = removed
    here.config["accounts"]["acme"]["limits"] = []
    assert here.run("reload").stdout == "applied: account acme changed (limits); import orders added\n"
    done(here, daemon)
    assert len({each.path for each in api.requests}) == MANY + 1
    assert here.select("SELECT count(*) FROM run") == [(1,)]


def test_another_source_is_used_without_a_restart_and_no_lease_is_lost(
    install: Callable[..., Installation], api: RestApi
) -> None:
    """Its workers take the place of the others, of which none ends before its requests do."""
    here = orders(install, api)
    daemon = here.start("run")
    until(lambda: len(api.requests) > 20)
    before = {each.pid for each in daemon.workers()}
    (here.folder / "other.toml").write_text('name = "library"\n[endpoints.books]\npath = "/stores"\n')
    here.config["accounts"]["library"] = {**here.config["accounts"]["acme"], "description": "other.toml"}
    del here.config["accounts"]["library"]["api_key"]
    here.config["daemon"]["worker_processes"] = 2
    here.config["imports"]["books"] = {"account": "library", "sink": "sink", "streams": ["*"], "schedule": "1d"}
    told = here.run("reload")
    assert told.code == 0
    assert "sources library added" in told.stdout
    assert "daemon.worker_processes" in told.stdout
    until(lambda: states(here)["books"] == "completed")
    until(lambda: len(daemon.workers()) == 2 and before.isdisjoint(each.pid for each in daemon.workers()))
    done(here, daemon)
    assert len(here.imported("library", "books", "library")) == MANY
    assert Counter(each.path for each in api.requests).most_common(2)[1][1] == 1  # `/stores`, and all others once


@pytest.mark.alone
def test_a_limit_is_lowered_and_raised_as_the_server_sees_it(
    install: Callable[..., Installation], api: RestApi
) -> None:
    serve(api, 2_000)
    here = orders(install, api)
    daemon = here.start("run")
    until(lambda: len(api.requests) > 100)
    for limit in (20, 200):
        here.config["accounts"]["acme"]["limits"] = [f"{limit}/second"]
        assert here.run("reload").stdout == "applied: account acme changed (limits)\n"
        at = time.monotonic()
        time.sleep(2.1)
        times = [each.at for each in list(api.requests) if at + 0.1 < each.at < at + 2.1]
        most = max(sum(begin <= each < begin + 1.0 for each in times) for begin in times)
        assert limit * 0.85 < most <= limit
    daemon.kill()


def test_a_quota_that_is_raised_holds_up_no_later_run(install: Callable[..., Installation], api: RestApi) -> None:
    serve(api, 4)
    here = orders(install, api, limits=["3/hour"])
    here.constants = {Constant.DISPATCHER_TIDY_SECONDS: 0.05}
    here.start("run")
    until(lambda: len(api.requests) == 3)
    until(lambda: here.select("SELECT 1 FROM bucket WHERE reason = 'quota' AND blocked_until > 0"))
    assert len(api.requests) == 3
    here.config["accounts"]["acme"]["limits"] = ["1000/hour"]
    assert here.run("reload").code == 0
    for _ in range(2):
        assert here.run("import", "orders", "--full", seconds=40).code == 0
        time.sleep(0.5)  # in which what has nothing to do leaves memory, and is read again then
    assert "no task of it is ready" in here.run("why", "acme").stdout


def test_killed_around_a_reload_nothing_is_lost(install: Callable[..., Installation], api: RestApi) -> None:
    here = orders(install, api, limits=["15/second"])
    for count in range(1, 4):
        daemon = here.start("run")
        asked = len(api.requests)
        until(lambda asked=asked: len(api.requests) > asked + 10)
        here.config["accounts"][f"a{count}"] = here.config["accounts"]["acme"]
        here.config["accounts"]["acme"] = {**here.config["accounts"]["acme"], "limits": [f"{15 + count}/second"]}
        reload = here.start("reload")
        time.sleep(0.25 * count)  # from before its begin to after its end
        daemon.kill()
        reload.finish()
    here.config["accounts"]["acme"]["limits"] = []
    daemon = here.start("run")
    done(here, daemon)
    assert {each.path for each in api.requests} >= {f"/orders/{number}/lines" for number in range(MANY)}
    assert here.select("SELECT count(*) FROM run") == [(1,)]


def test_two_reloads_at_once_both_say_what_holds(install: Callable[..., Installation], api: RestApi) -> None:
    here = orders(install, api)
    daemon = here.start("run")
    until(lambda: len(api.requests) > 20)
    here.config["accounts"]["acme"]["weight"] = 2.0
    daemon.send(signal.SIGHUP)
    commands = [here.start("reload") for _ in range(3)]
    daemon.send(signal.SIGHUP)
    told = [each.finish() for each in commands]
    assert all(each.code == 0 and each.stdout.startswith("applied: ") for each in told)
    done(here, daemon)


def test_many_reloads_leave_memory_and_open_files_as_they_were(
    install: Callable[..., Installation], api: RestApi
) -> None:
    here = orders(install, api)
    daemon = here.start("run")
    until(lambda: len(api.requests) > 20)
    path = here.state_dir / "crawlerd.sock"
    extra = {f"b{number}": {**here.config["accounts"]["acme"], "weight": 3.0} for number in range(50)}
    with_more = here.config["accounts"] | extra
    process, figures = psutil.Process(daemon.pid), []
    for count in range(20):
        plain = here.config["accounts"]
        here.config["accounts"] = with_more if count % 2 else plain
        here.write()
        here.config["accounts"] = plain
        assert b'"problems":[]' in post(path, "/api/v1/reload")
        figures.append((process.memory_info().rss >> 20, process.num_fds(), process.num_threads()))
    settled, last = figures[9], figures[-1]
    assert last[0] <= settled[0] + 4, figures
    assert last[1:] <= (settled[1] + 2, settled[2] + 1), figures
    done(here, daemon)


def post(path: Path, target: str) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        connection.sendall(f"POST {target} HTTP/1.0\r\nContent-Length: 0\r\n\r\n".encode())
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_a_key_of_somebody_else_is_found_out_before_anything_is_asked_with_it(
    install: Callable[..., Installation],
) -> None:
    """Stripe's check of credentials says whose they are; the schedule and the level of the log change beside it."""
    with running(accounts=2, customers=300, rate=0, jitter=0.02) as server:
        here = install(url=server.url, accounts=1, schedule="1d", account={**QUICK, "limits": ["40/second"]})
        daemon = here.start("run")
        until(lambda: server.stats().accounts[1].requests > 20)
        (here.folder / "key").write_text("sk_test_account_2")
        here.config["accounts"]["a1"]["api_key"] = {"file": "key"}
        here.config["daemon"]["log_level"] = "debug"
        here.config["imports"]["a1"]["schedule"] = "2s"
        told = here.run("reload").stdout
        applied, key = told.splitlines()
        assert applied == "applied: account a1 changed (key); import a1 changed; daemon.log_level"
        assert key.startswith("account a1: its new key is refused: its key belongs to acct_")
        daemon.says(r"account a1 is refused: its key belongs to acct_\w+:test, but what was imported so far came from")
        assert server.stats().accounts[2].requests == 1  # the check
        daemon.says("DEBUG")
        (here.folder / "key").write_text("sk_test_account_1")
        told = here.run("reload").stdout
        assert told == "applied: account a1 changed (key)\naccount a1: its new key works\n"
        until(lambda: here.states()[:1] == ["completed"] and here.states()[1:], 40)  # it is due every 2 s
        daemon.send(signal.SIGTERM)
        assert daemon.finish().code == 0
    here.assert_conserved()
