"""A wall clock that is set an hour back or forward under a running import, while tasks wait to be tried again."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from support.installation import Installation, until
from support.relay import Answer, Relay

from crawlerd.demo.server import running

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RATE = 20
CLOCK = """
import os, time

true_time = time.time
time.time = lambda: true_time() + float(open(os.environ["CLOCK"]).read())
"""


def set_clock(file: Path, seconds: int) -> None:
    """Of all processes that look at the file: so far from the true time."""
    part = file.with_suffix(".part")
    part.write_text(str(seconds))
    part.replace(file)


@pytest.mark.alone
@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_jumps_neither_stalls_nor_bursts(hours: int, install: Callable[..., Installation]) -> None:
    dice = random.Random(1)
    with (
        running(accounts=1, customers=100, rate=0) as server,
        Relay(server.url, lambda _: Answer(503) if dice.random() < 0.1 else None) as relay,
    ):
        limits = [f"{RATE}/second", f"{60 * RATE}/minute"]
        here = install(url=relay.url, account={"limits": limits, "bucket_limits": [], "retry_base": "2s"})
        clock = here.folder / "clock"
        set_clock(clock, 0)
        site = here.folder / "site"
        site.mkdir()
        (site / "sitecustomize.py").write_text(CLOCK)
        here.environment |= {"PYTHONPATH": str(site), "CLOCK": str(clock)}
        importing = here.start("import", "--all")
        until(lambda: len(relay.seen) > 40)
        set_clock(clock, 3600 * hours)
        command = [sys.executable, "-c", "import time; print(time.time())"]
        asked = subprocess.run(command, env=here.environment, stdout=subprocess.PIPE, check=True)
        assert abs(float(asked.stdout) - time.time() - 3600 * hours) < 60
        before = len(relay.seen)
        assert importing.finish().code == 0
        arrivals = sorted(each.arrived for each in relay.seen)
    here.assert_complete(1, 100)
    assert len(arrivals) > before + 2 * RATE
    assert max(later - earlier for earlier, later in pairwise(arrivals[: before + 2 * RATE])) < 0.5
    assert all(later - earlier >= 1.0 for earlier, later in zip(arrivals, arrivals[RATE:], strict=False))
