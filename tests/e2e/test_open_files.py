"""Open files: many hosts at once stay below the limit, which is raised to what the system permits."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from support.installation import Installation, Running, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOSTS, PROCESSES, THREADS, PAGES = 200, 4, 16, 4
HARD_LIMIT = 128  # far fewer than 200 hosts would take of each process

SOURCE = """
source = Source("many", streams=["pages"], limits=Limits(concurrency=8))

@dataclass(frozen=True)
class Page(TaskArgs, kind="many.page"):
    number: int

@source.handles(Page)
def page(api, args):
    api.get(f"/{args.number}")
    yield Record("pages", str(args.number), {"n": args.number})

@source.starts
def starts(plan):
    return [Page(number) for number in range(PAGES)]
"""


class Hosts(BaseHTTPRequestHandler):
    """Answers for all of 127.0.0.0/8, and keeps connections open."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("0.0.0.0", 0), Hosts)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def most_open(daemon: Running, here: Installation) -> int:
    """Of any worker, until all runs are over."""
    most = 0

    def over() -> bool:
        nonlocal most
        for worker in daemon.workers():
            most = max(most, worker.num_fds())
        return here.states().count("completed") == HOSTS

    until(over, 60)
    return most


def test_many_hosts_stay_below_the_limit_of_open_files(port: int, install: Callable[..., Installation]) -> None:
    here = install(
        accounts=0,
        daemon={"worker_processes": PROCESSES, "threads_per_process": THREADS},
        under=["prlimit", f"--nofile={HARD_LIMIT // 2}:{HARD_LIMIT}"],
    )
    here.add_source("many", SOURCE.replace("PAGES", str(PAGES)))
    del here.config["accounts"]["many"], here.config["imports"]["many"]
    for number in range(1, HOSTS + 1):
        here.config["accounts"][f"h{number}"] = {"source": "many", "base_url": f"http://127.0.1.{number}:{port}"}
        here.config["imports"][f"h{number}"] = {
            "account": f"h{number}", "sink": "sink", "streams": ["*"], "schedule": "1h",
        }  # fmt: skip
    daemon = here.start("run")
    daemon.says(f"the limit of open files was {HARD_LIMIT // 2} and is now {HARD_LIMIT}")
    assert most_open(daemon, here) < HARD_LIMIT
    assert len(here.select("SELECT 1 FROM many_pages", path=here.sink_path)) == HOSTS * PAGES
    assert "Too many open files" not in daemon.stderr
    assert here.select("SELECT sum(retried), sum(dead) FROM run") == [(0, 0)]
