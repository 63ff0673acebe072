"""What a command loads: a foreground import has no use for what serves the daemon's users."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.installation import Installation


def test_an_import_loads_no_http_server_and_no_metrics(install: Callable[..., Installation]) -> None:
    here = install(accounts=0)
    here.add_source(
        "small",
        """
source = Source("small", base_url="http://127.0.0.1:9", streams=["things"])
@source.starts
def starts(plan):
    return []
""",
    )
    here.environment["PYTHONPROFILEIMPORTTIME"] = "1"  # names each module on stderr, also those of workers
    done = here.run("import", "small")
    assert done.code == 0
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "crawlerd.engine.engine" in loaded
    unwanted = {
        "http.server",
        "starlette",
        "uvicorn",
        "prometheus_client",
        "crawlerd.service.listeners",
        "crawlerd.service.metrics",
    }
    assert not loaded & unwanted
