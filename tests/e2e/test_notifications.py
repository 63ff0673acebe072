"""People are told what is wrong, once and in time, whatever becomes of the hook and of the daemon; imports go on."""

from __future__ import annotations

import json
import signal
import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from support.constants import Constant
from support.installation import Installation, until
from support.relay import Answer as RawAnswer
from support.relay import Relay
from support.rest_api import Answer, Request, RestApi
from support.shops import shop
from support.small_disks import fill

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

EVERY = 0.5  # seconds between messages
SECRET = "tok_4eC39HqLyjWDarjt"
QUICKLY = {
    Constant.NOTIFY_LOOK_SECONDS: 0.2,
    Constant.NOTICE_FIRST_RETRY: 0.2,
    Constant.NOTICE_SETTLE_SECONDS: 3.0,  # for longer than a refused account is tried again
    Constant.GUARD_PROBE_SECONDS: 0.5,
    Constant.OUTAGE_FIRST_PROBE: 0.3,
    Constant.OUTAGE_LONGEST_PROBE: 0.5,
}
KEY = '[auth]\ntype = "bearer"\n'


class Hook:
    """A webhook that answers as it is told. messages: what it has taken."""

    def __init__(self) -> None:
        self.status = 200
        self.hangs = threading.Event()
        self.hangs.set()  # not
        self.messages: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.asked = 0

    def __call__(self, request: Request) -> Answer:
        self.asked += 1
        self.hangs.wait(30)
        if request.headers.get("authorization") != f"Bearer {SECRET}":
            return Answer({}, 401)
        if self.status == 200:
            self.times.append(time.monotonic())
            self.messages.append(json.loads(request.body))
        return Answer(f"{SECRET} is wrong".encode(), self.status)

    def events(self) -> list[tuple[str, str, str]]:
        """(event, subject, state) of all messages, in their order."""
        found = [each for message in list(self.messages) for each in message["events"]]
        return [(each["event"], each["subject"], each["state"]) for each in found]


@pytest.fixture
def hook() -> Iterator[tuple[str, Hook]]:
    script = Hook()
    with RestApi(script) as server:
        yield server.url, script
        script.hangs.set()


def told(here: Installation, url: str, **settings: Any) -> None:
    """The installation tells that webhook, quickly."""
    here.environment["HOOK_TOKEN"] = SECRET
    here.constants = QUICKLY
    webhook = {"url": f"{url}/hook", "token": {"env": "HOOK_TOKEN"}}
    here.config["notify"] = {
        "wait": "300ms",
        "every": f"{EVERY * 1000:.0f}ms",
        "webhook": webhook,
        "disk_free_mb": 0,
        **settings,
    }


def stop(daemon: Any) -> float:
    """Seconds that it took."""
    began = time.monotonic()
    daemon.send(signal.SIGTERM)
    assert daemon.finish().code == 0
    return time.monotonic() - began


def test_each_trouble_is_told_with_its_end(install: Callable[..., Installation], hook: tuple[str, Hook]) -> None:
    url, heard = hook
    wrong = threading.Event()
    wrong.set()

    def script(request: Request) -> Answer:
        if wrong.is_set() and request.path.startswith("/fails"):
            return Answer({"error": "<!channel> no"}, 404)
        if wrong.is_set() and request.path.startswith("/key"):
            return Answer({"error": "invalid key"}, 401)
        return Answer([{"id": 1}])

    def down(_: str) -> RawAnswer | None:
        return RawAnswer(503) if wrong.is_set() else None

    with RestApi(script) as api, Relay(api.url, down) as relay:
        here = shop(install, api, {})
        source = here.folder / "source.toml"
        source.write_text(source.read_text().replace('name = "shop"\n', 'name = "shop"\n' + KEY, 1))
        here.environment["API_KEY"] = "sk_live_4eC39HqLyjWDarjtT1zdp7dc"
        del here.config["accounts"]["acme"]
        for name, base in (("fails", f"{api.url}/fails"), ("key", f"{api.url}/key"), ("down", relay.url)):
            here.config["accounts"][name] = {
                "source": "rest",
                "description": "source.toml",
                "base_url": base,
                "api_key": {"env": "API_KEY"},
                "retry_base": "20ms",
                "retry_cap": "50ms",
            }
            here.config["imports"][name] = {
                "account": name,
                "sink": "sink",
                "streams": ["orders", "stores"],
                "schedule": "1s",
            }
        told(here, url, failed_runs=2)
        daemon = here.start("run")
        began = {
            ("failed", "import fails", "began"),
            ("refused", "account key", "began"),
            ("outage", relay.url, "began"),
        }
        until(lambda: began <= set(heard.events()))
        wrong.clear()
        over = {(event, subject, "over") for event, subject, _ in began}
        until(lambda: over <= set(heard.events()))
        stop(daemon)
    assert all(later - first > EVERY - 0.1 for first, later in pairwise(heard.times))  # as the hook has seen them
    assert len(heard.events()) == len(set(heard.events()))
    texts = json.dumps(heard.messages)
    assert SECRET not in texts
    assert here.environment["API_KEY"] not in texts


