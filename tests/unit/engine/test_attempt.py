"""One attempt: what a handler yields, what it raises, and what neither JSON nor a pipe can hold."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from crawlerd.core.configuration import AccountSpec
from crawlerd.core.outcome import (
    Batch,
    Bury,
    Comparison,
    Complete,
    Defer,
    Outcome,
    Pause,
    Result,
    Retry,
    RetryPolicy,
    Skipped,
)
from crawlerd.core.task import IfNew, NewGather, NewTask, Task, parent_hash
from crawlerd.engine.attempt import attempt, begin
from crawlerd.engine.batches import LARGEST, MOST_FIELDS, StreamRows
from crawlerd.engine.wire import HEADER, Done, frame, from_worker
from crawlerd.source import (
    Api,
    Cursor,
    Denied,
    ForAccount,
    ForParent,
    Gather,
    Identity,
    Objects,
    Orphans,
    ParentRead,
    Permanent,
    Record,
    Records,
    Response,
    RunPlan,
    Skip,
    Source,
    Sweep,
    TaskArgs,
    Throttled,
    Transient,
    Unauthorized,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ACCOUNT = AccountSpec(name="acme", source="shop", retry=RetryPolicy(attempts=3, base=1.0, cap=60.0))


@dataclass(frozen=True)
class Page(TaskArgs, kind="shop.pages"):
    number: int
    after: str | None = None


@dataclass(frozen=True)
class Unhandled(TaskArgs, kind="shop.unhandled"):
    pass


@dataclass(frozen=True)
class Store(TaskArgs, kind="depot.store"):
    name: str


@dataclass(frozen=True)
class Other(TaskArgs, kind="shop.other"):
    pass


depot = Source("depot")
depot.handles(Store, priority=7, unique=True)(lambda api, args: iter(()))
STORED = NewTask("depot.store", "store", 7, '{"name":"x"}', unique=True, account="client")
PAGED = NewTask("shop.pages", "shelf", 3, '{"number":8,"after":null}', unique=True, sequential=True)
NEXT = msgspec.structs.replace(PAGED, chain=1)  # asked for by one of its kind


class Shelf:
    """An Api without a network: it answers with what the test put on it."""

    mode = "live"

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer

    def get(self, path: str, params: object = None) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def request(
        self, method: str, path: str, *, params: object = None, json: object = None, headers: object = None
    ) -> Response:
        return Response(200, {}, msgspec.json.encode(self.answer))


def run(
    handler: Callable[[Api, Any], Iterator[Any]],
    *,
    answer: Any = None,
    failed: int = 0,
    kind: str = "shop.pages",
    payload: str = '{"number":7,"after":"x"}',
) -> Outcome:
    """The outcome of the handler's attempt, after a way through the pipe that every outcome takes."""
    source = Source("shop")
    source.handles(Page, sequential=True, bucket="shelf")(handler)
    outcome = attempt(
        source,
        ACCOUNT,
        Shelf(answer),
        Task(1, 1, 5, 1, kind, failed, payload),
        jitter=0.5,
        source_of={"acme": source, "client": depot}.get,
    )
    message = from_worker.decode(frame(Done([Result(1, outcome)]))[HEADER.size :])
    assert message == Done([Result(1, outcome)])
    return outcome


def records(outcome: Outcome) -> list[Any]:
    assert isinstance(outcome, Complete)
    return [
        [key, None if data is None else msgspec.json.decode(data)]
        for batch in outcome.batches
        for key, data in zip(batch.keys, batch.data, strict=True)
    ]


# what it yields


