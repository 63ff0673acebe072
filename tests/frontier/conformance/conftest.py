"""The suite runs against every implementation of the frontier."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from places import IMPLEMENTATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from places import Place

    from crawlerd.frontier.contract import Frontier


@pytest.fixture(params=sorted(IMPLEMENTATIONS))
def implementation(request: pytest.FixtureRequest) -> str:
    """The name of one."""
    name: str = request.param
    return name


@pytest.fixture
def place(implementation: str, tmp_path: Path) -> Iterator[Place]:
    """Where a frontier may be made. Every invariant of it holds at the end."""
    folder = tmp_path / "state"
    folder.mkdir()
    place = IMPLEMENTATIONS[implementation](folder)
    yield place
    if place.frontier is not None:
        assert place.check() == []
    place.remove()


@pytest.fixture
def frontier(place: Place) -> Frontier:
    """A new one."""
    return place.open()
