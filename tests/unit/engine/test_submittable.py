"""What others may submit: checked before it is queued, and what is no task is said in words that help."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlerd.config.load import Settings
from crawlerd.core.configuration import AccountSpec, Daemon, ImportSpec
from crawlerd.engine.kinds import decoder
from crawlerd.engine.starting import ImportGone
from crawlerd.engine.submittable import LARGEST, NotATask, request_of, task_of
from crawlerd.source import Source, TaskArgs

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "sk_test_4eC39HqLyjWDarjtT1zdp7dc"
shop = Source("shop", base_url="http://127.0.0.1:9", streams=["orders"])


@dataclass(frozen=True)
class Order(TaskArgs, kind="shop.order"):
    number: int
    share: float = 1.0
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Odd(TaskArgs, kind="shop.odd"):
    name: str


@shop.handles(Order, sequential=True)
def order(api: object, args: Order) -> Iterator[None]:
    yield


@shop.handles(Odd, bucket=lambda args: {"a": "b"}[args.name])
def odd(api: object, args: Odd) -> Iterator[None]:
    yield


@pytest.fixture(scope="module")
def settings() -> Settings:
    account = AccountSpec(name="acme", source="shop", secret=SECRET)
    spec = ImportSpec(name="orders", account="acme", sink=None, streams=("orders",))
    daemon = Daemon(
        state_dir=Path("var"),
        listen=("127.0.0.1", 0),
        worker_processes=1,
        threads_per_process=1,
        drain_seconds=1,
        visibility_seconds=1,
        max_worker_memory_bytes=1,
        log_level="info",
    )
    return Settings(daemon, {"acme": account}, {}, {"shop": shop}, {}, {}, {"orders": spec})


def checked(settings: Settings, data: bytes) -> str:
    return task_of(settings, "orders", request_of(data, len(data))).payload


def test_a_task_is_as_its_source_would_have_asked_for_it(settings: Settings) -> None:
    task = task_of(settings, "orders", request_of(b'{"args": {"share": 0.1, "number": 3}, "kind": "shop.order"}', 59))
    assert (task.kind, task.bucket, task.payload) == ("shop.order", "order", '{"number":3,"share":0.1,"tags":[]}')


@given(number=st.integers(-(2**63), 2**63 - 1), tags=st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_however_it_is_written_it_is_the_same_task(settings: Settings, number: int, tags: list[str]) -> None:
    one = json.dumps({"kind": "shop.order", "args": {"number": number, "tags": tags}})
    other = json.dumps(
        {"args": {"tags": tags, "share": 1.0, "number": number}, "kind": "shop.order"}, ensure_ascii=False
    )
    assert checked(settings, one.encode()) == checked(settings, other.encode("utf-8"))
    assert decoder(Order)(checked(settings, one.encode())) == Order(number, 1.0, tuple(tags))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\x80\x04\x95pickle", "it is not JSON .*whose default writes pickles"),
        (b"", "it is not JSON"),
        (b'{"kind": "\xff"}', "it is not JSON|JSON object"),
        (b"[]", "a task is a JSON object"),
        (b"null", "a task is a JSON object"),
        (b'{"args": {}}', "missing required field `kind`"),
        (b'{"kind": 3}', "a task is a JSON object"),
        (b'{"kind": "shop.order", "arguments": {}}', "unknown field `arguments`"),
        (b'{"kind": "shop.orders", "args": {}}', 'no kind "shop.orders"; did you mean "shop.order"'),
        (b'{"kind": "http.outbox", "args": {}}', 'no kind "http.outbox"'),
        (b'{"kind": "shop.order", "args": {}}', "missing required field `number`"),
        (b'{"kind": "shop.order", "args": []}', "do not fit shop.order"),
        (b'{"kind": "shop.order", "args": {"number": "3"}}', "order: Expected `int`.*; it takes number .int., "),
        (b'{"kind": "shop.order", "args": {"number": 3, "nubmer": 4}}', 'no argument "nubmer"; did you mean "number"'),
        (b'{"kind": "shop.odd", "args": {"name": "z"}}', "cannot be queued with these arguments: KeyError"),
        (b'{"kind": "shop.odd", "args": {"name": "' + SECRET.encode() + b'"}}', "cannot be queued|hold the credential"),
        (b'{"kind": "shop.order", "args": {"number": 1, "tags": ["' + SECRET.encode() + b'"]}}', "hold the credential"),
        (b'{"kind": "a\x1b[2J"}', "it is not JSON|no kind"),
        (b"[" * 100_000, "no JSON|JSON object"),
    ],
)
def test_what_is_no_task(settings: Settings, data: bytes, said: str) -> None:
    with pytest.raises(NotATask, match=said) as raised:
        checked(settings, data)
    assert SECRET not in str(raised.value)
    assert str(raised.value).isprintable()


def test_what_was_too_large_to_be_read() -> None:
    with pytest.raises(NotATask, match=f"has {LARGEST + 1:,} bytes"):
        request_of(None, LARGEST + 1)
    with pytest.raises(NotATask, match="it is empty"):
        request_of(None, 0)


def test_an_import_that_is_gone(settings: Settings) -> None:
    with pytest.raises(ImportGone):
        task_of(settings, "others", request_of(b'{"kind": "shop.order"}', 22))
