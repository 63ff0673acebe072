"""Campaigns, reports, segments and the like of a Mailchimp that knows no request but those of its official client."""

from __future__ import annotations

import importlib
import inspect
import re
from typing import TYPE_CHECKING, Any

import pytest
from support.installation import until
from support.mailchimp_installation import news
from support.mailchimp_marketing import PATHS, Marketing
from support.receiver import Receiver

from crawlerd.sources.mailchimp.marketing import STREAMS

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.installation import Installation


def found(here: Installation) -> dict[str, set[str]]:
    """The keys of what lives in the sink, by stream; of events without the digest at their end."""
    keys = {stream: set(here.imported("news", stream, "mailchimp")) for stream in STREAMS}
    keys = {stream: each - gone(here, stream) if each else each for stream, each in keys.items()}
    keys["email_activity"] = {key.rpartition("/")[0] for key in keys["email_activity"]}
    return {stream: each for stream, each in keys.items() if each}


def gone(here: Installation, stream: str) -> set[str]:
    rows = here.select(f"SELECT id FROM mailchimp_{stream} WHERE deleted_at IS NOT NULL", path=here.sink_path)
    return {key for (key,) in rows}


def installed(install: Callable[..., Installation], api: Marketing, **options: Any) -> Installation:
    return news(install, api, **{"streams": list(STREAMS), **options})


@pytest.mark.parametrize("most", [1000, 7])
def test_all_of_it_arrives_whenever_it_is_killed(install: Callable[..., Installation], most: int) -> None:
    with Marketing(lists=2, campaigns=9, contacts=23, most=most, latency=0.005) as api:
        here = installed(install, api)
        for step in (5, 20, 40):
            asked = len(api.asked)
            running = here.start("import", "news")
            until(lambda enough=asked + step: len(api.asked) >= enough or not running.running)  # noqa: B023 - it ends within the turn
            if not running.running:
                break
            running.kill()
            here.assert_conserved()
        assert here.run("import", "news").code == 0
        here.assert_conserved()
        assert api.bad == []
        assert api.refused == 0
        assert found(here) == api.living()
        row = here.imported("news", "segment_members", "mailchimp")
        assert all("_links" not in each for each in row.values())
        assert api.most_at_once <= 10


def test_what_lives_stays_while_the_lists_move_and_what_is_gone_goes(install: Callable[..., Installation]) -> None:
    with Marketing(lists=2, campaigns=40, contacts=40, most=7) as api:
        here = installed(install, api)
        api.moving = 1
        assert here.run("import", "news").code == 0
        for stream, keys in api.living().items():
            assert keys <= found(here)[stream], stream
        api.moving = 0
        api.drop("/campaigns", "c39")
        api.drop("/reports", "c39")
        api.drop("/lists/list1/segments", "3")
        api.unseen = {"/campaigns/c30"}
        # The first run has seen what came and went while it read, too: perhaps far more than is left.
        assert here.run("import", "news", "--allow-shrink").code == 0
        living = api.living()
        there = found(here)
        # What was done with a campaign that is gone stays until all of it is read again.
        assert {key.partition("/")[0] for key in there.pop("email_activity")} > set(api.rows["/reports"])
        del living["email_activity"]
        assert there == living
        assert {"c39"} <= gone(here, "campaigns")
        assert "list1/3" in gone(here, "tags")
        assert here.run("import", "news", "--full", "--allow-shrink").code == 0
        assert found(here) == api.living()
        assert api.bad == []


def test_what_contacts_do_is_asked_for_since_the_last_run_and_whole_where_it_is_new(
    install: Callable[..., Installation],
) -> None:
    with Marketing(lists=1, campaigns=3, contacts=30) as api:
        here = installed(install, api, streams=["email_activity"])
        assert here.run("import", "news").code == 0
        asked = len(api.asked)
        now = "2100-01-01T00:00:00+00:00"
        api.ask(lambda: api.act("c1", 4, "click", now, url="https://example.com/1", ip="192.0.2.1"))
        api.ask(lambda: api.act("c1", 4, "click", now, url="https://example.com/2", ip="192.0.2.1"))
        api.ask(lambda: api._fill_campaign("c3", 5))
        done = here.run("import", "news", "--json")
        assert done.code == 0
        assert found(here) == {"email_activity": api.living()["email_activity"]}
        clicks = [row for row in here.imported("news", "email_activity", "mailchimp").values() if "url" in row]
        assert {row["url"] for row in clicks} == {"https://example.com/1", "https://example.com/2"}
        assert all(row["campaign_id"] == "c1" and "activity" not in row for row in clicks)
        since = {path.split("/")[2]: query.get("since") for path, query in api.asked[asked:] if "activity" in path}
        assert since.keys() == {"c0", "c1", "c2", "c3"}
        assert since["c3"] is None
        assert all(since[key] for key in ("c0", "c1", "c2"))
        (run,) = done.json["imports"]["news"]
        assert not run["full"]
        assert run["streams"]["email_activity"]["seen"] == 7

        before = here.select("SELECT * FROM cursor")
        asked = len(api.asked)
        assert here.run("import", "news", "--since", "2026-01-01T00:20").code == 0
        queries = [query for path, query in api.asked[asked:] if "activity" in path]
        assert [query["since"] for query in queries] == ["2026-01-01T00:20:00+00:00"] * 4
        assert here.select("SELECT * FROM cursor") == before
        refused = here.run("import", "news", "--since", "2026-01-01", "--set", "streams=email_activity,campaigns")
        assert refused.code == 78
        assert "in campaigns;" in refused.stderr
        assert api.bad == []


