"""Each benchmark runs, at sizes of nothing, and prints its tables; what they measure then says nothing."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from bench.rig.process import ROOT, environment

if TYPE_CHECKING:
    from pathlib import Path

TABLES = {  # how many tables each prints, and what it needs that need not be there
    "compare": (1, ()),
    "limits.adaptive": (3, ()),
    "limits.held_rate": (1, ()),
    "limits.hidden": (1, ()),
    "limits.rate": (3, ()),
    "limits.stripe": (1, ()),
    "page": (2, ()),
    "peers.aws": (2, ()),
    "peers.noop": (2, ("cc", "huey")),
    "peers.pages": (1, ()),
    "peers.queues": (1, ("cc", "huey", "litequeue")),
    "peers.s3_batch": (1, ()),
    "peers.transport": (1, ("pycurl",)),
    "rehearsal": (2, ()),
    "scale.configuration": (1, ()),
    "scale.glance": (1, ()),
    "scale.frontier": (5, ("cc",)),
    "scale.interruptions": (1, ()),
    "scale.memory": (1, ()),
    "scale.organization": (1, ()),
    "scale.parents": (1, ()),
    "scale.paused": (1, ()),
    "scale.postgresql_sink": (1, ()),
    "scale.postgresql_frontier": (1, ()),
    "scale.postgresql_vacuum": (1, ()),
    "scale.pruning": (1, ()),
    "scale.s3_object": (1, ()),
    "scale.scrape": (1, ()),
    "scale.sinks": (1, ()),
    "soak": (1, ()),
}
TABLE = re.compile(r"^\|.*\|\n\| ?-.*\|\n(?:\|.*\| ?\n)+", re.MULTILINE)


def missing(needed: str) -> bool:
    return (shutil.which(needed) if needed == "cc" else importlib.util.find_spec(needed)) is None


def test_every_benchmark_is_tried() -> None:
    folder = ROOT / "bench"
    scripts = {path for path in folder.rglob("*.py") if "def main()" in path.read_text() and path.parent.name != "rig"}
    assert {".".join(path.relative_to(folder).with_suffix("").parts) for path in scripts} == set(TABLES)


@pytest.mark.parametrize("script", TABLES)
def test_a_benchmark_runs_and_prints_its_tables(script: str, tmp_path: Path) -> None:
    tables, needed = TABLES[script]
    for each in filter(missing, needed):
        pytest.skip(f"{each} is not installed")
    if script == "compare" and not (ROOT / ".git").exists():
        pytest.skip("there are no commits to compare")
    done = subprocess.run(
        [sys.executable, "-m", f"bench.{script}", "--smoke"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    said = f"{done.stdout}{done.stderr}"
    if script == "compare":  # two runs of a fiftieth may differ by more than is tolerated
        assert "Traceback" not in done.stderr, said
    else:
        assert done.returncode == 0, said
    found = TABLE.findall(done.stdout)
    assert len(found) == tables, said
    assert "nan" not in done.stdout
    assert not list(tmp_path.iterdir()), "it leaves files"