def test_all_that_a_handler_yields_is_in_the_outcome() -> None:
    def handler(api: Api, args: Page) -> Iterator[Any]:
        yield Identity("acct_1")
        for name in api.get("/names"):
            yield Record("names", name, {"n": args.number, name: True})
        yield Record("prices", "p", None)
        yield Page(args.number + 1, after=args.after)
        yield Cursor("names", "2026")
        yield Cursor("prices", "9")

    assert run(handler, answer=["b", "a"]) == Complete(
        [
            Batch("names", 2, ["b", "a"], [b'{"n":7,"b":true}', b'{"n":7,"a":true}'], ["a", "b", "n"], [], 32),
            Batch("prices", 1, ["p"], [None]),
        ],
        [NewTask("shop.pages", "shelf", 3, '{"number":8,"after":"x"}', unique=True, sequential=True, chain=1)],
        [("names", "2026"), ("prices", "9")],
        [],
        "acct_1",
    )


def test_a_list_that_another_task_leads_to_is_no_cursor_that_repeats() -> None:
    """Asked for twice it is left out, as any unique task; its own successor that came before is a dead letter."""
    source = Source("shop")
    source.handles(Page, sequential=True)(lambda api, args: iter((Page(2),)))
    source.handles(Other)(lambda api, args: iter((Page(2),)))
    for kind, payload, successor in (("shop.pages", '{"number":1}', True), ("shop.other", "{}", False)):
        outcome = attempt(source, ACCOUNT, Shelf(), Task(1, 1, 5, 1, kind, 0, payload), jitter=0.5)
        assert isinstance(outcome, Complete)
        assert [(child.unique, child.sequential) for child in outcome.children] == [(True, successor)]


def test_a_task_for_another_account_is_what_that_accounts_source_makes_of_it() -> None:
    def handler(api: Api, args: Page) -> Iterator[Any]:
        yield ForAccount("client", Store("x"))
        yield ForAccount("acme", Page(8))
        yield Page(8)

    assert run(handler) == Complete(children=[STORED, msgspec.structs.replace(NEXT, account="acme"), NEXT])


@pytest.mark.parametrize(
    ("output", "problem"),
    [
        (
            ForAccount("nobody", Store("x")),
            "Permanent: a task of kind depot.store is for [accounts.nobody], which is not configured",
        ),
        (
            ForAccount("client", Page(1)),
            "Permanent: account client is of the source depot, which has no kind shop.pages",
        ),
        (
            Gather([ForAccount("nobody", Store("x"))], Page(1)),
            "Permanent: a task of kind depot.store is for [accounts.",
        ),
        (Gather([], ForAccount("nobody", Store("x"))), "Permanent: a task of kind depot.store is for [accounts."),
        (ForAccount([], Store("x")), "unexpected TypeError: "),
        (ForAccount("client", "x"), "unexpected "),
        (Gather(["x"], Page(1)), "unexpected TypeError: a task is TaskArgs or ForAccount, not str"),
        (Gather([Page(1)], Gather([], Page(1))), "unexpected TypeError: a task is TaskArgs or ForAccount, not Gather"),
    ],
)
def test_a_task_that_nobody_can_perform_is_a_dead_letter_that_says_why(output: Any, problem: str) -> None:
    outcome = run(lambda api, args: iter([Record("names", "a", {}), output]))
    assert isinstance(outcome, Bury)
    assert outcome.error.startswith(problem)


def test_a_group_is_in_the_outcome_with_all_its_tasks() -> None:
    def handler(api: Api, args: Page) -> Iterator[Any]:
        yield Gather([Page(8), ForAccount("client", Store("x"))], then=ForAccount("client", Store("x")))
        yield Gather((), then=Page(8), if_dead="fail")

    assert run(handler) == Complete(gathers=[NewGather([NEXT, STORED], STORED, "run"), NewGather([], PAGED, "fail")])


def test_a_group_knows_three_ways_with_dead_letters() -> None:
    with pytest.raises(ValueError, match='if_dead is "run", "fail" or "skip", not \'stop\''):
        Gather([], Page(1), if_dead="stop")


# lists below parents