def test_an_event_that_cannot_be_read_is_told_and_nothing_is_taken_for_gone(
    install: Callable[..., Installation],
) -> None:
    with Marketing(lists=1, campaigns=2, contacts=6) as api:
        here = installed(install, api, streams=["email_activity"])
        assert here.run("import", "news").code == 0
        path = "/reports/c1/email-activity"
        contact = next(iter(api.rows[path]))
        event = api.rows[path][contact]["activity"][0]
        time = event.pop("timestamp")
        done = here.run("import", "news", "--full", "--json")
        assert done.code == 3
        assert done.json["imports"]["news"][0]["streams"]["email_activity"]["skipped"] == 1
        event["timestamp"] = time
        assert found(here)["email_activity"] == api.living()["email_activity"]
        assert here.run("import", "news", "--full").code == 0
        assert found(here)["email_activity"] == api.living()["email_activity"]


def test_of_lists_that_are_named_only_those(install: Callable[..., Installation]) -> None:
    streams = ["segments", "segment_members", "merge_fields", "interests", "campaigns"]
    with Marketing(lists=3, campaigns=2, contacts=9) as api:
        here = installed(install, api, streams=streams, lists=["list1"])
        assert here.run("import", "news").code == 0
        wanted = {
            stream: {key for key in api.living()[stream] if stream == "campaigns" or key.startswith("list1/")}
            for stream in streams
        }
        assert found(here) == wanted
        api.ask(
            lambda: api.drop("/lists/list1/segments/2/members", next(iter(api.rows["/lists/list1/segments/2/members"])))
        )
        assert here.run("import", "news").code == 0  # the second reading takes no other list either
        assert {key.partition("/")[0] for key in found(here)["segment_members"]} == {"list1"}
        assert len(gone(here, "segment_members")) == 1
        assert found(here)["segment_members"] == {
            key for key in api.living()["segment_members"] if key.startswith("list1/")
        }
        assert here.run("import", "news", "--set", "lists=list2", "--set", "streams=segments").code == 0
        assert {key.partition("/")[0] for key in found(here)["segments"]} == {"list1", "list2"}
        assert gone(here, "segments") == set()
        done = here.run("import", "news", "--set", "lists=nothing", "--json")
        assert done.code == 3
        assert done.json["imports"]["news"][0]["streams"]["lists"]["dead"] == 1
        assert api.bad == []


def test_refusals_without_json_are_throttling_and_a_404_without_json_is_no_proof(
    install: Callable[..., Installation],
) -> None:
    seen: dict[str, int] = {}

    def faults(path: str) -> str | None:
        seen[path] = seen.get(path, 0) + 1
        if path.endswith("/campaigns") and seen[path] == 1:
            return "html403"
        if path.endswith("/c2"):
            return "html404"
        return "html429" if path.endswith("/segments") and seen[path] == 1 else None

    with Marketing(lists=1, campaigns=20, contacts=3, faults=faults, most=7) as api:
        here = installed(install, api, streams=["campaigns", "segments"])
        done = here.run("import", "news", "--json")
        assert done.code == 0
        (run,) = done.json["imports"]["news"]
        assert run["retried"] == 0
        assert run["throttled"] == 2
        assert found(here)["campaigns"] == {f"c{number}" for number in range(20)}
        api.unseen = {"/campaigns/c2", "/campaigns/c3"}
        api.ask(lambda: api.drop("/campaigns", "c4"))
        done = here.run("import", "news", "--json")
        assert done.code == 3  # what stands before the API knows nothing of c2, which proves nothing
        assert done.json["imports"]["news"][0]["dead"] >= 1
        assert {"c2", "c3"} <= found(here)["campaigns"]
        assert gone(here, "campaigns") == {"c4"}


def test_the_json_of_a_proxy_that_finds_nothing_is_no_proof(install: Callable[..., Installation]) -> None:
    lost: list[str] = []

    def faults(path: str) -> str | None:
        return "json404" if any(path.endswith(each) for each in lost) else None

    with Marketing(lists=1, campaigns=16, contacts=3, faults=faults, most=7) as api:
        here = installed(install, api, streams=["campaigns", "segments", "unsubscribes", "email_activity"])
        assert here.run("import", "news").code == 0
        before = found(here)
        api.unseen = {"/campaigns/c2"}
        lost += ["/segments", "/campaigns/c2", "/unsubscribed", "/email-activity"]
        assert here.run("import", "news", "--full").code == 3
        assert found(here) == before
        assert not any(gone(here, stream) for stream in before)


def test_the_paths_are_those_of_the_official_client() -> None:
    client = pytest.importorskip("mailchimp_marketing")
    known: dict[str, list[str]] = {}
    for name in ("lists", "campaigns", "reports", "automations"):
        text = inspect.getsource(importlib.import_module(f"{client.__name__}.api.{name}_api"))
        for method in text.split("    def ")[1:]:
            path = re.search(r"call_api\(\s*'([^']+)', 'GET'", method)
            if path:
                known[path[1]] = re.findall(r"query_params.append\(\('(\w+)'", method)
    assert {path: names for path, names in PATHS.items() if path != "/"} == known


def test_without_a_sink_they_are_refused(install: Callable[..., Installation]) -> None:
    with Marketing(lists=1, campaigns=1, contacts=1) as api, Receiver() as receiver:
        here = news(install, api, receiver, sink=False, streams=["members", "campaigns"])
        done = here.run("import", "news")
        assert done.code == 78
        assert "campaigns need a sink" in done.stderr
        assert not receiver.attempts
