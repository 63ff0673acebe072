"""Mailchimp's paging, against lists that change between any two requests: nothing is lost, nothing goes back."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from support.mailchimp_api import Audience

from crawlerd.core.listing import listing
from crawlerd.engine import kinds
from crawlerd.source import MISSING_KEYS, Cursor, Full, Gather, NotFound, Records, RunPlan, Sweep
from crawlerd.sources.mailchimp.members import MailchimpImport, mailchimp
from crawlerd.sources.mailchimp.missing import Missing

if TYPE_CHECKING:
    from datetime import datetime


from datetime import datetime

START = 1_700_000_000  # Unix seconds of the first run


class World:
    """One list, its API and a sink. Time goes on with every request."""

    def __init__(self, audience: Audience, dice: random.Random, **behaviour: Any) -> None:
        self.audience, self.dice = audience, dice
        self.now = float(START)
        self.sink: dict[str, dict[str, Any]] = {}
        self.seen: set[str] = set()
        self.cursors: dict[str, str] = {}
        self.churn = behaviour.pop("churn")
        self.behaviour = behaviour

    mode = ""

    def get(self, path: str, params: dict[str, Any]) -> Any:
        self.now += self.dice.choice((0.0, 0.1, 1.0, 30.0))
        self.change(self.dice.randrange(self.churn + 1), self.dice.randrange(self.churn // 4 + 1))
        match path.split("/"):
            case [_, "lists", name]:
                return {"id": name}
            case [_, "lists", name, "members", key]:
                found = self.audience.everything().get(f"{name}/{key}")
                if found is None:
                    raise NotFound("gone")
                return found
        since = params["since_last_changed"]
        at = None if since is None else int(datetime.fromisoformat(since).timestamp())
        most = min(params["count"], self.behaviour["most"])
        members, total = self.audience.page(at, params["offset"], most, inclusive=self.behaviour["inclusive"])
        if self.behaviour["counts_all"]:
            total = len(self.audience.revisions)
        return {"members": members, "total_items": total}

    def listing(self, path: str, params: dict[str, Any], **options: Any) -> Any:
        return listing(msgspec.json.encode(self.get(path, params)), **options)

    def change(self, edits: int, deletions: int, additions: int = 0) -> None:
        for _ in range(additions):
            self.audience.add(int(self.now))
        for _ in range(min(edits, len(self.audience.revisions))):
            self.audience.edit(self.dice.choice(list(self.audience.revisions)), int(self.now))
        for _ in range(min(deletions, len(self.audience.revisions))):
            self.audience.delete(self.dice.choice(list(self.audience.revisions)))

    def run(self, options: MailchimpImport) -> None:
        """A run to its end, its tasks in any order that groups permit."""
        plan = RunPlan(["members"], full=False, started_at=self.now, cursors=dict(self.cursors), options=options)
        staged: dict[str, str] = {}
        self.seen = set()
        groups: list[dict[str, Any]] = []
        ready: list[tuple[Any, tuple[int, ...]]] = []

        def open_up(outputs: Any, inside: tuple[int, ...]) -> None:
            for output in outputs:
                match output:
                    case Records():
                        for key, text in zip(output.keys, output.objects, strict=True):
                            data = msgspec.json.decode(text)
                            before = self.sink.get(str(key), data)["merge_fields"]["REVISION"]
                            assert before <= data["merge_fields"]["REVISION"]
                            self.sink[str(key)] = data
                            self.seen.add(str(key))
                    case Cursor():
                        staged[output.stream] = output.value
                    case Full():
                        pass
                    case Sweep(otherwise=Missing() as task):
                        missing = tuple(sorted(key for key in self.sink if key not in self.seen and key > output.after))
                        if missing:
                            add(replace(task, missing=missing[:MISSING_KEYS]), inside)
                    case Sweep():
                        for key in [key for key in self.sink if key not in self.seen]:
                            assert key.startswith(output.prefix)
                            del self.sink[key]
                    case Gather():
                        groups.append({"open": len(output.tasks), "then": output.then, "inside": inside})
                        for each in output.tasks:
                            add(each, (*inside, len(groups) - 1))
                        settle(len(groups) - 1)
                    case _:
                        add(output, inside)

        def add(task: Any, inside: tuple[int, ...]) -> None:
            ready.append((task, inside))
            for number in inside:
                groups[number].setdefault("members", 0)
                groups[number]["members"] += 1

        def settle(number: int) -> None:
            group = groups[number]
            if group.get("members", 0) == 0 and group["then"] is not None:
                then, group["then"] = group["then"], None
                add(then, group["inside"])

        open_up(mailchimp.begins(plan), ())
        tasks = 0
        while ready:
            tasks += 1
            assert tasks < 5_000
            task, inside = ready.pop(self.dice.randrange(len(ready)))
            open_up(list(kinds.perform(mailchimp, self, task.kind, kinds.new_task(mailchimp, task).payload)), inside)
            for number in reversed(inside):
                groups[number]["members"] -= 1
                settle(number)
        self.cursors |= staged


@given(
    members=st.integers(0, 300),
    spread=st.sampled_from([1, 3, 20, 70, 10**6]),
    most=st.sampled_from([8, 40, 1000]),
    churn=st.sampled_from([0, 3]),
    inclusive=st.booleans(),
    counts_all=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_nothing_is_lost_and_nothing_goes_back(
    members: int, spread: int, most: int, churn: int, inclusive: bool, counts_all: bool, seed: int
) -> None:
    audience = Audience("a", members, lambda number: START - 100_000 + number // spread)
    world = World(audience, random.Random(seed), churn=churn, most=most, inclusive=inclusive, counts_all=counts_all)
    options = MailchimpImport(lists=("a",))

    def check() -> None:
        there = audience.everything()
        assert there.keys() <= world.sink.keys()

    world.run(options)
    check()
    world.now += 3600
    world.change(10, 2, 5)
    world.now += 5
    world.run(options)
    check()
    world.now += 100_000
    world.churn = 0
    world.run(options)  # sweeps
    check()
    there = audience.everything()
    assert world.sink == there
