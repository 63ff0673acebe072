"""The screens of imports and runs, and what is asked before something is done to them."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

import pytest
from support.ready_tasks import all_heads
from test_page_screens import HOSTILE, Looked

from crawlerd.core.configuration import ImportSpec
from crawlerd.core.outcome import Bury, Complete
from crawlerd.core.pauses import PauseNote
from crawlerd.frontier.contract import OutageNote, Settled
from crawlerd.frontier.letter_filter import ALL
from crawlerd.frontier.reports import Act, OperationReport
from crawlerd.operations.history import MINUTES, SECONDS, History
from crawlerd.operations.pulse import SERIES, Rates, pulse
from crawlerd.service.page.page_texts import segment
from crawlerd.service.page.screens import SCREENS

if TYPE_CHECKING:
    from conftest import World

    from crawlerd.core.outcome import Outcome
    from crawlerd.core.pauses import Pausable


def words(text: str) -> str:
    """As they are read."""
    return html.unescape(" ".join(re.sub(r"<[^>]*>", " ", text).split()))


def end(world: World, run: int, outcome: Outcome) -> None:
    heads = [head for head in all_heads(world.frontier, 99) if head.run == run]
    world.frontier.commit([Settled(head, 1, outcome) for head in heads], now=world.now + 60)


def configure(world: World, name: str) -> None:
    world.imports[name] = ImportSpec(name=name, account=name, sink="warehouse", streams=("orders",))


def test_a_run_says_what_it_waits_for_and_then_what_it_has_brought(world: World) -> None:
    run = world.run("acme")
    text = words(world.get(f"/runs/{run}").text)
    assert "0% of the tasks known so far are done" in text
    assert "Cancel run…" in text
    end(world, run, Complete())
    text = words(world.get(f"/runs/{run}").text)
    assert "It completed after 1 min: 0 records of 1 task." in text
    assert "Cancel run" not in text


def test_dead_letters_of_a_run_are_shown_and_retried(world: World) -> None:
    run = world.run("acme")
    end(world, run, Bury("HTTP 404: no such customer"))
    text = world.get(f"/runs/{run}").text
    assert "no such customer" in words(text)
    (target,) = re.findall(r'action="(/runs/\d+/retry)"', text)
    world.answer = world.answer._replace(body=b'{"retried": 1, "left": false}')
    answer = world.post(target, {"back": f"/runs/{run}"})
    assert world.asked[-1][:2] == ("POST", f"/api/v1/runs/{run}/retry")
    assert f"1 dead letter is tried again, of run {run}." in words(world.get(answer.headers["location"]).text)


def test_who_may_not_act_sees_no_buttons(world: World) -> None:
    run = world.run("acme")
    configure(world, "acme")
    world.may = False
    for path in (f"/runs/{run}", "/imports/acme", "/"):
        text = world.get(path).text
        assert 'method="post"' not in text
        assert "…</a>" not in text
    for path in (f"/runs/{run}/cancel", "/imports/acme/full", "/dead/drop?run=1", "/pause?kind=import&name=acme"):
        assert 'method="post"' not in world.get(path).text
    assert world.get("/about/backup").status == 403


@pytest.mark.parametrize("path", ["/runs/99", "/runs/x", "/imports/nobody", "/runs/9/cancel", "/imports/nobody/full"])
def test_what_there_is_not_is_said(world: World, path: str) -> None:
    world.run("acme")
    answer = world.get(path)
    assert answer.status == 404
    assert Looked(answer.text).found == []
    assert "Not found" in answer.text


def test_an_import_that_has_not_run_says_when_it_will(world: World) -> None:
    configure(world, "acme")
    text = words(world.get("/imports/acme").text)
    assert "It has not run yet. It starts only on demand." in text
    assert "account acme" in text


def test_everything_about_an_import_is_asked_for_as_the_api_has_it(world: World) -> None:
    configure(world, "acme")
    world.run("acme")
    page = world.get("/imports/acme/full?back=/imports/acme").text
    assert 'action="/imports/acme/run"' in page
    world.answer = world.answer._replace(body=b'{"runs": [2], "resumed": false}')
    world.post("/imports/acme/run", {"full": "true", "streams": "orders, lines", "back": "/imports/acme"})
    assert world.asked[-1][2] == b'{"full":true,"streams":["orders","lines"]}'
    point = {"name": "acme", "point": "orders", "value": '{"after": 3}', "back": "/"}
    assert world.post("/imports/acme/syncpoints", {**point, "typed": "acne"}).status == 400
    assert len(world.asked) == 1
    assert world.post("/imports/acme/syncpoints", {**point, "typed": "acme"}).status == 303
    assert world.asked[-1][:3] == ("PUT", "/api/v1/imports/acme/syncpoints", b'{"points":{"orders":{"after":3}}}')


def test_texts_of_others_are_texts_on_these_screens(world: World) -> None:
    configure(world, HOSTILE)
    run = world.run(HOSTILE)
    end(world, run, Bury(f"{HOSTILE}\n{HOSTILE}"))
    for path in (f"/runs/{run}", f"/imports/{segment(HOSTILE)}", f"/imports/{segment(HOSTILE)}/full", "/imports", "/"):
        answer = world.get(path)
        assert answer.status == 200, path
        assert Looked(answer.text).found == []
        for bad in ("<script>alert", "\x1b", "\u202e"):
            assert bad not in answer.text
        assert max(map(len, words(answer.text).split())) < 1_000, path


def test_imports_that_need_a_look_are_first_and_a_filter_keeps_what_it_says(world: World) -> None:
    for name in ("acme", "umbrella"):
        configure(world, name)
        end(world, world.run(name), Bury("HTTP 500") if name == "umbrella" else Complete())
    text = world.get("/").text
    rows = re.findall(r'<tr role="row" id="import-\w+">.*?href="/imports/(\w+)"', text, re.DOTALL)
    assert rows == ["umbrella", "acme"]
    assert "<title>1 needs a look" in text
    assert re.findall(r'id="import-\w+">.*?href="/imports/(\w+)"', world.get("/?q=acm").text, re.DOTALL) == ["acme"]
    assert "No import matches this filter." in world.get("/?q=nobody").text


def test_reasons_that_the_overview_leaves_out_are_one_click_away(world: World) -> None:
    for number in range(12):
        configure(world, f"acme-{number}")
        end(world, world.run(f"acme-{number}"), Bury("HTTP 500"))
    named = re.compile(r"<li>import <a [^>]+>(acme-\d+)")
    text = world.get("/").text
    assert len(named.findall(text)) == 8
    (target,) = re.findall(r'<li><a href="([^"]+)">5 more</a>', text)
    whole = world.get(target).text
    assert len(set(named.findall(whole))) == 12
    assert "nothing is scheduled" in whole
    assert " more</a>" not in whole


@pytest.mark.parametrize(("kind", "button"), [("import", "Resume"), ("account", "Resume account")])
def test_what_was_paused_is_what_is_resumed(world: World, kind: Pausable, button: str) -> None:
    """An import whose account is paused is not paused itself."""
    configure(world, "acme")
    world.run("acme")
    world.frontier.pause(PauseNote(kind=kind, name="acme", reason="they move", by="eva", since=world.now))
    for path in ("/", "/imports", "/imports/acme"):
        text = world.get(path).text
        assert re.findall(r'action="(/resume/[^"]*)"', text) == [f"/resume/{kind}/acme"], path
        assert "acme ‖ paused" in words(text), path
        assert f">{button}" in text, path


def test_an_import_that_cannot_start_says_why(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(world, "acme")
    end(world, world.run("umbrella"), Complete())
    monkeypatch.setattr(world.insight, "refusals", lambda: {"acme": "sinks.warehouse: cannot write"})
    assert "It cannot start: sinks.warehouse: cannot write." in words(world.get("/imports/acme").text)


def test_the_state_of_the_last_run_is_a_sentence(world: World) -> None:
    configure(world, "acme")
    run = world.run("acme")
    end(world, run, Bury("Permanent: HTTP 500"))
    text = words(world.get("/imports/acme").text)
    assert f"The last run, {run}, has failed: 0 records." in text
    assert f"run {run} of import acme has ended: failed" in text
    assert "1 dead letter: look at them" in text
    assert "Permanent" not in text


def test_nobody_says_that_an_outage_ends_with_the_next_probe(world: World) -> None:
    configure(world, "acme")
    world.run("acme")
    origin = "https://api.example"
    note = OutageNote(origin, 0, world.now - 60, world.now + 300, 160.0, "connection refused")
    world.frontier.commit([], now=world.now, outages={(origin, 0): note})
    text = words(world.get("/").text)
    assert re.search(
        rf"{origin}: does not answer: connection refused, since (yesterday )?[\d:]+ ; the next probe is sent in \d",
        text,
    )
    assert "it goes on" not in text


def test_what_needs_no_look_is_set_apart(world: World) -> None:
    """So that as many reasons as need a look follow the sentence that counts them."""
    configure(world, "acme")
    end(world, world.run("acme"), Bury("HTTP 500"))
    said = re.findall(r"<ul>(.*?)</ul>", world.get("/").text.split('id="verdict"')[1].split("</section>")[0], re.DOTALL)
    look, note = map(words, said)
    assert look.startswith("import acme : 1 dead letter of run 1: look at them")
    assert note == "crawlerd: nothing is scheduled: no import has a schedule"


def test_before_a_run_has_ended_no_duration_is_made_up(world: World) -> None:
    configure(world, "acme")
    world.run("acme")
    text = words(world.get("/imports/acme").text)
    assert "none has ended yet" in text
    assert "0 ms at most" not in text


def test_an_import_on_demand_that_never_ran_is_no_reason_to_look(world: World) -> None:
    configure(world, "acme")
    configure(world, "umbrella")
    end(world, world.run("acme"), Complete())
    text = words(world.get("/").text)
    assert "umbrella ○ never ran" in text
    assert "it starts only on demand" in text
    assert "not run yet" not in text


def test_every_live_screen_has_parts_and_no_two_of_one_name(world: World) -> None:
    configure(world, "acme")
    run = world.run("acme")
    kept = OperationReport(id=0, act="retry", which=ALL, through=9, by="eva", began_at=world.now, total=9)
    world.frontier.begin_operation(kept, Act(world.now, "eva", "retry", "dead letters", "all", 9))
    for screen in SCREENS:
        if screen.live:
            path = re.sub(r"{name\S*?}", "acme", screen.path)
            path = re.sub(r"{number\S*?}", str(run), path)
            if (answer := world.get(path)).status == 404:  # there is none of that yet
                continue
            text = answer.text
            names = re.findall(r"<!--\[([\w-]+)-->", text)
            assert len(names) == len(set(names))
            for name in names:
                assert text.count(f'id="{name}"') == 1, (path, name)
            assert 'id="stream" data-from="/live?at=' in text
            assert "hx-sse:connect" not in text  # which htmx may see before its extension is there


def test_rates_are_of_what_was_counted_in_between() -> None:
    rates = Rates()
    assert rates.of(10.0, {"requests": 5}) == {}
    assert rates.of(12.0, {"requests": 45}) == {"requests": 20.0}


def test_how_it_goes_is_told_of_what_was_measured() -> None:
    history = History(SERIES)
    assert pulse(history).requests is None
    for second in range(3_600):
        values = {"requests": 20.0, "permitted": 25.0, "throttled": 0.5, "requested": 3.0, "stored": 1.0}
        history.add(second, {**values, "free": 10e9 - 1e6 * second})
    found = pulse(history)
    assert (found.requests, found.permitted, found.throttled, found.answers) == (20.0, 25.0, 150, 6_000)
    assert found.stages["requested"] == 0.75
    assert found.full_in == pytest.approx((10e9 - 1e6 * 3_600) / 1e6, rel=0.01)


def test_what_was_measured_has_bounds_and_a_gap_where_nothing_was() -> None:
    history = History(("requests",))
    history.add(0.5, {"requests": 1.0})
    history.add(3.5, {"requests": 3.0})
    history.add(3.9, {"requests": 9.0})
    assert history.seconds("requests") == [1.0, None, None, 3.0]
    history.add(61.0, {"requests": 5.0})
    assert history.minutes("requests") == [2.0]
    for second in range(62, 90_000, 7):
        history.add(second, {"requests": 1.0})
    assert (len(history.seconds("requests")), len(history.minutes("requests"))) == (SECONDS, MINUTES)