def test_a_list_below_a_parent_is_read_from_its_mark_or_in_full() -> None:
    source = Source("shop")
    source.handles(Page, sequential=True, bucket=lambda args: f"shelf {args.number}")(lambda api, args: iter(()))

    @source.handles(Other)
    def parents(api: Api, args: Other) -> Iterator[Any]:
        yield ForParent("orders", "\u00fc 1", since=Page(1, "x"), full=Page(2))
        yield Gather([ForParent("orders", "2", since=Page(3), full=Page(4))], then=Page(5))
        yield ParentRead("orders", "\u00fc 1")
        yield ParentRead("orders", "2", whole=False)

    outcome = attempt(source, ACCOUNT, Shelf(), Task(1, 1, 5, 1, "shop.other", 0, "{}"), jitter=0.5)
    message = from_worker.decode(frame(Done([Result(1, outcome)]))[HEADER.size :])
    assert message == Done([Result(1, outcome)])
    assert isinstance(outcome, Complete)
    (child,), (gather,) = outcome.children, outcome.gathers
    assert (child.payload, child.bucket, child.sequential) == ('{"number":1,"after":"x"}', "shelf 1", False)
    full = NewTask("shop.pages", "shelf 2", 3, '{"number":2,"after":null}', unique=True)
    assert child.if_new == IfNew("orders", "afd0cc660d7e85d5b50e2d7b6035ab03", full)
    assert [form.payload[10] for form in gather.tasks[0].forms()] == ["3", "4"]
    assert outcome.parents == [("orders", child.if_new.parent, True), ("orders", parent_hash("2"), False)]
    hurried = child.prioritised(0)
    assert [(form.priority, form.sequential) for form in hurried.forms()] == [(0, False)] * 2


@pytest.mark.parametrize(
    "output",
    [
        ForParent("orders", "1", since=Page(1), full=Unhandled()),
        ForParent(7, "1", since=Page(1), full=Page(2)),
        ForParent("orders", 7, since=Page(1), full=Page(2)),
        ForParent("orders", "1", since=ForAccount("client", Store("x")), full=Page(1)),
        ParentRead("orders", None),
        ParentRead(7, "1"),
        ParentRead("orders", "\ud800"),
    ],
)
def test_a_parent_that_cannot_be_told_is_a_mistake_of_the_handler(output: Any) -> None:
    outcome = run(lambda api, args: iter([output]))
    assert isinstance(outcome, Bury)
    assert outcome.error.startswith("unexpected ")


# sweeps


@dataclass(frozen=True)
class Lost(TaskArgs, kind="shop.lost"):
    round: int
    missing: tuple[str, ...] = ()
    last: bool = True


def test_a_sweep_tombstones_or_leads_to_a_task_that_is_told_what_is_missing() -> None:
    source = Source("shop")
    source.handles(Lost, sequential=True)(lambda api, args: iter(()))
    source.handles(Other)(lambda api, args: iter(()))

    @source.handles(Page)
    def page(api: Api, args: Page) -> Iterator[Any]:
        yield Sweep("names", "a")
        yield Sweep("names", "b", otherwise=Lost(1), after="bc")
        yield Sweep("prices", otherwise=Other())

    task = Task(1, 1, 5, 1, "shop.pages", 0, '{"number":1}')
    outcome = attempt(source, ACCOUNT, Shelf(), task, jitter=0.5)
    assert isinstance(outcome, Complete)
    message = from_worker.decode(frame(Done([Result(1, outcome)]))[HEADER.size :])
    assert message == Done([Result(1, outcome)])
    lost = NewTask("shop.lost", "lost", 3, '{"round":1,"missing":[],"last":true}', unique=True)
    assert outcome.sweeps == [("names", "a")]
    assert outcome.comparisons == [
        Comparison("names", "b", "bc", lost, fills=True),
        Comparison("prices", "", "", NewTask("shop.other", "other", 5, "{}"), fills=False),
    ]
    told = '{"round":1,"missing":["x","\u00fc"],"last":true}'
    assert outcome.comparisons[0].following(["x", "\u00fc"]) == msgspec.structs.replace(lost, payload=told)
    assert outcome.comparisons[1].following(["x"]) is outcome.comparisons[1].then