def test_a_storm_is_a_few_messages_with_counts(install: Callable[..., Installation], hook: tuple[str, Hook]) -> None:
    url, heard = hook
    many = 150
    with RestApi(lambda _: Answer({"error": "invalid key"}, 401)) as api:
        here = shop(install, api, {})
        account = here.config["accounts"].pop("acme")
        for number in range(many):
            here.config["accounts"][f"a{number}"] = account
            here.config["imports"][f"i{number}"] = {
                "account": f"a{number}",
                "sink": "sink",
                "streams": ["orders"],
                "schedule": "1h",
            }
        told(here, url, on=["refused"], wait="2s", every="5s")
        here.constants = {Constant.NOTIFY_LOOK_SECONDS: 0.2}
        daemon = here.start("run")
        until(lambda: sum(message["count"] for message in heard.messages) >= many)
        stop(daemon)
    assert sum(message["count"] for message in heard.messages) == many
    assert len(set(heard.events())) == len(heard.events())
    assert len(heard.messages) <= 4
    largest = max(heard.messages, key=lambda message: message["count"])
    assert largest["title"].endswith(f"{largest['count']} accounts that are refused")
    assert len(largest["text"]) < 2000


def test_a_message_outlives_a_hook_that_fails_and_a_daemon_that_is_killed(
    install: Callable[..., Installation], hook: tuple[str, Hook]
) -> None:
    url, heard = hook
    heard.status, fails = 503, [True]
    script = lambda _: Answer({}, 404) if fails[0] else Answer([{"id": 1}])  # noqa: E731 - it is one
    with RestApi(script) as api:
        here = shop(install, api, {"orders": ["orders"]})
        here.config["imports"]["orders"]["schedule"] = "1s"
        told(here, url, failed_runs=1)
        daemon = here.start("run")
        until(lambda: heard.asked >= 2)
        lines = here.start_as_it_is("status").finish().stdout
        assert "notify webhook: messages do not arrive: HTTP 503" in " ".join(lines.split())
        assert SECRET not in lines
        watched = here.start_as_it_is("top", "--json").finish().json
        assert any("messages do not arrive" in each["text"] for each in watched["status"]["troubles"])
        daemon.kill()
        assert "Traceback" not in daemon.stderr
        assert daemon.stderr.count("notify webhook: a message to") == 1
        fails[0] = False  # what was wrong is over before anybody could be told
        heard.status = 200
        again = here.start_as_it_is("run")
        until(lambda: ("failed", "import orders", "over") in heard.events())
        kept = here.state_dir / "notify.json"
        until(lambda: not json.loads(kept.read_text())["queues"]["webhook"]["notices"])  # it is noted: none comes again
        again.kill()
        third = here.start_as_it_is("run")
        third.says("pid ")
        until(lambda: here.states().count("completed") >= 3)
        stop(third)
    found = [state for event, _, state in heard.events() if event == "failed"]
    assert found in (["over"], ["began", "over"])
    text = heard.messages[0]["text"]
    assert "in a row have failed" in text or "a run has failed" in text
    for each in (daemon, again, third):
        assert SECRET not in each.stderr
    assert SECRET not in kept.read_text()
    assert kept.stat().st_mode & 0o777 == 0o600


