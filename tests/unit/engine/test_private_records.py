"""An attempt's outcome without what its import drops: all of it, and nothing else of it changed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from crawlerd.core.configuration import AccountSpec, ImportSpec
from crawlerd.core.errors import ConfigurationError
from crawlerd.core.outcome import Bury, Complete, Outcome
from crawlerd.core.private_fields import FieldRules, RunFields
from crawlerd.core.redaction import redaction
from crawlerd.core.task import Task
from crawlerd.engine.attempt import attempt
from crawlerd.engine.private_records import Private, run_fields
from crawlerd.source import Cursor, Gather, Objects, Record, Records, Source, TaskArgs, subscribe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crawlerd.source import Output

MAIL = "jane.doe@private.example"


@dataclass(frozen=True)
class Page(TaskArgs, kind="shop.page"):
    of: str = ""


def shop(*outputs: Output) -> Source:
    source = Source("shop", streams=["people", "orders"])

    @source.handles(Page)
    def page(api: Any, args: Page) -> Iterator[Output]:
        yield from outputs

    return source


def performed(source: Source, *added: str, drop: tuple[str, ...] = ("mail",)) -> Outcome:
    private = Private(RunFields({"people": FieldRules(drop)}, ""))
    task = Task(1, 1, 5, 1, "shop.page", 0, "{}")
    account = AccountSpec(name="acme", source="shop")
    return attempt(source, account, None, task, jitter=0.5, added=added, private=private)


def done(source: Source, *added: str, drop: tuple[str, ...] = ("mail",)) -> Complete:
    outcome = performed(source, *added, drop=drop)
    assert isinstance(outcome, Complete), outcome
    return outcome


def test_lists_and_single_records_lose_their_fields_and_keep_their_order() -> None:
    texts = [json.dumps({"id": number, "mail": MAIL, "n": number}).encode() for number in range(3)]
    found = done(
        shop(
            Record("people", "a", {"mail": MAIL, "n": 1}, "b1"),
            Records("people", ["0", "1", "2"], Objects.of(texts)),
            Record("people", "gone", None),
            Record("orders", "o", {"mail": "other@private.example"}),
        )
    )
    people, orders = found.batches
    assert people.keys == ["a", "0", "1", "2", "gone"]
    assert people.data == [b'{"n":1}', b'{"id":0,"n":0}', b'{"id":1,"n":1}', b'{"id":2,"n":2}', None]
    assert sorted(people.fields) == ["id", "n"]
    assert people.parents == ["b1", "", "", "", ""]
    assert people.size == sum(len(each) for each in people.data if each)
    assert orders.data == [b'{"mail":"other@private.example"}']


def test_subscribers_are_not_told_of_what_is_dropped() -> None:
    source, told = shop(Record("people", "a", {"mail": MAIL, "n": 1})), []

    @subscribe(source, "people", streams=["copies"])
    def copies(record: Record) -> Iterator[Output]:
        told.append(record.data)
        yield Record("copies", record.key, record.data)

    found = done(source, "copies")
    assert told == [{"n": 1}]
    assert {batch.stream: batch.data for batch in found.batches} == {"people": [b'{"n":1}'], "copies": [b'{"n":1}']}


@pytest.mark.parametrize(
    ("output", "where"),
    [
        (Page(MAIL), "the arguments of a task of kind shop.page"),
        (Page(f"/people?mail={MAIL.replace('@', '%40')}&x=1"), "the arguments of a task of kind shop.page"),
        (Gather([Page("x")], Page(MAIL)), "the arguments of a task of kind shop.page"),
        (Cursor("people", f"2026-01-01|{MAIL}"), "the sync point people"),
        (Cursor("people", MAIL, greatest=True), "the sync point people"),
        (Record("people", f"p:{MAIL}", {"mail": MAIL}), "the key of a record"),
        (Record("people", "b", {"mail": MAIL}, MAIL), "the parent of a record"),
    ],
)
def test_what_would_keep_it_is_refused(output: Output, where: str) -> None:
    outcome = performed(shop(Record("people", "a", {"mail": MAIL}), output))
    assert isinstance(outcome, Bury)
    assert outcome.error.startswith(
        f"Permanent: the field mail of people cannot be dropped or hashed: {where} holds it"
    )
    assert MAIL not in outcome.error


def test_what_merely_looks_like_it_is_not_refused() -> None:
    done(shop(Record("people", "abc1", {"mail": "abc", "x": True}), Page("abc"), Cursor("people", "abc")))
    done(shop(Record("people", "joanne", {"mail": "anne"}), Page("joannes")))
    done(shop(Record("people", "1234", {"mail": 1234}), Page("1234")))


def test_without_rules_for_a_stream_it_stays_as_it_is() -> None:
    found = done(shop(Record("orders", MAIL, {"mail": MAIL}), Page(MAIL)))
    assert found.batches[0].data == [f'{{"mail":"{MAIL}"}}'.encode()]


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b'{"error": {"message": "no orders of Ann", "code": 12345}}', "HTTP 400: no orders of Ann (12345)"),
        (b'["no orders of Ann"]', "no orders of Ann"),
        (b"<p>\nno orders of Ann\n</p>", "it says: no orders of Ann"),
        ({"Error": {"Message": "no orders of Ann"}}, "it says: no orders of Ann"),
    ],
)
def test_what_an_api_says_of_an_error_is_quoted_nowhere(answer: Any, text: str) -> None:
    """It may have any value in it, in any place."""
    private = Private(RunFields({"people": FieldRules(("name",))}, ""))
    private.hear(answer, True)
    said = private.redacting(redaction(()), answers=True).text(text)
    assert "Ann" not in said
    assert "12345" not in said


def test_of_what_an_api_says_nothing_is_left_however_it_is_cut() -> None:
    """And it takes no longer for a long text."""
    private = Private(RunFields({"people": FieldRules(("name",))}, ""))
    said = "no orders of Li Wu, " * 20_000
    private.hear(json.dumps({"message": said, "status": 400}).encode(), True)
    known = private.redacting(redaction(()), answers=True)
    for end in range(1, 60):
        text = known.text(f"Permanent: HTTP 400: {said[:end]}")
        assert text.rstrip(", ") == "Permanent: HTTP 400: ***", text
    assert known.text("HTTP 400") == "HTTP 400"


def test_of_an_error_that_is_too_large_nothing_is_quoted_at_all() -> None:
    private = Private(RunFields({"people": FieldRules(("name",))}, ""))
    private.hear(b'"Ann"' + b" " * (1 << 20), True)
    known = private.redacting(redaction(()), answers=True)
    assert known.text("Permanent: HTTP 400: Ann") == "Permanent: HTTP 400: ***"
    assert known.text("Ann") == "***"


def test_of_other_answers_only_what_is_dropped_is_looked_for() -> None:
    private = Private(RunFields({"people": FieldRules(("name",))}, ""))
    private.hear(b'{"name": "Annabel", "town": "Ghent"}', False)
    assert private.redacting(redaction(()), answers=True).text("Annabel of Ghent") == "*** of Ghent"


def test_nobody_hashes_without_a_key() -> None:
    spec = ImportSpec(name="acme", account="acme", sink="s", streams=(), fields={"people": FieldRules((), ("phone",))})
    with pytest.raises(ConfigurationError, match=r"daemon\.hash_key is not in force"):
        run_fields(spec, "")
    assert run_fields(spec, "k") == RunFields(spec.fields, "k")
    assert "k" not in repr(run_fields(spec, "k")).partition("key=")[2].replace("***", "")
