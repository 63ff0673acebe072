"""A pause of an account: it wakes who waits for the engine, and nothing of the account starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from crawlerd.config.load import Settings
from crawlerd.core.configuration import AccountSpec, Daemon, ImportSpec, LimitSpec
from crawlerd.engine.engine import Engine
from crawlerd.engine.safe_event import SafeEvent
from crawlerd.source import Source, TaskArgs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECONDS = 20.0  # until something that must happen has happened


class Page(TaskArgs, kind="shop.page"):
    pass


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """Without workers, so that nothing happens by itself."""
    shop = Source("shop", base_url="https://shop.example", streams=["pages"])
    shop.handles(Page)(lambda api, args: iter(()))
    daemon = Daemon(
        state_dir=tmp_path,
        listen=("127.0.0.1", 0),
        worker_processes=0,
        threads_per_process=1,
        drain_seconds=0.0,
        visibility_seconds=60.0,
        max_worker_memory_bytes=1 << 30,
        log_level="info",
    )
    settings = Settings(
        daemon=daemon,
        accounts={"acme": AccountSpec(name="acme", source="shop")},
        limits={"acme": LimitSpec()},
        sources={"shop": shop},
        descriptions={},
        sinks={},
        imports={"acme": ImportSpec(name="acme", account="acme", sink=None, streams=("pages",))},
    )
    with Engine(settings, changed=SafeEvent()) as engine:
        yield engine


def test_a_pause_wakes_who_waits(engine: Engine) -> None:
    assert not engine.changed.wait(0)
    engine.accounts.refused(1, "the key was withdrawn")
    assert engine.changed.wait(SECONDS)
    assert engine.accounts.paused == {"acme": "the key was withdrawn"}


def test_what_an_engine_wakes_cannot_be_replaced_later(engine: Engine) -> None:
    with pytest.raises(AttributeError):
        engine.changed = SafeEvent()  # type: ignore[misc]  # its parts would go on with the old one


def test_an_engine_wakes_the_one_that_it_was_given_and_no_other(engine: Engine) -> None:
    engine.runs.note_ended([7])
    assert engine.changed.wait(0)
    engine.changed.clear()
    assert engine.runs.ended() == [7]
    engine._failure.set(RuntimeError("a reason"))
    assert engine.changed.wait(0)
    assert isinstance(engine.failure, RuntimeError)
