"""axe-core's rules of accessibility, run in a page."""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from support.chromium import Chromium

_FOLDER = Path(__file__).parents[1] / "browser"
_RUN = """
const done = arguments[arguments.length - 1];
axe.run(document, {resultTypes: ["violations"]}).then(
  found => done(found.violations.flatMap(rule => rule.nodes.map(
    node => rule.id + ": " + node.target.join(" ") + ": " + (node.failureSummary ?? "").replace(/\\s+/g, " ")))),
  error => done(["axe: " + error]));
"""


@functools.cache
def _source() -> str:
    """From the npm package; installed on the first use."""
    file = _FOLDER / "node_modules/axe-core/axe.min.js"
    if not file.exists():
        assert shutil.which("npm"), "install Node.js and npm: the rules of accessibility come from there"
        command = ["npm", "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
        subprocess.run(command, cwd=_FOLDER, check=True, timeout=100)
    return file.read_text()


def findings(chromium: Chromium) -> list[str]:
    """What axe finds on the page that is open: rule, element, what to do."""
    if not chromium.driver.execute_script("return !!window.axe"):
        chromium.driver.execute_script(_source())
    found: list[str] = chromium.driver.execute_async_script(_RUN)
    return found