def test_orphans_are_tombstoned_or_lead_to_a_task() -> None:
    source = Source("shop")
    source.handles(Other)(lambda api, args: iter(()))

    @source.handles(Page)
    def page(api: Api, args: Page) -> Iterator[Any]:
        yield Orphans("names", "p1")
        yield Orphans("prices", "p2", otherwise=Other(), after="bc")

    outcome = attempt(source, ACCOUNT, Shelf(), Task(1, 1, 5, 1, "shop.pages", 0, '{"number":1}'), jitter=0.5)
    then = NewTask("shop.other", "other", 5, "{}")
    assert outcome == Complete(
        orphans=[("names", "p1")], comparisons=[Comparison("prices", "", "bc", then, fills=False, parent="p2")]
    )
    message = from_worker.decode(frame(Done([Result(1, outcome)]))[HEADER.size :])
    assert message == Done([Result(1, outcome)])


def test_what_a_record_lies_below_goes_with_it() -> None:
    """Also past records that are set aside, alone or with their page."""
    objects = Objects.of([b'{"n":1}', b"[]", b'{"n":2}'])
    outputs = [
        Record("names", "a", {"n": 0}),
        Record("names", "odd", {"n": Unknown()}, parent="p"),
        Record("names", "b", {"n": "\ud800"}, parent="p"),
        Record("names", "c", None, parent="p"),
        Records("names", ["d", "e", "f"], objects, parent="q"),
        Record("names", "g", b'{"n":3}'),
    ]
    outcome = run(lambda api, args: iter(outputs))
    assert isinstance(outcome, Complete)
    (batch,) = outcome.batches
    assert dict(zip(batch.keys, batch.parents, strict=True)) == {"a": "", "c": "p", "d": "q", "f": "q", "g": ""}
    outcome = run(lambda api, args: iter([outputs[0]]))
    assert isinstance(outcome, Complete)
    assert outcome.batches[0].parents == []  # as of most


@pytest.mark.parametrize(
    ("output", "problem"),
    [
        (lambda: Orphans("names", ""), "unexpected ValueError: Orphans have a parent"),
        (lambda: Orphans("names", 7), "unexpected TypeError: "),
        (lambda: Orphans("Names", "p"), "unexpected ValueError: 'Names' is not a stream name"),
        (lambda: Orphans("names", "p", otherwise="x"), "unexpected TypeError: Orphans' otherwise is TaskArgs, not str"),
        (lambda: Orphans("names", "p", after="x"), "unexpected ValueError: Orphans that are tombstoned take no"),
        (lambda: Record("names", "a", {}, parent=7), "unexpected TypeError: a parent is text, not int"),
        (lambda: Sweep("names", otherwise=Unhandled()), "unexpected KeyError: 'shop.unhandled'"),
        (lambda: Sweep("names", otherwise="x"), "unexpected TypeError: a Sweep's otherwise is TaskArgs, not str"),
        (lambda: Sweep("Names", otherwise=Page(1)), "unexpected ValueError: 'Names' is not a stream name"),
        (lambda: Sweep("names", otherwise=Page(1), after=1), "unexpected TypeError: "),
        (lambda: Sweep("names", after="x"), "unexpected ValueError: a Sweep that tombstones takes no `after`"),
    ],
)
def test_a_sweep_that_cannot_be_is_a_dead_letter_that_says_why(output: Callable[[], Any], problem: str) -> None:
    outcome = run(lambda api, args: (output() for _ in range(1)))
    assert isinstance(outcome, Bury)
    assert outcome.error.startswith(problem)


# what a run begins with


