"""What extensions of a source make of its records: in the task that yields them, or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from crawlerd.core.configuration import AccountSpec
from crawlerd.core.outcome import Bury, Complete, Outcome
from crawlerd.core.task import Task
from crawlerd.engine.attempt import attempt
from crawlerd.source import Cursor, Objects, Orphans, Record, Records, Skip, Source, Sweep, TaskArgs, subscribe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from crawlerd.source import Output


@dataclass(frozen=True)
class Page(TaskArgs, kind="shop.page"):
    pass


@dataclass(frozen=True)
class Look(TaskArgs, kind="shop.look"):
    key: str


def shop(*outputs: Output) -> Source:
    """One whose only task yields these."""
    source = Source("shop", streams=["orders", "lines"])

    @source.handles(Page)
    def page(api: Any, args: Page) -> Iterator[Output]:
        yield from outputs

    @source.handles(Look)
    def look(api: Any, args: Look) -> Iterator[Output]:
        yield from ()

    return source


def performed(source: Source, *added: str) -> Outcome:
    account = AccountSpec(name="acme", source="shop")
    return attempt(source, account, None, Task(1, 1, 5, 1, "shop.page", 0, "{}"), jitter=0.5, added=added)


def done(source: Source, *added: str) -> Complete:
    outcome = performed(source, *added)
    assert isinstance(outcome, Complete), outcome
    return outcome


def rows(outcome: Complete) -> dict[str, dict[str, Any]]:
    """Stream → key → data."""
    found: dict[str, dict[str, Any]] = {}
    for batch in outcome.batches:
        for key, data in zip(batch.keys, batch.data, strict=True):
            found.setdefault(batch.stream, {})[key] = None if data is None else msgspec.json.decode(data)
    return found


def test_a_subscriber_is_told_of_each_record_of_its_stream_however_it_was_yielded() -> None:
    objects = Objects.of([b'{"id": "c", "price": 955031734.1681486901}', b'{"id": 4}'], wanted=("id",))
    source = shop(
        Record("orders", "a", {"n": 1}),
        Record("lines", "l", {"n": 2}),
        Record("orders", "b", None, parent="shelf"),
        Record("orders", "odd", {"n": "\ud800"}),
        Records("orders", ["c", None], objects),
        Skip("orders", "s", "it is odd"),
    )
    told: list[Record] = []
    subscribe(source, "orders")(told.append)
    outcome = done(source)
    assert [(each.stream, each.key, each.data, each.parent) for each in told] == [
        ("orders", "a", {"n": 1}, ""),
        ("orders", "b", None, "shelf"),
        ("orders", "c", {"id": "c", "price": 955031734.1681486901}, ""),
    ]
    assert rows(outcome) == rows(done(shop(*source.kinds["shop.page"].handler(None, Page()))))


def test_what_it_yields_is_of_the_same_task() -> None:
    source = shop(Record("orders", "a", {"n": 1}), Look("own"))

    @subscribe(source, "orders", streams=["totals"])
    def totals(record: Record) -> Iterator[Output]:
        yield Record("totals", record.key, {"total": 2})
        yield Look(record.key)
        yield Sweep("totals", record.key)
        yield Orphans("totals", record.key)
        yield Cursor("totals", "7")
        yield Skip("totals", record.key, "odd")

    outcome = done(source, "totals")
    assert rows(outcome) == {"orders": {"a": {"n": 1}}, "totals": {"a": {"total": 2}}}
    assert [each.payload for each in outcome.children] == ['{"key":"own"}', '{"key":"a"}']
    assert (outcome.sweeps, outcome.cursors) == ([("totals", "a")], [("totals", "7")])
    assert outcome.orphans == [("totals", "a")]
    assert [each.reason for each in outcome.skipped] == ["odd"]


def test_numbers_stay_as_the_api_wrote_them() -> None:
    text = b'{"price":955031734.1681486901}'
    source = shop(Records("orders", ["a"], Objects.of([text])))
    subscribe(source, "orders", streams=["copies"])(lambda record: [Record("copies", record.key, record.data)])
    assert [batch.data for batch in done(source, "copies").batches] == [[text], [text]]


def test_it_is_told_where_an_import_names_one_of_its_streams() -> None:
    source = shop(Record("orders", "a", {}))
    told: list[str] = []
    for name, streams in {"first": ["one", "two"], "second": ["three"], "always": []}.items():
        subscribe(source, "orders", streams=streams)(lambda record, name=name: told.append(name))  # type: ignore[misc]
    assert source.optional == ("one", "two", "three")
    assert source.streams == ("orders", "lines")
    for added, expected in {(): ["always"], ("two",): ["first", "always"], ("three", "one"): None}.items():
        told.clear()
        done(source, *added)
        assert told == (expected or ["first", "second", "always"])


def test_one_extension_is_told_of_what_another_adds_and_a_circle_is_a_dead_letter() -> None:
    source = shop(Record("orders", "a", {"n": 1}))

    def copied(stream: str, most: int) -> Callable[[Record], Iterable[Output]]:
        def told(record: Record) -> Iterator[Output]:
            data = dict(record.data or {})
            if data["n"] < most:
                yield Record(stream, record.key, {"n": data["n"] + 1})

        return told

    subscribe(source, "orders", streams=["first"])(copied("first", 100))
    subscribe(source, "first", streams=["second"])(copied("second", 100))
    added = ("first", "second")
    assert rows(done(source, *added)) == {
        "orders": {"a": {"n": 1}}, "first": {"a": {"n": 2}}, "second": {"a": {"n": 3}}
    }  # fmt: skip
    subscribe(source, "second", streams=["first"])(copied("first", 100))
    outcome = performed(source, *added)
    assert isinstance(outcome, Bury)
    assert "call each other without end" in outcome.error


@pytest.mark.parametrize(
    "output",
    [
        Record("orders", "k", {}),
        Record("lines", "k", {}),
        Sweep("orders"),
        Cursor("orders", "1"),
        Cursor("lines:x", "1"),
    ],
)
def test_it_speaks_of_its_own_streams_alone(output: Output) -> None:
    source = shop(Record("orders", "a", {}))
    subscribe(source, "orders", streams=["totals"])(lambda record: [output])
    outcome = performed(source, "totals")
    assert isinstance(outcome, Bury)
    assert "which it has not added" in outcome.error


def test_when_it_raises_nothing_of_the_task_is_done() -> None:
    source = shop(Record("orders", "a", {}), Look("own"))

    @subscribe(source, "orders")
    def fails(record: Record) -> None:
        raise KeyError(record.key)

    outcome = performed(source)
    assert isinstance(outcome, Bury)
    assert "KeyError" in outcome.error


def test_what_cannot_be_subscribed_to_or_added_is_refused() -> None:
    source = shop()
    with pytest.raises(ValueError, match='the source shop has no stream "order"; it has orders, lines'):
        subscribe(source, "order")
    with pytest.raises(ValueError, match='already has a stream "lines"'):
        subscribe(source, "orders", streams=["lines"])
    with pytest.raises(ValueError, match="is not a stream name"):
        subscribe(source, "orders", streams=["Totals"])
    with pytest.raises(ValueError, match=r"the source shop already has a handler for shop\.look"):
        source.handles(Look)(lambda api, args: iter(()))


def test_two_packages_cannot_add_the_same_stream_and_one_can_twice() -> None:
    source = shop()

    def function_of(module: str) -> Callable[[Record], None]:
        def function(record: Record) -> None: ...

        function.__module__ = module
        return function

    subscribe(source, "orders", streams=["names"])(function_of("first.orders"))
    subscribe(source, "lines", streams=["names", "others"])(function_of("first.lines"))
    with pytest.raises(ValueError, match="first has already added names to the source shop, and its records would be"):
        subscribe(source, "lines", streams=["more", "names"])(function_of("second.names"))
    assert source.added == {"names", "others"}
    subscribe(source, "names", streams=["more"])(function_of("second.names"))
