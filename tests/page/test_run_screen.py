"""The run's chart and its groups of dead letters, the count of dead letters in the navigation, and the refused keys of
the overview."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING

import msgspec
from starlette.applications import Starlette
from support.asgi import get
from test_further_screens import bury, links
from test_page_import_run import configure, words
from test_page_screens import PLAIN, Looked

from crawlerd.frontier.figure_reports import RunFigures, SlowTask
from crawlerd.operations import account_facts, run_history
from crawlerd.operations.history import SECONDS, History
from crawlerd.operations.pulse import SERIES, pulse
from crawlerd.operations.recent_rates import MOST, RecentRates
from crawlerd.operations.top_report import nothing_yet
from crawlerd.service.page import account_screen, overview_screen, run_screen, screen_answers
from crawlerd.service.page.charts import line_chart
from crawlerd.service.page.rendering import regions

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest
    from conftest import World

    from crawlerd.service.page.asked import Shown


def shown(world: World, run: int, rates: Sequence[float | None], limit: float | None = None) -> Shown:
    found = run_history.detail(world.reading(), None, run, world.now)
    return run_screen.context_of(found, 24.6, limit, rates, [], world.now)


def test_the_arguments_of_slow_tasks_are_for_the_admin(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    run = world.run("acme")
    found = run_history.detail(world.reading(), None, run, world.now)
    slow = SlowTask(task=1, kind="shop.page", about='{"email": "a@example.com"}', seconds=1.0)
    found = msgspec.structs.replace(found, figures=RunFigures(slowest=[slow]))
    monkeypatch.setattr(run_history, "detail", lambda *_: found)
    assert "a@example.com" in world.get(f"/runs/{run}").text
    world.may = False
    assert "a@example.com" not in world.get(f"/runs/{run}").text


# the groups of dead letters


def test_dead_letters_of_a_run_are_grouped_by_failure(world: World) -> None:
    bury(world, "acme", "Permanent: HTTP 404: no charge 'ch_0'")  # of another run
    run = bury(world, "acme", *["Permanent: HTTP 404: no charge 'ch_1'"] * 2, "Denied: HTTP 403: not yours")
    page = world.get(f"/runs/{run}").text
    part = regions(page)["groups"]
    rows = [words(row) for row in re.findall(r"<tbody.*?</tbody>", part, re.DOTALL)[0].split("</tr>")[:-1]]
    assert len(rows) == 2
    assert rows[0].startswith("HTTP 404: no charge * shop.page 2 ")
    assert rows[1].startswith("Denied: HTTP 403: not yours shop.page 1 ")
    for act in ("retry", "drop"):
        targets = list(links(part, f"/dead/{act}"))
        assert len(targets) == 2
        assert all(f"run={run}" in target and "group=" in target for target in targets)
    assert "Retry 2 dead letters?" in world.get(links(part, "/dead/retry")[0]).text
    listed = world.get(links(part, r"/dead\?")[0]).text
    assert "no charge" in listed
    assert "not yours" not in listed
    assert Looked(page).found == []
    assert "Dead letters 3 2 kinds of error" in words(regions(page)["tiles"])


def test_a_run_of_very_many_failures_shows_the_most_frequent(world: World) -> None:
    letters = "abcdefghijklmnopqrstuvwxy"
    run = bury(world, "acme", *[f"Permanent: {letter * 3}" for letter in letters], "Permanent: ccc")
    part = regions(world.get(f"/runs/{run}").text)["groups"]
    assert part.count('role="rowheader"') == run_screen.MOST_GROUPS
    assert re.findall(r"\b([a-z])\1\1\b", words(part))[0] == "c"
    assert f"/dead?run={run}" in links(part, "/dead")
    assert "All 26 dead letters and all kinds of failure" in words(part)


def test_dead_letters_of_a_run_have_groups_on_their_own_screen(world: World) -> None:
    bury(world, "acme", "Permanent: HTTP 410: gone")
    run = bury(world, "acme", "Permanent: HTTP 404: no such thing")
    text = world.get(f"/dead?run={run}").text
    assert "1 dead letter, of 1 kind of failure: HTTP 404: no such thing" in text
    assert "HTTP 410" not in text
    assert "By failure" not in world.get(f"/dead?run={run}&kind=shop.page").text


def test_a_run_without_dead_letters_has_no_such_part(world: World) -> None:
    assert "groups" not in regions(world.get(f"/runs/{world.run()}").text)


# the chart


def test_a_run_has_a_chart_of_its_requests_per_second(world: World) -> None:
    run = world.run()
    text = world.get(f"/runs/{run}").text
    assert "Nothing has been measured yet." in regions(text)["chart"]
    found = shown(world, run, [1.0, 2.0, None, 4.0], 5.0)
    assert found.values["limits"] == [5.0] * 4
    assert found.values["rates"] == [1.0, 2.0, None, 4.0]


def test_the_rates_that_the_sampler_has_seen_are_drawn(world: World) -> None:
    run = world.run()
    world.insight.rates = lambda: {run: 24.6}
    world.insight.permitted = lambda account: 25.0
    pages = screen_answers.Pages(world)  # type: ignore[arg-type]
    pages._sampler.sample()
    part = regions(get(Starlette(routes=pages.routes()), f"/runs/{run}").text)["chart"]
    assert 'aria-label="Requests per second of this run: 24.6 of 25 permitted"' in unescape(part)
    assert "peak 25 · 25 permitted now (dashed)" in part
    assert 'class="line"' in part
    assert ">now</text>" in part
    assert ">1 min ago</text>" in part  # as far as there are values


def test_the_chart_of_the_overview_is_as_long_as_what_was_measured(world: World) -> None:
    world.run()
    assert "1 min ago" in regions(world.get("/").text)["chart"]
    history = History(SERIES)
    for second in range(SECONDS):
        history.add(second, {"requests": 2.0, "permitted": 4.0})
    made = overview_screen.context_of(nothing_yet(0.0, alive=True).status, None, pulse(history), history, [], [], {})
    assert made.values["span"] == SECONDS


def test_rates_of_runs_have_bounds_and_gaps() -> None:
    rates = RecentRates[int](end=True)
    assert rates.of(1) == []
    rates.add(0.5, {1: 2.0})
    rates.add(0.9, {1: 9.0})
    rates.add(3.5, {1: 4.0, 2: 8.0})
    assert (rates.of(1), rates.of(2)) == ([2.0, None, None, 4.0], [8.0])
    rates.add(4.5, {2: 8.0})  # run 1 has ended
    assert rates.of(1) == [2.0, None, None, 4.0]
    for second in range(5, 5 + 2 * SECONDS):
        rates.add(second, {2: 1.0})
    assert rates.of(2) == [1.0] * SECONDS
    rates.add(10.0, {2: 5.0})  # late
    assert rates.of(2) == [1.0] * SECONDS


def test_a_run_that_has_ended_makes_room_and_one_under_way_does_not() -> None:
    rates = RecentRates[int](end=True)
    rates.add(0, dict.fromkeys(range(MOST), 1.0))
    under_way = dict.fromkeys(range(1, MOST), 1.0)
    rates.add(1, under_way | {1_000: 3.0, 1_001: 3.0})
    assert (rates.of(0), rates.of(1_000), rates.of(1_001)) == ([], [3.0], [])
    assert rates.of(1) == [1.0, 1.0]


def test_an_account_that_sends_nothing_for_a_while_rests() -> None:
    rates = RecentRates[str](end=False)
    rates.add(0, {"acme": 2.0})
    rates.add(1, {})
    rates.add(3, {"acme": 4.0})
    assert rates.of("acme") == [2.0, 0.0, None, 4.0]
    assert rates.of("umbrella") == []


def test_the_chart_of_an_account_has_its_learned_limit(world: World) -> None:
    world.run()
    assert "It has sent no request in the last 10 minutes." in world.get("/accounts/acme").text
    found = account_facts.account(world.reading(), None, "acme", world.now)
    learned = msgspec.structs.replace(found, permitted=25.0, learned={"": msgspec.Raw(b'{"rate": 7.5}')})
    values = account_screen.context_of(learned, [1.0, 2.0]).values
    assert (values["ceiling"], values["rates"], values["span"]) == (7.5, [1.0, 2.0], 60)
    assert account_screen.context_of(found, []).values["ceiling"] is None


def test_what_happened_to_a_run_begins_with_its_start_and_ends_with_its_end(world: World) -> None:
    run = bury(world, "acme", "Permanent: HTTP 500")
    log = words(regions(world.get(f"/runs/{run}").text)["events"])
    assert re.search(r"What happened .*[\d:]+ it began .*[\d:]+ it ended: failed$", log)
    started = words(regions(world.get(f"/runs/{world.run('umbrella')}").text)["events"])
    assert re.search(r"it began, by schedule$", started)


def test_a_button_does_not_end_the_line_that_it_is_in(world: World) -> None:
    """A form in a paragraph would."""
    configure(world, "acme")
    run = bury(world, "acme", "Permanent: HTTP 500")
    for path in (f"/runs/{run}", "/imports/acme"):
        assert not re.search(r"<p\b(?:(?!</p>).)*<form", world.get(path).text, re.DOTALL), path


def test_while_nothing_has_work_no_limit_is_named() -> None:
    """Of accounts without work, nothing is permitted."""
    assert "permitted" in line_chart([1.0, 2.0], [3.0, 3.0], "", "1 min")
    assert "permitted" not in line_chart([1.0, 0.0], [3.0, 0.0], "", "1 min")


# the navigation


def test_the_navigation_counts_dead_letters_on_every_screen(world: World) -> None:
    world.run()
    assert ">Dead letters<" in world.get("/").text.replace("<!--[dead-count-->", "")
    for _ in range(2):
        bury(world, "acme", *["HTTP 500"] * 600)
    for path in PLAIN:
        text = world.get(path).text
        assert '<span id="dead-count"> (1,200)</span>' in text, path
        assert regions(text)["dead-count"] == '<span id="dead-count"> (1,200)</span>'


# lists


def test_lists_begin_with_a_sentence_and_their_title_has_the_worst(world: World) -> None:
    for name in ("acme", "umbrella"):
        configure(world, name)
    world.run("acme")
    bury(world, "umbrella", "Permanent: HTTP 500")
    for path, sentence in (("/runs", "2 runs: 1 failed, 1 running."), ("/imports", "2 imports: 1 failed, 1 running.")):
        text = world.get(path).text
        assert words(regions(text)["verdict"]) == sentence
        assert f"<title>{path[1:].capitalize()}: 1 failed" in text
    assert words(regions(world.get("/runs?state=failed").text)["verdict"]) == "1 run: 1 failed."
    for _ in range(50):
        world.run("acme")
    assert words(regions(world.get("/runs").text)["verdict"]) == "The newest 50 runs: 50 running."
    assert words(regions(world.get("/runs?after=3").text)["verdict"]) == "These 2 runs: 1 failed, 1 running."


# the overview


def test_a_refused_key_is_tested_where_it_is_reported(world: World) -> None:
    for name in ("acme", "umbrella"):
        configure(world, name)
        world.run(name)
    world.frontier.refuse(world.frontier.account("acme", "shop"), "HTTP 401", world.now)
    text = regions(world.get("/").text)["verdict"]
    assert re.findall(r'action="(/accounts/[^"]*)"', text) == ["/accounts/acme/test"]
    assert 'aria-label="Test the key of account acme">Test the key</button>' in text
    world.answer = world.answer._replace(body=b'{"name": "acme", "state": "works", "text": "HTTP 200"}')
    answer = world.post("/accounts/acme/test", {"back": "/"})
    assert world.asked[-1][:2] == ("POST", "/api/v1/accounts/acme/test")
    assert "The key of acme works: HTTP 200." in world.get(answer.headers["location"]).text
    world.may = False
    assert "Test the key" not in world.get("/").text


def test_each_of_several_refused_keys_has_a_button(world: World) -> None:
    for name in ("acme", "umbrella"):
        configure(world, name)
        world.run(name)
        world.frontier.refuse(world.frontier.account(name, "shop"), "HTTP 401", world.now)
    text = words(regions(world.get("/").text)["verdict"])
    assert "Test the key of acme Test the key of umbrella" in text
