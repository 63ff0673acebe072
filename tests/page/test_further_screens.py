"""Accounts, dead letters, operations, the audit and the daemon itself, on the page."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING

import msgspec
import pytest
from support.ready_tasks import bucket_heads
from test_page_screens import HOSTILE, Looked

from crawlerd.core.in_force import InForce
from crawlerd.core.lowered import LimitNote
from crawlerd.core.outcome import Bury, Tried
from crawlerd.core.pauses import PauseNote
from crawlerd.core.reasons import Reason
from crawlerd.core.task import NewTask
from crawlerd.frontier.contract import Settled
from crawlerd.frontier.letter_filter import LetterFilter
from crawlerd.frontier.reports import Act, DeadGroup, LetterCount, LetterPage, OperationReport
from crawlerd.frontier.waiting_contract import Block
from crawlerd.operations.about_facts import About, DiskSpace
from crawlerd.operations.backup_requests import BackupProgress, BackupRequest
from crawlerd.operations.dead import LettersRequest
from crawlerd.operations.pause_requests import PauseRequest
from crawlerd.service.page import about_screen, dead_screen, letter_filters

if TYPE_CHECKING:
    from conftest import World

    from crawlerd.frontier.reports import LetterAct

ALL = LetterFilter()


def bury(world: World, name: str, *errors: str, account: str = "", payload: str = '{"n":%d}') -> int:
    """A run whose tasks die of these errors."""
    number = world.frontier.account(account or name, "shop")
    tasks = [NewTask("shop.page", "pages", 5, payload.replace("%d", str(place))) for place in range(len(errors))]
    run = world.frontier.start_run(name, number, tasks, full=True, now=world.now).run
    found = [
        task
        for bucket, _ in world.frontier.ready_queues(number)
        for task in bucket_heads(world.frontier, bucket.id, (-1, -1), 1_000)
        if task.run == run
    ]
    tried = Tried(method="GET", url=f"https://api.example/v1?name={name}", status=500, seconds=0.2)
    outcomes = [Bury(error, tried=tried) for error in errors]
    settled = [Settled(task, number, outcome) for task, outcome in zip(found, outcomes, strict=True)]
    world.frontier.commit(settled, now=world.now)
    return run


def wait(world: World, name: str, reason: Reason, seconds: float = 60.0, text: str = "its window is used up") -> None:
    number = world.frontier.account(name, "shop")
    world.frontier.start_run(f"of {name}", number, [NewTask("shop.page", "pages", 5, "{}")], full=True, now=world.now)
    ((bucket, _),) = world.frontier.ready_queues(number)
    world.frontier.commit([], now=world.now, blocked={bucket.id: Block(world.now + seconds, reason, text)})


def begin(world: World, act: LetterAct, which: LetterFilter, reason: str = "", by: str = "ana") -> OperationReport:
    wanted = OperationReport(
        id=0, act=act, which=which, through=1_000, by=by, reason=reason, began_at=world.now, total=9_120
    )
    return world.frontier.begin_operation(wanted, Act(world.now, by, act, "dead letters", f"{which.text}: {reason}", 1))


def links(text: str, pattern: str) -> list[str]:
    return [unescape(link) for link in re.findall(rf'href="({pattern}[^"]*)"', text)]


def hidden(text: str) -> dict[str, str]:
    found = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', text)
    return {name: unescape(value) for name, value in found}


def older(text: str) -> str | None:
    found = re.findall(r'rel="next" href="([^"]*)"', text)
    return unescape(found[0]) if found else None


# dead letters


def test_one_group_is_retried_by_its_filter_and_one_is_back_where_one_was(world: World) -> None:
    bury(world, "acme", *["Permanent: HTTP 404: no charge 'ch_1'"] * 3, "Denied: HTTP 403: not yours")
    text = world.get("/dead?import=acme").text
    assert "4 dead letters, of 2 kinds of failure; 3 of them: HTTP 404: no charge *" in text
    retry = next(link for link in links(text, "/dead/retry") if "group=" in link)
    asked = world.get(retry)
    assert "Retry 3 dead letters?" in asked.text
    assert "import acme, group " in asked.text
    fields = hidden(asked.text)
    assert (fields["back"], fields["expect"]) == ("/dead?import=acme", "3")
    world.answer = world.answer._replace(status=202, body=msgspec.json.encode(begin(world, "retry", ALL)))
    answer = world.post("/dead/retry", {**fields, "reason": "fixed"})
    ((method, target, body, key),) = world.asked
    request = msgspec.json.decode(body, type=LettersRequest)
    (group,) = [each.group for each in world.reading().dead_groups() if each.letters == 3]
    assert (method, target, key) == ("POST", "/api/v1/dead/retry", fields["key"])
    assert request == LettersRequest(
        which=LetterFilter(import_name="acme", group=group), reason="fixed", expect=3, through=4
    )
    assert (answer.status, answer.headers["location"].partition("&note=")[0]) == (303, "/dead?import=acme")
    assert "Operation 1 retries 9,120 dead letters" in world.get(answer.headers["location"]).text


@pytest.mark.parametrize("act", ["retry", "drop"])
def test_before_anything_is_done_it_is_said_to_what_and_to_how_many(world: World, act: str) -> None:
    bury(world, "acme", *["Permanent: gone"] * 12, "Permanent: not found")
    text = world.get(f"/dead/{act}?error=gone").text
    assert f"{act.capitalize()} 12 dead letters?" in text
    assert "all dead letters that match: error &#39;gone&#39;" in text
    assert ("required" in text) == (act == "drop")
    assert "Nothing to" in world.get(f"/dead/{act}?error=nobody").text


def test_where_too_many_would_have_to_be_read_no_number_is_made_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bury(world, "acme", *["Permanent: gone"] * 12)
    monkeypatch.setattr("crawlerd.operations.dead.MOST_READ", 5)
    text = world.get("/dead/drop?error=gone").text
    assert "at least 5, counted among the newest 5" in text
    assert "expect" not in hidden(text)
    assert hidden(text)["through"] == "12"
    listed = world.get("/dead?error=gone").text
    assert "At least 5 dead letters" in listed
    assert "5 letters were searched for this page" in listed
    assert "Continue with older ones" in world.get("/dead?error=nobody").text


@pytest.mark.parametrize("query", ["run=x", "since=now", "ids=1,x", "error=" + "x" * 501, "run=" + "9" * 30])
def test_a_filter_that_makes_no_sense_never_means_all(world: World, query: str) -> None:
    bury(world, "acme", "Permanent: gone")
    name, _, value = query.partition("=")
    for path in ("/dead", "/dead/drop"):
        assert world.get(f"{path}?{query}").status == 400
    assert world.post("/dead/drop", {name: value, "reason": "r"}).status == 400
    assert world.asked == []


def test_letters_are_paged_from_the_newest_on_with_the_filter_kept(world: World) -> None:
    bury(world, "acme", *[f"Permanent: gone {number}" for number in range(60)])
    bury(world, "umbrella", *["Permanent: gone"] * 3)
    seen: list[int] = []
    place: str | None = "/dead?import=acme"
    while place:
        assert "import=acme" in place
        text = world.get(place).text
        seen += [int(number) for number in re.findall(r'rowheader"><a href="/dead/(\d+)"', text)]
        place = older(text)
    assert seen == list(range(60, 0, -1))


def test_a_letter_shows_its_attempts_and_to_an_admin_what_it_asks_for(world: World) -> None:
    bury(world, "acme", "Transient: HTTP 500", payload='{"customer":"cus_9"}')
    text = world.get("/dead/1").text
    assert "GET https://api.example/v1?name=acme" in text
    assert "cus_9" in text
    world.may = False
    text = world.get("/dead/1").text
    assert "cus_9" not in text
    assert "GET https://api.example/v1?(only the admin may see this)" in text
    assert "Only an admin may see them" in text
    assert "/dead/retry" not in text
    assert world.get("/dead/77").status == 404


def test_what_is_under_way_stays_when_one_leaves(world: World) -> None:
    bury(world, "acme", *["Permanent: gone"] * 3)
    begin(world, "retry", LetterFilter(import_name="acme"))
    world.frontier.step_operation(1, [1, 2], world.now)
    for path in ("/dead", "/operations"):
        assert "2 of 9,120 retried" in world.get(path).text
    text = world.get("/operations/1").text
    assert "2 of 9,120 dead letters retried" in text
    assert 'action="/operations/1/cancel"' in text
    ended = msgspec.json.encode(world.reading().operation(1))
    world.answer = world.answer._replace(body=ended)
    assert world.post("/operations/1/cancel", {"back": "/operations/1"}).status == 303
    assert world.asked[0][:2] == ("POST", "/api/v1/operations/1/cancel")
    world.frontier.end_operation(1, None, None, world.now)
    assert "/cancel" not in world.get("/operations/1").text
    assert world.get("/operations/9").status == 404


@pytest.mark.parametrize(
    "which",
    [
        ALL,
        LetterFilter(import_name="a&b=c", error="x, y"),
        LetterFilter(ids=[1, 2], run=3, since=1.5, until=2e9, group="0" * 12, stream="s", kind="k.x", account="a/b"),
    ],
)
def test_a_filter_goes_through_an_address_unchanged(which: LetterFilter) -> None:
    assert letter_filters.filter_of(letter_filters.query_of(which)) == which


# accounts


def test_accounts_are_found_by_what_they_wait_for_and_by_name(world: World) -> None:
    for number in range(60):
        wait(world, f"client-{number:03}", [Reason.THROTTLED, Reason.QUOTA][number % 2])
    world.frontier.refuse(world.frontier.account("client-007", "shop"), "HTTP 401", world.now)
    text = world.get("/accounts").text
    assert "Of 60 accounts, 1 has a key that is refused, 29 are out of quota, 30 are throttled." in text
    throttled = next(link for link in links(text, "/accounts") if "reason=throttled" in link)
    seen = re.findall(r'href="/accounts/(client-\d+)"', world.get(throttled).text)
    assert seen == [f"client-{number:03}" for number in range(0, 60, 2)]
    assert re.findall(r'href="/accounts/(client-\d+)"', world.get("/accounts?reason=refused").text) == ["client-007"]
    assert len(re.findall(r'href="/accounts/client-01', world.get("/accounts?prefix=client-01&reason=quota").text)) == 5
    first = world.get("/accounts?prefix=client")
    place = older(first.text)
    assert place
    assert "prefix=client" in place
    rest = re.findall(r'href="/accounts/(client-\d+)"', world.get(place).text)
    assert rest == [f"client-{number:03}" for number in range(50, 60)]
    assert world.get("/accounts?reason=bored").status == 400
    assert "No account matches" in world.get("/accounts?prefix=nobody").text


def test_an_account_says_who_has_paused_it_and_what_limits_it(world: World) -> None:
    wait(world, "acme", Reason.QUOTA, text="400 of 400 requests of the day are used")
    world.frontier.pause(
        PauseNote(kind="account", name="acme", reason="they move their database", by="ben", since=world.now)
    )
    world.frontier.pause(PauseNote(kind="bucket", name="acme/pages", reason="r", by="eva", since=world.now))
    world.frontier.lower(
        LimitNote(account="acme", limits=["5/second"], reason="they asked for it", by="ana", since=world.now)
    )
    limits = {"": ["100/second"], "search": ["20/second"]}
    world.insight.limits_of = lambda account: limits  # type: ignore[method-assign,assignment,return-value]
    text = world.get("/accounts/acme").text
    for said in ("they move their database", "by ben", "100/second", "20/second", "5/second by ana", "they asked"):
        assert said in text
    assert 'action="/resume/account/acme"' in text
    assert 'action="/resume/bucket/acme%2Fpages"' in text
    world.answer = world.answer._replace(body=b"[]")
    assert world.post("/resume/bucket/acme%2Fpages", {"back": "/accounts/acme"}).status == 303
    assert world.asked[0][:2] == ("DELETE", "/api/v1/pauses/bucket/acme%2Fpages")


def test_the_configuration_is_reloaded_where_a_key_is_refused(world: World) -> None:
    wait(world, "acme", Reason.QUOTA)
    world.frontier.refuse(world.frontier.account("acme", "shop"), "HTTP 401", world.now)
    text = world.get("/accounts/acme").text
    assert 'then <a href="/about">reload the configuration</a>' in text
    assert "`" not in text
    assert 'action="/about/reload"' in text
    world.may = False
    assert 'action="/about/reload"' not in world.get("/accounts/acme").text


def test_an_account_is_paused_with_a_reason_and_for_a_time(world: World) -> None:
    wait(world, "acme", Reason.QUOTA)
    (ask,) = links(world.get("/accounts/acme").text, r"/pause\?[^\"]*kind=account")
    text = world.get(ask).text
    assert 'action="/pause/account/acme"' in text
    fields = hidden(text)
    assert world.post("/pause/account/acme", {**fields, "reason": " "}).status == 400
    assert world.post("/pause/account/acme", {**fields, "reason": "r", "for": "soon"}).status == 400
    assert world.asked == []
    world.answer = world.answer._replace(body=b'[{"kind": "account", "name": "acme"}]')
    answer = world.post("/pause/account/acme", {**fields, "reason": "they asked", "for": "2h"})
    assert answer.headers["location"].startswith("/accounts/acme?note=")
    ((method, target, body, _),) = world.asked
    request = msgspec.json.decode(body, type=PauseRequest)
    assert (method, target, request.kind, request.names) == ("POST", "/api/v1/pauses", "account", ["acme"])
    assert request.until
    assert 7_000 < request.until - world.now < 7_400


def test_an_unknown_account_leads_to_those_near_it(world: World) -> None:
    for name in ("acme-eu", "acme-us"):
        wait(world, name, Reason.QUOTA)
    answer = world.get("/accounts/acme-uk")
    assert answer.status == 404
    assert links(answer.text, "/accounts/acme") == ["/accounts/acme-us", "/accounts/acme-eu"]


# operations, audit, about


def test_the_audit_is_filtered_by_who_what_and_when(world: World) -> None:
    for number in range(120):
        at = world.now - 86_400 * (number // 40)
        by = "ana" if number % 2 else "ben"
        world.frontier.pause(PauseNote(kind="account", name=f"a{number}", reason="r", by=by, since=at))
    shown = r"account a(\d+)<"
    assert len(re.findall(shown, world.get("/audit").text)) == 100
    place = older(world.get("/audit?by=ana&since=7d").text)
    assert place is None
    assert len(re.findall(shown, world.get("/audit?by=ana").text)) == 60
    assert len(re.findall(shown, world.get("/audit?by=ana&since=12h").text)) == 20
    assert len(re.findall(shown, world.get("/audit?act=pause").text)) == 100
    rest = older(world.get("/audit?act=pause").text)
    assert rest
    assert len(re.findall(shown, world.get(rest).text)) == 20
    assert "No entry matches." in world.get("/audit?act=drop").text
    assert world.get("/audit?since=yesterday").status == 400


def test_a_file_that_is_wrong_comes_first(world: World) -> None:
    world.insight.in_force = lambda: InForce(  # type: ignore[method-assign,assignment]
        read_at=world.now, problems=["crawlerd.toml: imports.acme: no such account"], wrong_since=world.now
    )
    text = world.get("/about").text
    assert "The configuration file is wrong since" in text
    assert "no such account" in text
    assert "MIT" in text
    world.answer = world.answer._replace(body=b'{"applied": ["imports.acme added"]}')
    answer = world.post("/about/reload", {"back": "/about"})
    assert world.asked[0][:2] == ("POST", "/api/v1/reload")
    assert "Applied: imports.acme added." in world.get(answer.headers["location"]).text


def test_a_backup_is_asked_for_with_its_place_and_its_end_is_shown(world: World) -> None:
    (ask,) = links(world.get("/about").text, r"/about/backup\?")
    fields = hidden(world.get(ask).text)
    assert world.post("/about/backup", {**fields, "path": "/b", "keep": "all"}).status == 400
    told = BackupProgress(path="/b", by="ana", began_at=world.now)
    world.answer = world.answer._replace(status=202, body=msgspec.json.encode(told))
    assert world.post("/about/backup", {**fields, "path": "/b", "keep": "7"}).headers["location"].startswith("/about?")
    ((method, target, body, _),) = world.asked
    assert (method, target) == ("POST", "/api/v1/backup")
    assert msgspec.json.decode(body, type=BackupRequest) == BackupRequest(path="/b", keep=7)
    world.engine.backups.latest = told
    assert "/b, by ana" in world.get("/about").text
    told.error = "the disk is full"
    assert "the disk is full" in world.get("/about").text


# what all of them have in common


def test_texts_of_others_are_texts_wherever_they_are_shown(world: World) -> None:
    name = HOSTILE.replace("/", "")  # which would make it a part of an account
    bury(world, HOSTILE, HOSTILE, account=name, payload=f'{{"name": {msgspec.json.encode(HOSTILE).decode()}}}')
    wait(world, f"{name}2", Reason.QUOTA, text=HOSTILE)
    world.frontier.refuse(world.frontier.account(f"{name}3", "shop"), HOSTILE, world.now)
    world.frontier.pause(PauseNote(kind="account", name=f"{name}2", reason=HOSTILE, by=HOSTILE, since=world.now))
    begin(world, "drop", LetterFilter(error="gone", import_name="x" * 400), HOSTILE, HOSTILE)
    paths = ["/accounts", "/dead", "/dead?error=%3Cscript%3E", "/dead/1", "/operations", "/operations/1", "/audit"]
    paths += ["/dead/drop?error=script", "/about"]
    accounts = world.get("/accounts").text
    paths += links(accounts, "/accounts/%3C")
    assert len(paths) == 12
    paths += links(world.get(paths[-1]).text, r"/pause\?")
    for path in paths:
        answer = world.get(path)
        assert answer.status == 200, path
        assert Looked(answer.text).found == []
        for text in ("<script>alert", "\x1b", "\u202e"):
            assert text not in answer.text, path
        shown = re.sub(r'(href|value|action)="[^"]*"', "", answer.text)
        assert "n" * (1_000 if path != "/dead/1" else 2_100) not in shown, path


@pytest.mark.parametrize(
    "path", ["/accounts", "/accounts/acme", "/dead", "/dead/1", "/operations", "/operations/1", "/audit", "/about"]
)
def test_whoever_may_only_look_sees_no_form_and_all_else(world: World, path: str) -> None:
    bury(world, "acme", "Permanent: gone")
    begin(world, "retry", ALL)
    with_forms = world.get(path).text
    world.may = False
    text = world.get(path).text
    assert 'method="post"' not in text
    assert not links(text, "(?:/pause|/dead/retry|/dead/drop)")
    assert re.findall("<h2>.*?</h2>", text) == re.findall("<h2>.*?</h2>", with_forms)
    (json,) = links(text, "/api/v1/")
    assert json.startswith(("/api/v1" + path.rstrip("/1"), "/api/v1" + path))


def test_more_kinds_of_failure_than_are_listed_are_not_counted_as_those() -> None:
    group = DeadGroup("g", "shop", "shop.page", "Permanent", 404, "gone", 3, 1, 1, 1.0, 2.0, 9)
    count = LetterCount(60_000, 60_000)
    shown = dead_screen.context_of(ALL, count, [group] * 50, LetterPage([], None), [], first=True, groups_cut=True)
    assert str(shown.values["verdict"]).startswith("60,000 dead letters, of more than 50 kinds of failure; 3 of them:")


def test_a_disk_that_is_nearly_full_is_said() -> None:
    disks = [DiskSpace(names=["the frontier"], path="/var", free=5, size=100)]
    found = About(
        version="1", python="3", database="SQLite", host="h", pid=1, file=None, state_dir="/var", listen=None,
        in_force=None, warnings=[], imports=0, accounts=0, sinks=0, files=[], disks=disks, last_backup=None,
        licenses=[],
    )  # fmt: skip
    values = about_screen.context_of(found).values
    assert (values["verdict"], values["tone"]) == ("The disk of the frontier has 5% of its space left.", "warn")
