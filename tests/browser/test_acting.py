"""What people do by the page, seen by the API that is imported from."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from support.axe import findings
from support.chromium import SCHEMES
from support.faulty_daemon import DEAD, GONE, FaultyDaemon

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.chromium import Chromium


ADMIN, READ = "an-admins-token-of-32-characters-or-more", "a-readers-token-of-32-characters-or-more"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyDaemon]:
    """Each test acts on an import of its own."""
    tokens = {"admin_token": {"env": "ADMIN_TOKEN"}, "read_token": {"env": "READ_TOKEN"}}
    with FaultyDaemon(
        tmp_path_factory.mktemp("acting") / "i", tokens, {"ADMIN_TOKEN": ADMIN, "READ_TOKEN": READ}
    ) as daemon:
        yield daemon


@pytest.fixture
def acting(chromium: Chromium, daemon: FaultyDaemon) -> Chromium:
    """Logged in as an admin."""
    chromium.fresh(daemon.url)
    log_in(chromium, ADMIN)
    return chromium


def log_in(chromium: Chromium, token: str) -> None:
    chromium.open("/about")
    chromium.type("token", token)
    chromium.click("button", "log in")
    chromium.until(lambda: chromium.path == "/about", lambda: f"not logged in: {chromium.path} {chromium.text}")


def lines_asked(daemon: FaultyDaemon, name: str) -> list[str]:
    """Of the orders of an account, those whose lines were asked for, once for each request."""
    with daemon.api._lock:
        asked = list(daemon.api.requests)
    found = [re.fullmatch(rf"/{name}/orders/(\d+)/lines", each.path) for each in asked]
    return [each[1] for each in found if each]


def test_an_import_is_watched_moving(acting: Chromium, daemon: FaultyDaemon) -> None:
    acting.open("/imports/moving")
    acting.click("button", "run now.*")
    acting.sees("has started")
    acting.click("link", str(daemon.run_of("moving")))
    acting.driver.execute_script("window.isTheSame = true")
    seen: list[int] = []
    drawn: set[str | None] = set()

    def is_done() -> bool:
        text = acting.text
        if found := re.search(r"Tasks done\s+([\d,]+)", text):
            seen.append(int(found[1].replace(",", "")))
        drawn.add(acting.driver.execute_script("return document.querySelector('#chart .line')?.getAttribute('d')"))
        return "completed" in text

    acting.until(is_done, lambda: f"not completed, saw {seen} in:\n{acting.text}", 30)
    assert seen == sorted(seen)
    assert len(set(seen)) >= 4
    assert len(drawn - {None}) >= 2
    assert acting.driver.execute_script("return window.isTheSame")  # nothing was loaded again
    assert len(lines_asked(daemon, "moving")) == 200


def test_a_refused_key_is_replaced_and_resumed(acting: Chromium, daemon: FaultyDaemon) -> None:
    daemon.daemon.says("account refused .*401")
    acting.open("/")
    acting.click("button", "test the key of account refused")
    acting.sees("The API refuses the key of refused")
    assert acting.path.startswith("/?")
    acting.open("/accounts/refused")
    acting.sees("HTTP 401: key revoked")
    acting.click("button", "test the key.*")
    acting.sees("The API refuses the key of refused")
    daemon.replace_key()
    acting.find("link", "reload the configuration")  # leads to About
    acting.click("button", "reload the configuration")
    acting.sees("Applied: account refused changed (key)", "refused")
    assert acting.path.startswith("/accounts/refused")
    acting.click("button", "test the key.*")
    acting.sees("The key of refused works")
    daemon.daemon.says(r"import refused: run \d+ completed:")
    assert {each.headers["authorization"] for each in daemon.api.requests if "/refused/orders/" in each.path} == {
        "Bearer new-key"
    }
    acting.open("/accounts/refused")
    acting.find("heading", "refused.*idle")


def test_an_account_that_one_has_paused_is_explained_to_another(acting: Chromium, daemon: FaultyDaemon) -> None:
    acting.open("/accounts/well1")
    acting.click("link", "pause account well1")
    acting.type(".*why.*|.*reason.*", "they change their limits")
    acting.click("button", "pause.*")
    acting.sees("paused by", "they change their limits")

    acting.fresh(daemon.url)
    log_in(acting, READ)
    acting.open("/accounts/well1")
    acting.sees("paused by admin token, 127.0.0.1: they change their limits")
    assert not acting.all("button", "(?!log out).*")  # who may only look
    assert not acting.all("link", "pause.*")
    acting.open("/audit")
    acting.sees("pause", "well1", "they change their limits")

    acting.fresh(daemon.url)
    log_in(acting, ADMIN)
    acting.open("/accounts/well1")
    acting.all("button", "resume account well1")[0].click()
    acting.until(lambda: "they change their limits" not in acting.text, "the pause is still there")


def test_a_stranger_sees_nothing(chromium: Chromium, daemon: FaultyDaemon) -> None:
    chromium.fresh(daemon.url)
    chromium.open("/accounts/well2?x=1")
    assert [found for scheme in SCHEMES for found in chromium.in_scheme(scheme, findings)] == []
    assert "well2" not in chromium.text
    chromium.expect("status of 401")
    chromium.type("token", "not-a-token")
    chromium.click("button", "log in")
    chromium.sees("not a token of this daemon")
    chromium.type("token", READ)
    chromium.click("button", "log in")
    chromium.until(lambda: chromium.path == "/accounts/well2?x=1", lambda: f"led to {chromium.path}")


def test_a_group_is_retried_by_filter_and_another_stays(acting: Chromium, daemon: FaultyDaemon) -> None:
    daemon.daemon.says(r"import dead: run \d+ completed", 60)
    daemon.mended.add("dead")
    before = lines_asked(daemon, "dead")
    assert len(before) == DEAD + GONE
    acting.open(f"/runs/{daemon.run_of('dead')}")
    acting.find("link", "retry 40 letters.*")
    acting.find("link", "dead letters \\(1,04\\d\\)")
    acting.click("link", ".*HTTP 400: not like this.*")
    filtered = acting.path
    acting.click("link", "retry.*")
    acting.sees("1,000")
    acting.click("button", "retry.*")
    acting.until(lambda: acting.path.startswith(filtered), "the filter is not kept")
    acting.open("/operations")
    acting.sees(f"{DEAD:,} of {DEAD:,}", seconds=30)
    daemon.daemon.says(r"(?s)import dead: run \d+ completed with.*import dead: run \d+ completed", 60)
    again = lines_asked(daemon, "dead")[len(before) :]
    assert len(again) == len(set(again)) == DEAD
    assert max(map(int, again)) < DEAD  # none of the other group
    acting.until(lambda: acting.all("link", "dead letters \\(4\\d\\)"), "the navigation does not count them")
    acting.open("/dead?import=dead")
    assert "not like this" not in acting.sees("gone", "40")


def test_a_run_is_cancelled(acting: Chromium, daemon: FaultyDaemon) -> None:
    acting.open("/imports/long")
    acting.click("button", "run now.*")
    acting.sees("has started")
    acting.until(lambda: lines_asked(daemon, "long"), "nothing is imported")
    acting.open(f"/runs/{daemon.run_of('long')}")
    acting.click("link", "cancel.*")
    acting.type(".*why.*|.*reason.*", "the wrong one")
    acting.click("button", "cancel.*")
    acting.sees("cancelled", "the wrong one")
    daemon.daemon.says(r"import long: run \d+ .*cancelled")
    asked = len(lines_asked(daemon, "long"))
    acting.open("/audit")
    acting.sees("cancel", "the wrong one")
    assert len(lines_asked(daemon, "long")) == asked


def test_it_works_without_script(acting: Chromium, daemon: FaultyDaemon) -> None:
    acting.without_script()
    acting.open("/imports/never")
    acting.click("button", "run now.*")
    acting.sees("has started")
    daemon.daemon.says(r"import never: run \d+ completed")
    acting.open("/imports/never")
    acting.sees("completed")
    acting.click("link", "pause.*")
    acting.type(".*why.*|.*reason.*", "no script here")
    acting.click("button", "pause.*")
    acting.sees("no script here")
    acting.click("button", "resume.*")
    acting.until(lambda: "no script here" not in acting.text, "the pause is still there")
