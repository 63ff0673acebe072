"""Without the driver for PostgreSQL, a frontier that is there is refused with what to install."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from crawlerd.core.driver import has_driver
from crawlerd.core.errors import ConfigurationError
from crawlerd.frontier import locate, open_frontier, open_reader

if TYPE_CHECKING:
    from pathlib import Path


def test_a_frontier_in_postgresql_without_its_driver_is_an_error_of_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    assert not has_driver()
    locate(tmp_path, lambda: "postgresql://localhost/none")
    with pytest.raises(ConfigurationError, match=r"pip install 'crawlerd\[postgres\]'"):
        open_reader(tmp_path)
    with pytest.raises(ConfigurationError, match=r"pip install 'crawlerd\[postgres\]'"):
        open_frontier(tmp_path, now=0.0)
