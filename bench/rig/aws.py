"""Installations that crawl AWS' services, as servers of this machine have them."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

from bench.rig.meters import frontier_bytes
from bench.rig.process import environment, module
from bench.rig.testbed import AwsProxy, Installation, Organization, Pricing, Store, settle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.rig.meters import Peaks

CHUNK = 100  # records of a batch that are processed together
PROCESSES = 2


def organization_installation(folder: Path, source: str, proxy: AwsProxy, **account: Any) -> Installation:
    """One account, `org`, and the import of all its streams. account: keys of its table."""
    here = Installation(folder, accounts=0, daemon={"worker_processes": PROCESSES})
    here.environment |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    here.config["accounts"]["org"] = {"source": source, "endpoint_url": proxy.url, **account}
    here.config["imports"]["org"] = {"account": "org", "sink": "sink", "streams": ["*"]}
    return here


def batch_installation(folder: Path, store: Store, pricing: Pricing) -> Installation:
    """The import `prices`, of the batches in a store."""
    here = settle(
        lambda **options: Installation(folder, daemon={"worker_processes": PROCESSES}, **options), store, chunk=CHUNK
    )
    pricing.serve(here)
    return here


class BatchServer(Organization):
    """moto's server, which counts: see `batch_server.py`."""

    def seen(self) -> dict[str, Any]:
        with urlopen(f"http://{self.address}/.seen") as answer:
            found: dict[str, Any] = json.load(answer)
            return found


@contextmanager
def batch_server(*arguments: str) -> Iterator[BatchServer]:
    command = module("bench.rig.batch_server", *arguments)
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield BatchServer(process.stdout.readline().strip(), {})
        finally:
            process.kill()


def watched(here: Installation, name: str, peaks: Peaks) -> int:
    """Runs an import and samples it to its end, which must be good. Returns the most bytes that its frontier had."""
    running = here.start("import", name)
    disk = 0
    while running.running:
        peaks.sample(running.pid, running.workers())
        disk = max(disk, frontier_bytes(here.state_dir))
        with suppress(subprocess.TimeoutExpired):
            running.process.wait(0.1)
    done = running.finish()
    assert done.code == 0, done.stdout + done.stderr
    return disk
