"""One chromium for all tests of a process. A test that leaves a complaint in its console fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.chromium import Chromium
from support.faulty_daemon import FaultyDaemon

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(tmp_path_factory.mktemp("chromium")) as chromium:
        yield chromium


@pytest.fixture
def chromium(window: Chromium) -> Iterator[Chromium]:
    """As if just started. `fresh(origin)` says which pages it looks at."""
    window.fresh("")
    yield window
    complaints = window.complaints()
    window.fresh("")
    assert complaints == []


@pytest.fixture(scope="session")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyDaemon]:
    """A daemon in trouble, to look at; for what changes it, a test starts its own."""
    with FaultyDaemon(tmp_path_factory.mktemp("faults") / "i") as daemon:
        daemon.settle()
        yield daemon


@pytest.fixture
def looking(chromium: Chromium, faults: FaultyDaemon) -> Chromium:
    """At the daemon in trouble."""
    chromium.fresh(faults.url)
    return chromium
