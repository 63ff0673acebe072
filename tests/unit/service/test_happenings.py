"""What happens, as events that nobody misses: on a real event loop, with the log's own events."""

from __future__ import annotations

import asyncio
import re
from contextlib import aclosing
from typing import TYPE_CHECKING

import msgspec
import pytest

from crawlerd.core.log_events import Event, listeners, tell
from crawlerd.service.web import happenings
from crawlerd.service.web.happenings import KEPT, Happenings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

Scene = "Callable[[Happenings], Awaitable[None]]"


def played(scene: Callable[[Happenings], Awaitable[None]], sentence: Callable[[], str] = lambda: "all is well") -> None:
    async def run() -> None:
        made = Happenings(asyncio.get_running_loop(), sentence)
        try:
            async with asyncio.timeout(20):
                await scene(made)
        finally:
            made.close()

    asyncio.run(run())
    assert not listeners


def begin(number: int) -> None:
    tell(Event.RUN_STARTED, "import %s: run %d", "acme", number, run=number, import_name="acme")


def kind(message: bytes) -> str:
    found = re.search(rb"event: (\w+)", message)
    assert found
    return found[1].decode()


def data(message: bytes) -> dict[str, object]:
    assert message.endswith(b"\n\n")
    found: dict[str, object] = msgspec.json.decode(message.partition(b"data: ")[2])
    return found


def number(message: bytes) -> str:
    return message.partition(b"\n")[0].removeprefix(b"id: ").decode()


async def following(messages: AsyncIterator[bytes], many: int) -> list[bytes]:
    return [await anext(messages) for _ in range(many)]


def test_what_happens_comes_at_once_with_its_kind_and_fields() -> None:
    async def scene(made: Happenings) -> None:
        async with aclosing(made.messages(None)) as messages:
            first = await anext(messages)
            assert (kind(first), data(first)["text"]) == ("verdict", "all is well")
            begin(7)
            tell(Event.PAUSED, "paused \x1b[31m\u202e", account="a", by="me", reason="x" * 1000)
            tell(Event.OPERATION_BEGAN, "begins", operation=1, act="retry", letters=3, by="me")
            run, pause, operation = await following(messages, 3)
        assert [kind(each) for each in (run, pause, operation)] == ["run", "pause", "operation"]
        assert data(run)["event"] == "run_started"
        assert data(run)["fields"] == {"run": 7, "import": "acme"}
        assert b"\x1b" not in pause
        assert "\u202e".encode() not in pause
        assert len(pause) < 1200

    played(scene)


def test_who_comes_again_has_missed_nothing() -> None:
    async def scene(made: Happenings) -> None:
        async with aclosing(made.messages(None, ["run"])) as messages:
            for each in range(3):
                begin(each)
            seen = await following(messages, 3)
        for each in range(3, 6):
            begin(each)
        async with aclosing(made.messages(number(seen[1]), ["run"])) as messages:
            again = await following(messages, 4)
        assert [data(each)["fields"]["run"] for each in again] == [2, 3, 4, 5]  # type: ignore[index]

    played(scene)


@pytest.mark.parametrize("last", ["1-5", "nonsense", "", "{boot}-9999", "{boot}-x", "{boot}-1"])
def test_who_was_away_for_too_long_is_told_to_read_again(last: str) -> None:
    async def scene(made: Happenings) -> None:
        for each in range(KEPT + 5):
            begin(each)
        await asyncio.sleep(0.01)
        async with aclosing(made.messages(last.format(boot=made._boot), ["run"])) as messages:
            reset = await anext(messages)
            assert kind(reset) == "reset"
            begin(-1)
            assert data(await anext(messages))["fields"]["run"] == -1  # type: ignore[index]
        async with aclosing(made.messages(number(reset), ["run"])) as messages:  # which is a place to go on from
            assert data(await anext(messages))["fields"]["run"] == -1  # type: ignore[index]

    played(scene)


def test_the_verdict_comes_when_it_changes_and_only_while_somebody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(happenings, "VERDICT_SECONDS", 0.01)
    said, looks = ["well"], [0]

    def sentence() -> str:
        looks[0] += 1
        return said[0]

    async def scene(made: Happenings) -> None:
        await asyncio.sleep(0.05)
        assert not looks[0]
        async with aclosing(made.messages(None)) as messages:
            assert data(await anext(messages))["text"] == "well"
            said[0] = "ill"
            assert data(await anext(messages))["text"] == "ill"
        async with aclosing(made.messages(None)) as messages:
            assert data(await anext(messages))["text"] == "ill"  # at once, for who comes later
        await asyncio.sleep(0.05)
        before = looks[0]
        await asyncio.sleep(0.1)
        assert looks[0] == before

    played(scene, sentence)


def test_a_verdict_that_cannot_be_told_is_looked_for_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(happenings, "FAULT_SECONDS", 0.01)
    faults = [ValueError("odd")]

    def sentence() -> str:
        if faults:
            raise faults.pop()
        return "well"

    async def scene(made: Happenings) -> None:
        async with aclosing(made.messages(None)) as messages:
            assert data(await anext(messages))["text"] == "well"

    played(scene, sentence)
    assert "the verdict cannot be determined" in caplog.text