def test_a_run_begins_with_what_its_source_yields() -> None:
    source = Source("shop")
    source.handles(Page, sequential=True, bucket="shelf")(lambda api, args: iter(()))
    seen = []

    @source.starts
    def starts(plan: RunPlan) -> Iterator[Any]:
        seen.append(plan.options)
        yield Page(8)
        yield ForAccount("client", Store("x"))
        yield Gather([Page(8)], Page(8))

    plan = RunPlan([], full=False, started_at=0.0, options={"to": "client"})
    assert begin(source, plan, {"client": depot}.get) == Complete(
        children=[PAGED, STORED], gathers=[NewGather([PAGED], PAGED)]
    )
    assert seen == [{"to": "client"}]
    with pytest.raises(Permanent, match=r"the source shop cannot begin: Permanent: a task of kind depot.store is for"):
        begin(source, plan, lambda _: None)


def test_a_source_that_cannot_begin_does_not_take_others_with_it() -> None:
    source = Source("shop")
    source.starts(lambda plan: [1 / 0])
    with pytest.raises(Permanent, match="the source shop cannot begin: ZeroDivisionError: division by zero"):
        begin(source, RunPlan([], full=False, started_at=0.0), lambda _: None)


def test_a_source_that_exits_instead_of_beginning_ends_nothing_else() -> None:
    source = Source("shop")
    source.starts(lambda plan: sys.exit("bye"))
    with pytest.raises(Permanent, match="the source shop cannot begin: SystemExit: bye"):
        begin(source, RunPlan([], full=False, started_at=0.0), lambda _: None)


def test_a_handler_may_yield_nothing() -> None:
    assert run(lambda api, args: iter(())) == Complete()


# what it raises


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (Transient("reset"), Retry(0.5, "Transient: reset", 3)),
        (Throttled("slow", retry_after=3), Defer("Throttled: slow", 3, attempts=3)),
        (Throttled("slow", retry_after=0), Defer("Throttled: slow", None, attempts=3)),
        (Throttled("slow", retry_after=-7), Defer("Throttled: slow", None, attempts=3)),
        (Permanent("gone"), Bury("Permanent: gone")),
        (Denied("not yours"), Bury("Denied: not yours", denied=True)),
        (Unauthorized("no"), Pause("Unauthorized: no")),
        (KeyError("data"), Bury("unexpected KeyError: 'data'")),
        (RecursionError("deep"), Bury("unexpected RecursionError: deep")),
        (MemoryError(), Bury("unexpected MemoryError: ")),
        (StopIteration("odd"), Bury("unexpected RuntimeError: generator raised StopIteration")),
    ],
)
@pytest.mark.parametrize("after", [0, 3])
def test_a_raise_discards_all_that_was_yielded_before_it(error: Exception, outcome: Outcome, after: int) -> None:
    def handler(api: Api, args: Page) -> Iterator[Any]:
        for number in range(after):
            yield Record("names", str(number), {})
            yield Page(number)
            yield Cursor("names", str(number))
        api.get("/fails")

    assert run(handler, answer=error) == outcome


def test_a_handler_that_is_no_generator_may_raise_too() -> None:
    def handler(api: Api, args: Page) -> Iterator[Any]:
        raise Transient("reset")

    assert run(handler) == Retry(0.5, "Transient: reset", 3)


@pytest.mark.parametrize("code", [0, 1, "bye", None])
def test_a_handler_that_calls_exit_ends_its_task_only(code: object) -> None:
    def handler(api: Api, args: Page) -> Iterator[Any]:
        yield Record("names", "a", {})
        sys.exit(code)  # type: ignore[arg-type] # whatever a library passes

    assert run(handler) == Bury("Permanent: the handler called sys.exit()")


def test_ctrl_c_is_not_an_outcome() -> None:
    def handler(api: Api, args: Page) -> Iterator[Any]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(handler)


