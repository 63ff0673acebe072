"""What differs between two configurations: all of it, nothing else, and the same after it went to another process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlerd.config.differences import (
    AT_A_START,
    AT_ONCE,
    Changes,
    Known,
    changes,
    daemon_changes,
    joined,
    known,
    pieces,
    sink_changes,
)
from crawlerd.config.load import Settings, load
from crawlerd.core.configuration import AccountSpec, Daemon, ImportSpec, LimitSpec, Renewal, SinkSpec
from crawlerd.core.schedule_rules import Schedule
from crawlerd.sources import registry

if TYPE_CHECKING:
    from collections.abc import Mapping

DAEMON = Daemon(
    state_dir=Path("/var/lib/crawlerd"),
    listen=("127.0.0.1", 9464),
    worker_processes=2,
    threads_per_process=16,
    drain_seconds=30.0,
    visibility_seconds=300.0,
    max_worker_memory_bytes=1 << 30,
    log_level="info",
)
ROOT = Path(__file__).parents[3]

names = st.sampled_from("abcde")
words = st.text("xyz/", max_size=3)
accounts = st.builds(
    AccountSpec,
    name=names,
    source=st.sampled_from(["rest", "stripe"]),
    secret=words,
    base_url=words,
    options=st.dictionaries(words, st.one_of(st.integers(-9, 9), words, st.lists(words), st.booleans()), max_size=3),
)
limits = st.builds(
    LimitSpec,
    limits=st.lists(words, max_size=2).map(tuple),
    by_bucket=st.dictionaries(words, st.lists(words, max_size=2).map(tuple), max_size=2),
    concurrency=st.one_of(st.none(), st.just("auto"), st.integers(1, 9)),
    weight=st.floats(0.1, 9),
)
renewals = st.builds(
    Renewal, command=st.tuples(words), seconds=st.floats(1, 9), folder=st.just(Path("/f")), base_url=words
)
imports = st.builds(
    ImportSpec,
    name=names,
    account=names,
    sink=st.one_of(st.none(), words),
    streams=st.lists(words, max_size=2).map(tuple),
    schedule=st.one_of(st.none(), st.builds(Schedule, text=words)),
    options=st.one_of(st.none(), st.dictionaries(words, words, max_size=2)),
)
sinks = st.builds(
    SinkSpec, name=names, type=st.sampled_from(["sqlite", "jsonl"]), path=st.just(Path("/s")), mode=st.integers(0, 9)
)


def by_name(values: list[Any]) -> dict[str, Any]:
    return {each.name: each for each in values}


@st.composite
def settings(draw: st.DrawFn) -> Settings:
    known_accounts = by_name(draw(st.lists(accounts, max_size=4)))
    return Settings(
        daemon=DAEMON,
        accounts=known_accounts,
        limits={name: draw(limits) for name in known_accounts},
        sources={},
        descriptions=draw(st.dictionaries(names, st.tuples(words, st.dictionaries(words, words)), max_size=2)),
        sinks=by_name(draw(st.lists(sinks, max_size=2))),
        imports=by_name(draw(st.lists(imports, max_size=4))),
        renewals={name: draw(renewals) for name in known_accounts if draw(st.booleans())},
    )


def taken_over(old: Settings, found: Changes) -> Settings:
    """As the engine takes them over, but at once."""

    def merged(before: Mapping[str, Any], news: Mapping[str, Any], gone: list[str]) -> dict[str, Any]:
        return {name: each for name, each in {**before, **news}.items() if name not in gone}

    changed = {each.spec.name: each for each in found.accounts}
    kept = {name: each for name, each in old.renewals.items() if name not in changed}
    return Settings(
        daemon=found.daemon,
        accounts=merged(old.accounts, {name: each.spec for name, each in changed.items()}, found.gone_accounts),
        limits=merged(old.limits, {name: each.limits for name, each in changed.items()}, found.gone_accounts),
        sources={},
        descriptions={**old.descriptions, **found.descriptions},
        sinks=found.sinks,
        imports=merged(old.imports, by_name(found.imports), found.gone_imports),
        renewals=merged(kept, {n: each.renewal for n, each in changed.items() if each.renewal}, found.gone_accounts),
    )


@hypothesis.settings(max_examples=40)
@given(settings(), settings(), st.integers(1, 3))
def test_what_differs_makes_the_one_of_the_other(old: Settings, new: Settings, size: int) -> None:
    sent = msgspec.msgpack.decode(msgspec.msgpack.encode(known(old)), type=Known)
    found = joined(pieces(changes(sent, new), size))
    then = taken_over(old, found)
    for table in ("daemon", "accounts", "limits", "sinks", "imports", "renewals"):
        assert getattr(then, table) == getattr(new, table), table
    assert then.descriptions == {**old.descriptions, **new.descriptions}


@hypothesis.settings(max_examples=20)
@given(settings())
def test_nothing_differs_from_itself(one: Settings) -> None:
    found = joined(pieces(changes(known(one), one), 2))
    assert [found.accounts, found.imports, found.gone_accounts, found.gone_imports] == [[], [], [], []]
    assert found.descriptions == {}


@hypothesis.settings(max_examples=20)
@given(settings(), settings())
def test_only_what_differs_is_sent(old: Settings, new: Settings) -> None:
    found = changes(known(old), new)
    same = {name for name, spec in new.imports.items() if old.imports.get(name) == spec}
    assert {each.name for each in found.imports} == new.imports.keys() - same


def test_every_setting_of_the_daemon_is_for_a_reload_or_for_a_restart() -> None:
    assert {each.name for each in msgspec.structs.fields(Daemon)} == {*AT_ONCE, *AT_A_START}
    assert not set(AT_ONCE) & AT_A_START.keys()


def test_settings_of_the_daemon_that_need_a_restart_stay() -> None:
    new = msgspec.structs.replace(DAEMON, log_level="debug", max_worker_memory_bytes=1, visibility_seconds=9.0)
    assert daemon_changes(DAEMON, new) == (
        msgspec.structs.replace(DAEMON, log_level="debug", max_worker_memory_bytes=1),
        ["daemon.max_worker_memory_mb", "daemon.log_level"],
        ["daemon.visibility_timeout"],
    )


@pytest.mark.parametrize("change", [{"type": "jsonl"}, {"path": Path("/t")}, {"mode": 1}, {"rotate_bytes": 1}])
def test_a_sink_that_is_different_is_told_from_new_and_gone_ones(change: dict[str, Any]) -> None:
    one = SinkSpec(name="one", type="sqlite", path=Path("/s"))
    old = {"one": one, "gone": one, "same": one}
    new = {"one": msgspec.structs.replace(one, **change), "new": one, "same": one}
    assert sink_changes(old, new) == (["new"], ["gone"], ["one"])


def test_options_of_imports_are_the_same_after_their_way() -> None:
    """Those of the example, as their source's own type."""
    whole = load(ROOT / "config" / "crawlerd.example.toml", registry=registry, secrets=False)
    nothing = Known(accounts={}, imports={}, descriptions={}, sources=[])
    sent = joined(pieces(changes(nothing, whole), 10))
    assert [each.name for each in sent.imports] == list(whole.imports)
    for each in sent.imports:
        spec = whole.imports[each.name]
        kind = whole.sources[whole.accounts[spec.account].source].import_options
        options = None if each.options is None else msgspec.convert(each.options, kind)
        assert msgspec.structs.replace(each, options=options) == spec
