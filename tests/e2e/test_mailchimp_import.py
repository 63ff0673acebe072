"""Imports of the local Mailchimp: what arrives in the sink and at the receiver while members change."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from support.constants import Constant
from support.mailchimp_api import FIRST_CHANGE, Mailchimp, member_id
from support.mailchimp_installation import news
from support.receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.installation import Installation


def versions(api: Mailchimp) -> dict[tuple[str, int], int]:
    """Each version that is there, once."""
    return {(key, each["merge_fields"]["REVISION"]): 1 for key, each in api.everything().items()}


def test_members_arrive_and_are_delivered_once(install: Callable[..., Installation]) -> None:
    with Mailchimp({"a": 2345, "b": 10, "empty": 0}) as api, Receiver() as receiver:
        here = news(install, api, receiver, deliver={"batch": 300})
        done = here.run("import", "--all", "--json")
        assert done.code == 0, done.stderr
        assert here.imported("news", "members", "mailchimp") == api.everything()
        assert set(here.imported("news", "lists", "mailchimp")) == {"a", "b", "empty"}
        assert dict(receiver.applied) == versions(api)
        assert max(receiver.sizes) == 300


@pytest.mark.parametrize("inclusive", [True, False])
@pytest.mark.parametrize("spread", [1, 40, 1100, 10**9])
def test_no_member_is_lost_while_they_change(
    install: Callable[..., Installation], spread: int, inclusive: bool
) -> None:
    """spread: members whose last change was in the same second."""

    def changed(number: int) -> int:
        return FIRST_CHANGE + number // spread

    with (
        Mailchimp({"a": 9_000}, changed=changed, edits=40, deletions=4, inclusive=inclusive) as api,
        Receiver() as receiver,
    ):
        here = news(install, api, receiver, lists=["a"])
        assert here.run("import", "--all").code == 0
        found, there = here.imported("news", "members", "mailchimp"), api.everything()
        assert there.keys() <= found.keys()
        assert there.keys() <= receiver.held.keys()
        assert set(receiver.applied.values()) == {1}
        for key in there:
            assert receiver.held[key]["revision"] == found[key]["merge_fields"]["REVISION"]
        api.edits = api.deletions = 0
        assert here.run("import", "--all").code == 0
        found = here.imported("news", "members", "mailchimp")
        assert {key: found[key] for key in there} == there
        assert {key: receiver.held[key]["revision"] for key in there} == {
            key: each["merge_fields"]["REVISION"] for key, each in there.items()
        }
        assert set(receiver.applied.values()) == {1}


def test_the_next_run_delivers_what_has_changed(install: Callable[..., Installation]) -> None:
    with Mailchimp({"a": 1500, "b": 30}) as api, Receiver() as receiver:
        here = news(install, api, receiver, lists=["a", "b"], streams=["members"], sink=False)
        assert here.run("import", "--all").code == 0
        assert dict(receiver.applied) == versions(api)
        requests = len(api.requests)
        assert here.run("import", "--all").code == 0
        assert dict(receiver.applied) == versions(api)  # in what was read again, nothing is new
        assert len(api.requests) - requests == 3  # the guard, and a page of each list
        api.change("a", edits=3, additions=2)
        assert here.run("import", "--all").code == 0
        assert receiver.applied.keys() >= versions(api).keys()
        assert set(receiver.applied.values()) == {1}
        assert len(receiver.applied) == 1530 + 5
        assert not here.sink_path.exists()


@pytest.mark.parametrize("sink", [True, False])
@pytest.mark.parametrize("way", ["path", "host"])
def test_another_receiver_gets_everything(install: Callable[..., Installation], sink: bool, way: str) -> None:
    with Mailchimp({"a": 150}) as api, Receiver() as receiver, Receiver() as other:
        here = news(install, api, receiver, lists=["a"], streams=["members"], sink=sink)
        assert here.run("import", "--all").code == 0
        if way == "host":
            here.config["accounts"]["crm"]["base_url"] = other.url
        else:
            here.config["imports"]["news"]["deliver"]["path"] += "/again"
        done = here.run("import", "--all")
        assert done.code == 0
        assert "full: " in done.stdout
        got = other if way == "host" else receiver
        assert got.held.keys() == {key for key, _ in versions(api)}
        assert len(got.attempts) == (1 if way == "host" else 2)  # batches of up to 500
        again = here.run("import", "--all")
        assert "full: " not in again.stdout
        assert len(got.attempts) == (1 if way == "host" else 2)


def test_deletions_show_in_the_next_sweep(install: Callable[..., Installation]) -> None:
    with Mailchimp({"a": 1200, "b": 30, "c": 5}) as api:
        here = news(install, api, sweep="1h")

        def gone() -> set[str]:
            rows = here.select(
                "SELECT id FROM mailchimp_members WHERE deleted_at IS NOT NULL UNION ALL "
                "SELECT id FROM mailchimp_lists WHERE deleted_at IS NOT NULL",
                path=here.sink_path,
            )
            return {key for (key,) in rows}

        assert here.run("import", "--all").code == 0
        before = api.everything()
        api.change("a", deletions=7)
        api.ask(lambda: api.audiences.pop("c"))
        assert here.run("import", "--all").code == 0
        assert gone() == set()  # what has changed is read, and deletions are no change
        here.change_published("sweep", lambda started: str(float(started) - 3600))
        done = here.run("import", "--all", "--json")
        assert done.code == 0
        assert gone() == (before.keys() - api.everything().keys()) | {"c"}
        assert done.json["imports"]["news"][0]["streams"]["members"]["tombstoned"] == 12
        assert (
            done.json["imports"]["news"][0]["full_reason"] == "the last run that read everything was more than 1h ago"
        )
        requests = len(api.requests)
        assert here.run("import", "--all").code == 0
        assert len(api.requests) - requests == 4


def test_members_that_a_list_leaves_out_stay(install: Callable[..., Installation]) -> None:
    with Mailchimp({"a": 1200, "b": 300}) as api:
        here = news(install, api)
        assert here.run("import", "--all").code == 0
        before = api.everything()
        api.change("a", deletions=3)
        api.hidden = {member_id(number) for number in range(0, 200, 7)}
        assert here.run("import", "--all", "--full").code == 0
        rows = here.select("SELECT id FROM mailchimp_members WHERE deleted_at IS NOT NULL", path=here.sink_path)
        assert {key for (key,) in rows} == before.keys() - api.everything().keys()


def test_a_sweep_of_some_lists_leaves_the_others_alone(install: Callable[..., Installation]) -> None:
    with Mailchimp({"a": 20, "b": 20}) as api:
        here = news(install, api)
        assert here.run("import", "--all").code == 0
        api.change("a", deletions=2)
        api.change("b", deletions=2)
        here.config["imports"]["news"]["lists"] = "a"
        assert here.run("import", "--all", "--full").code == 0
        rows = here.select("SELECT id FROM mailchimp_members WHERE deleted_at IS NOT NULL", path=here.sink_path)
        assert [key[:2] for (key,) in rows] == ["a/", "a/"]


def test_many_lists_and_receivers_from_csv_files(install: Callable[..., Installation]) -> None:
    with Mailchimp({f"list{n}": 30 for n in range(60)}) as api, Receiver() as receiver:
        here = news(install, api, receiver, streams=["members"])
        usual = here.config["imports"].pop("news")
        usual["deliver"].pop("account")
        here.config["accounts_csv"] = {"file": "receivers.csv", **here.config["accounts"].pop("crm")}
        here.config["imports_csv"] = {"file": "lists.csv", **usual}
        (here.folder / "receivers.csv").write_text("name,concurrency\n" + "".join(f"crm{n},2\n" for n in range(20)))
        rows = "".join(f"i{n},list{n},crm{n % 20},/contacts/{n % 20}\n" for n in range(60))
        (here.folder / "lists.csv").write_text("name,lists,deliver.account,deliver.path\n" + rows)
        assert here.run("import", "--all").code == 0
        assert dict(receiver.applied) == versions(api)
        assert receiver.paths.keys() == {f"/contacts/{n}" for n in range(20)}  # three lists each have one outbox
        assert here.imported("news", "members", "mailchimp") == api.everything()
        assert api.requests.count("/3.0/") == 1  # the check of the credentials that all of them share


def test_ambiguous_and_refused_deliveries_are_repeated_under_their_key(install: Callable[..., Installation]) -> None:
    seen: dict[str, int] = {}
    order: list[str] = []

    def misbehave(_number: int, key: str) -> str | None:
        seen[key] = seen.get(key, 0) + 1
        if seen[key] == 1:
            order.append(key)
        faults = [["reset", "500"], ["reset", "reset"], ["503", "reset"], ["fewer"], ["429", "429", "429", "429"], []]
        mine = faults[order.index(key) % len(faults)]
        return mine[seen[key] - 1] if seen[key] <= len(mine) else None

    with Mailchimp({"a": 3000}) as api, Receiver(misbehave) as receiver:
        here = news(install, api, receiver, lists=["a"], deliver={"batch": 100})
        here.constants |= {Constant.OUTAGE_FIRST_PROBE: 0.2, Constant.OUTAGE_LONGEST_PROBE: 0.5}
        done = here.run("import", "--all", "--json")
        assert done.code == 0, done.stderr
        assert receiver.applied.keys() == versions(api).keys()
        assert max(seen.values()) == 5
        again = {key for key, times in receiver.tries().items() if len(times) > 1}
        assert len(again) > 10


def test_a_receiver_that_is_down_is_waited_for(install: Callable[..., Installation]) -> None:
    down = True
    with Mailchimp({"a": 1200}) as api, Receiver(lambda number, key: "500" if down else None) as receiver:
        here = news(install, api, receiver, lists=["a"], deliver={"retry_delay": "300ms", "batch": 100})
        done = here.run("import", "--all", "--wait", "2s", "--json")
        assert done.code == 69
        assert here.select("SELECT count(*) FROM dead") == [(0,)]
        assert here.imported("news", "members", "mailchimp") == api.everything()
        down = False
        assert here.run("import", "--all").code == 0
        assert dict(receiver.applied) == versions(api)


def test_no_run_waits_for_ever_for_its_receiver(install: Callable[..., Installation]) -> None:
    with Mailchimp({"a": 10}) as api, Receiver(lambda number, key: "429") as receiver:
        here = news(install, api, receiver, lists=["a"], deliver={"expires": "1s"})
        assert here.run("import", "--all").code == 3
        assert "not delivered in time, the next run goes on: HTTP 429" in here.run("dead", "list").stdout


@pytest.mark.alone
def test_the_limits_of_both_accounts_hold(install: Callable[..., Installation]) -> None:
    with Mailchimp({str(n): 120 for n in range(40)}, latency=0.05) as api, Receiver(latency=0.02) as receiver:
        here = news(
            install,
            api,
            receiver,
            daemon={"worker_processes": 2},
            deliver={"batch": 20},
            crm={"limits": ["50/second"], "concurrency": 3},
        )
        assert here.run("import", "--all").code == 0
        assert dict(receiver.applied) == versions(api)
        assert (api.refused, api.most_at_once) == (0, 10)
        at = sorted(at for at, _ in receiver.attempts)
        assert len(at) >= 240
        assert max(bisect_left(at, each + 1.0) - index for index, each in enumerate(at)) <= 50


def test_mailchimps_refusals_without_json_slow_it_down_and_lose_nothing(install: Callable[..., Installation]) -> None:
    dice = random.Random(1)
    in_a_row: Counter[str] = Counter()  # of a list; as many as its tries would make a dead letter, rightly

    def faults(path: str) -> str | None:
        fault = dice.choice(["html429", "html403", "500", "reset", None, None, None, None])
        if not path.endswith("/members") or in_a_row[path] >= 4:
            fault = None
        in_a_row[path] = in_a_row[path] + 1 if fault else 0
        return fault

    with Mailchimp({str(n): 50 for n in range(20)}, faults=faults) as api, Receiver() as receiver:
        here = news(install, api, receiver)
        done = here.run("import", "--all", "--json")
        assert done.code == 0, done.stderr
        assert dict(receiver.applied) == versions(api)
        assert done.json["imports"]["news"][0]["throttled"] > 0