def test_an_error_text_of_any_characters_reaches_the_frontier() -> None:
    for kind, start in ((Transient, "Transient: "), (ValueError, "unexpected ValueError: ")):
        outcome = run(lambda api, args: iter([api.get("/fails")]), answer=kind("caf\xe9 \ud800 \0"))
        assert isinstance(outcome, Retry | Bury)
        assert outcome.error == f"{start}caf\xe9 \\ud800 \\x00"


# what is asked of it


@pytest.mark.parametrize(
    ("kind", "payload", "error"),
    [
        ("shop.old", "{}", "source shop has no handler for shop.old"),
        ("shop.pages", "{}", "arguments of shop.pages do not fit: Object missing required field `number`"),
        ("shop.pages", '{"number":"7"}', "arguments of shop.pages do not fit: Expected `int`, got `str`"),
        ("shop.pages", "[]", "arguments of shop.pages do not fit: Expected `object`, got `array`"),
    ],
)
def test_a_task_of_an_earlier_version_is_a_dead_letter_that_says_so(kind: str, payload: str, error: str) -> None:
    outcome = run(lambda api, args: iter(()), kind=kind, payload=payload)
    assert isinstance(outcome, Bury)
    assert outcome.error.startswith(f"Permanent: {error}")


def test_a_handler_that_yields_work_nobody_handles_is_told_which() -> None:
    assert run(lambda api, args: iter([Unhandled()])) == Bury("unexpected KeyError: 'shop.unhandled'")


@pytest.mark.parametrize("output", [None, {"id": 1}, "a", 7, Page, Record])
def test_what_is_no_output_is_a_mistake_of_the_handler(output: object) -> None:
    outcome = run(lambda api, args: iter([Record("names", "a", {}), output]))
    name = type(output).__name__
    assert outcome == Bury(
        "unexpected TypeError: a handler yields Record, Records, TaskArgs, ForAccount, ForPart, ForParent, ParentRead, "
        f"Gather, Cursor, Skip, Note, Marks, Identity or Sweep, not {name}"
    )


@pytest.mark.parametrize("stream", ["", "Names", "na-mes", "7", "a" * 64, "names; DROP TABLE x", "n\xe4mes"])
def test_a_stream_that_cannot_name_a_table_is_refused(stream: str) -> None:
    outcome = run(lambda api, args: iter([Record(stream, "a", {})]))
    assert isinstance(outcome, Bury)
    assert "is not a stream name" in outcome.error


# what cannot be stored


class Unknown:
    pass


def nested(depth: int) -> Any:
    data: Any = {}
    for _ in range(depth):
        data = {"a": data}
    return data


@pytest.mark.parametrize(
    ("key", "data"),
    [
        ("bad", {"name": "\ud800"}),
        ("bad", {"\udfff": 1}),
        ("bad", {"what": Unknown()}),
        ("bad", {"n": {(1, 2): 3}}),
        ("bad", nested(100_000)),
        ("\ud800", {"name": "fine"}),
    ],
)
def test_one_record_that_cannot_be_serialized_is_set_aside_with_its_reason(key: str, data: dict[str, Any]) -> None:
    outcome = run(
        lambda api, args: iter([Record("names", "a", {"x": 1}), Record("names", key, data), Record("names", "c", None)])
    )
    assert records(outcome) == [["a", {"x": 1}], ["c", None]]
    assert isinstance(outcome, Complete)
    assert outcome.batches[0].count == 2
    assert outcome.batches[0].fields == ["x"]
    (skipped,) = outcome.skipped
    assert (skipped.stream, skipped.key) == ("names", "bad" if key == "bad" else "\\ud800")
    assert skipped.reason.startswith("cannot be serialized: ")


def test_a_page_of_which_nothing_is_left_completes_and_says_what_it_lost() -> None:
    outcome = run(lambda api, args: iter([Record("names", str(number), {"x": Unknown()}) for number in range(3)]))
    assert isinstance(outcome, Complete)
    assert outcome.batches == []
    assert [skipped.key for skipped in outcome.skipped] == ["0", "1", "2"]


