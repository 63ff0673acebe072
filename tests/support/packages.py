"""Packages that tests install."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def pip_install(package: Path, site: Path) -> None:
    """As `pip install` does, but from what is on this machine."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    subprocess.run([*command, "--no-build-isolation", "--no-deps", "--target", str(site), str(package)], check=True)