def test_a_hook_that_hangs_costs_nothing_and_a_reload_mends_it(
    install: Callable[..., Installation], hook: tuple[str, Hook]
) -> None:
    url, heard = hook
    heard.hangs.clear()
    with RestApi(lambda _: Answer([{"id": number} for number in range(50)])) as api:
        here = shop(install, api, {"orders": ["orders", "lines"]})
        here.config["imports"]["orders"]["schedule"] = "1s"
        told(here, url, on=["finished"])
        here.config["notify"]["webhook"]["timeout"] = "5m"
        here.config["notify"]["command"] = {"run": ["sh", "-c", "echo x >> ran; sleep 300"], "timeout": "5m"}
        daemon = here.start("run")
        until(lambda: heard.asked and (here.folder / "ran").exists())
        until(lambda: here.states().count("completed") >= 3)  # nothing waits for them
        assert stop(daemon) < 8
        assert heard.messages == []
        del here.config["notify"]["command"]
        here.config["notify"]["webhook"]["timeout"] = "1s"
        daemon = here.start("run")
        until(lambda: "within 1 s" in here.start_as_it_is("status").finish().stdout)
        failed = here.start_as_it_is("notify", "test").finish()
        assert failed.code == 1
        assert "did not arrive: no complete response" in failed.stdout
        assert SECRET not in failed.stdout
        with RestApi(Hook()) as other:
            here.config["notify"]["webhook"]["url"] = f"{other.url}/hook"
            done = here.run("reload")
            assert "notify changed" in done.stdout
            mended: Hook = other.script  # type: ignore[assignment] # see above
            until(lambda: mended.messages)
            assert {event for event, _, _ in mended.events()} == {"finished"}
            runs = [subject for _, subject, _ in mended.events()]
            assert len(runs) == len(set(runs))
            assert "run 1" in runs  # which ended while the first hook hung
            assert here.start_as_it_is("notify", "test").finish().code == 0
            assert mended.messages[-1]["test"] or any(each["test"] for each in mended.messages)
            assert "notify" not in here.start_as_it_is("status").finish().stdout
            stop(daemon)


def test_a_full_disk_is_told_although_nothing_can_be_kept(
    install: Callable[..., Installation], hook: tuple[str, Hook], small_disk: Path
) -> None:
    url, heard = hook
    with RestApi(lambda _: Answer([{"id": number} for number in range(100)])) as api:
        here = shop(install, api, {"orders": ["orders", "lines"]}, limits=["5/second"])  # its log must have room
        here.config["daemon"]["state_dir"] = str(small_disk / "var")
        here.config["imports"]["orders"]["schedule"] = "1h"
        told(here, url)
        daemon = here.start("run")
        until(lambda: len(api.requests) > 3)
        filler = fill(small_disk)
        until(lambda: ("disk", "crawlerd", "began") in heard.events())
        filler.unlink()
        until(lambda: ("disk", "crawlerd", "over") in heard.events())
        stop(daemon)


def test_a_hook_without_its_secret_keeps_nothing_from_running(install: Callable[..., Installation]) -> None:
    with RestApi(lambda _: Answer([{"id": 1}])) as api:
        here = shop(install, api, {"orders": ["orders"]})
        here.config["imports"]["orders"]["schedule"] = "1h"
        here.config["notify"] = {"webhook": {"url": {"env": "NOT_SET"}}}
        tried = here.run("notify", "test")
        assert tried.code == 1
        assert "the environment variable NOT_SET is not set" in tried.stdout
        daemon = here.start("run")
        until(lambda: here.states() == ["completed"])
        assert "NOT_SET is not set" in " ".join(here.start_as_it_is("status").finish().stdout.split())
        stop(daemon)
