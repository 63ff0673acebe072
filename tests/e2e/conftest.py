"""What tests of the installed command share."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.installation import Running, until

if TYPE_CHECKING:
    from collections.abc import Iterator

THREAD_POOL = Path(__file__).parents[2] / "examples/thread_pool"


@pytest.fixture
def thread_pool(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A copy of the example's folder, and its API at a URL, which the configuration has."""
    folder = Path(shutil.copytree(THREAD_POOL, tmp_path / "thread_pool"))
    api = Running([sys.executable, "-u", "api.py", "0"], folder, {}, 100)
    try:
        url: str = until((folder / "100.out").read_text).strip()
        config = folder / "crawlerd.toml"
        config.write_text(config.read_text().replace("http://127.0.0.1:8100", url))
        yield folder, url
    finally:
        api.process.kill()
        api.process.wait()