def test_numbers_of_any_size_keep_every_digit() -> None:
    huge = {"n": 10**40 + 1, "m": -(2**63) - 1, "x": 0.1}
    outcome = run(lambda api, args: iter([Record("names", "a", huge)]))
    assert records(outcome) == [["a", huge]]


def test_what_json_has_no_number_for_is_null() -> None:
    outcome = run(lambda api, args: iter([Record("names", "a", {"nan": float("nan"), "inf": float("inf")})]))
    assert records(outcome) == [["a", {"nan": None, "inf": None}]]


@pytest.mark.parametrize(
    "output",
    [
        Record("names", 7, {}),  # type: ignore[arg-type] # as untyped sources would
        Record("names", None, {}),  # type: ignore[arg-type]
        Record("names", "a", ["x"]),  # type: ignore[arg-type]
        Record("names", "a", "x"),  # type: ignore[arg-type]
        Cursor("names", 7),  # type: ignore[arg-type]
        Cursor("names", None),  # type: ignore[arg-type]
        Cursor("names", "\ud800"),
        Identity(7),  # type: ignore[arg-type]
        Identity(None),  # type: ignore[arg-type]
        Identity("\ud800"),
    ],
)
def test_a_value_of_the_wrong_type_is_a_mistake_of_the_handler_and_harms_nothing_else(output: object) -> None:
    """Further on, it would stop the sink, the dispatcher or a worker's results, and with them every account."""
    outcome = run(lambda api, args: iter([Record("names", "a", {}), output]))
    assert isinstance(outcome, Bury)
    assert outcome.error.startswith(("unexpected TypeError: ", "unexpected UnicodeEncodeError: "))


@pytest.mark.parametrize("odd", [b'"\xff"', b"1 2", b"NaN", b'1},{"n":2', b"[" * 1000 + b"]" * 1000])
def test_text_that_is_no_json_in_utf8_does_not_leave_the_worker(odd: bytes) -> None:
    whole = {"x": msgspec.Raw(odd)}, b'{"x":' + odd + b"}", msgspec.Raw(b'{"x":' + odd + b"}")
    outcome = run(
        lambda api, args: iter([Record("names", str(n), data) for n, data in enumerate((*whole, {"n": 1}, b'{"m":2}'))])
    )
    assert records(outcome) == [["3", {"n": 1}], ["4", {"m": 2}]]
    assert isinstance(outcome, Complete)
    assert sorted(each.key for each in outcome.skipped) == ["0", "1", "2"]
    assert all(each.reason.startswith("cannot be serialized: ") for each in outcome.skipped)


def test_a_record_is_what_it_was_when_it_was_yielded() -> None:
    def handler(api: Api, args: Page) -> Iterator[Record]:
        row: dict[str, Any] = {}
        for number in range(3):
            row["n"] = number
            yield Record("names", str(number), row)
            row["later"] = True
            del row["later"]
        row["at_last"] = True

    outcome = run(handler)
    assert records(outcome) == [["0", {"n": 0}], ["1", {"n": 1}], ["2", {"n": 2}]]
    assert isinstance(outcome, Complete)
    assert outcome.batches[0].fields == ["n"]


def test_what_is_left_of_a_page_with_odd_records_is_as_it_would_be_without_them() -> None:
    good = {
        "a": Record("names", "a", {"x": 1}),
        "t": Record("names", "t", None),
        "b": Record("names", "b", b'{"y": 2}'),
    }
    odd = [
        Record("names", "raw", {"z": msgspec.Raw(b"NaN")}),
        Record("names", "\ud800", {"z": 1}),
        Record("names", "", {"z": Unknown()}),
        Record("names", "deep", {"z": nested(1000)}),
    ]
    whole = run(lambda api, args: iter(good.values()))
    outcome = run(lambda api, args: iter([odd[0], good["a"], odd[1], odd[2], good["t"], odd[3], good["b"]]))
    assert isinstance(whole, Complete)
    assert isinstance(outcome, Complete)
    assert outcome.batches == whole.batches
    assert sorted(each.key for each in outcome.skipped) == ["", "\\ud800", "deep", "raw"]


