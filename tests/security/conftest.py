"""What these tests share."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A folder that everybody may reach; pytest's own are private, and become so again with each session."""
    folder = Path(tempfile.mkdtemp(prefix="crawlerd-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