def test_text_is_kept_but_for_its_whitespace() -> None:
    text = b'{ "a" : 1.10,\n"\\u0061":[ 1e5 , 12345678901234567890.123 ],"b":" , : " }'
    outcome = run(lambda api, args: iter([Record("names", "a", text), Record("names", "b", {"c": msgspec.Raw(text)})]))
    assert isinstance(outcome, Complete)
    kept = b'{"a":1.10,"\\u0061":[1e5,12345678901234567890.123],"b":" , : "}'
    assert outcome.batches == [Batch("names", 2, ["a", "b"], [kept, b'{"c":' + kept + b"}"], ["a", "b", "c"], [], 130)]


def test_keys_that_json_turns_into_text_are_fields_by_that_text() -> None:
    outcome = run(lambda api, args: iter([Record("names", "a", {1: "x", "b": "y"})]))  # type: ignore[dict-item] # untyped
    assert isinstance(outcome, Complete)
    assert outcome.batches == [Batch("names", 1, ["a"], [b'{"1":"x","b":"y"}'], ["1", "b"], [], 17)]


@pytest.mark.parametrize("retry_after", ["7", "soon", float("nan"), float("inf")])
def test_a_wait_that_is_no_number_of_seconds_is_a_mistake_of_the_handler(retry_after: Any) -> None:
    def handler(api: Api, args: Page) -> Iterator[Any]:
        raise Throttled("slow", retry_after=retry_after)

    outcome = run(handler)
    assert isinstance(outcome, Bury)
    assert outcome.error.startswith(("unexpected TypeError: ", "unexpected ValueError: retry_after is a number"))


def test_a_handler_may_set_records_aside() -> None:
    outcome = run(
        lambda api, args: iter(
            [Skip("names", "a\ud800", "why" * 200), Record("names", "b", {}), Cursor("names", "7", greatest=True)]
        )
    )
    assert isinstance(outcome, Complete)
    assert outcome.skipped == [Skipped("names", "a\\ud800", ("why" * 200)[:300])]
    assert [batch.count for batch in outcome.batches] == [1]
    assert (outcome.cursors, outcome.greatest) == ([], [("names", "7")])


def test_skipped_texts_are_bounded() -> None:
    outcome = run(lambda api, args: iter([Record("names", "k" * 10_000, {"x": Unknown()})]))
    assert isinstance(outcome, Complete)
    assert outcome.skipped == [Skipped("names", "k" * 1000, "cannot be serialized: JSON cannot contain a Unknown")]


def test_a_record_that_is_too_large_is_set_aside_alone() -> None:
    """The main process would need several times its size."""
    text = b'{"id":2,"text":"' + b"x" * LARGEST + b'"}'
    rows = StreamRows()
    rows.add(Record("items", "1", b'{"id":1}', "p1"))
    rows.add(Record("items", "2", text, "p2"))
    rows.add(Record("items", "3", None, "p3"))
    skipped: list[Skipped] = []
    batch = rows.batch("items", skipped)
    assert (batch.count, batch.keys, batch.data) == (2, ["1", "3"], [b'{"id":1}', None])
    assert batch.size == 8
    assert batch.parents == ["p1", "p3"]
    assert skipped == [Skipped("items", "2", "it has 16.0 MB; at most 16 MB can be imported")]


def test_names_of_fields_are_bounded() -> None:
    rows = StreamRows()
    names = [f"n{number:06}" for number in range(MOST_FIELDS + 500)]
    rows.add(Record("items", "1", dict.fromkeys([*names, "z" * 300], 1)))
    assert rows.batch("items", []).fields == names[:MOST_FIELDS]
