"""What all tests share: no network but loopback, and installations of crawlerd to run."""

from __future__ import annotations

import fcntl
import ipaddress
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from support.installation import Installation
from support.small_disks import small_disk_at

from crawlerd.demo.server import running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from crawlerd.demo.server import Server


def _is_near(host: object) -> bool:
    text = host.decode() if isinstance(host, bytes) else host
    if text is None or text in ("", "localhost"):
        return True
    try:
        return ipaddress.ip_address(str(text)).is_loopback
    except ValueError:
        return False


def _refuse_network(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook: it sees every socket of this process, whichever library opens it."""
    match event, arguments:
        case (("socket.connect" | "socket.sendto" | "socket.sendmsg"), (_, (host, *_))):
            pass
        case (("socket.getaddrinfo" | "socket.gethostbyname"), (host, *_)):
            pass
        case _:
            return
    if not _is_near(host):
        raise RuntimeError(f"a test reaches for the network: {event} {host!r}")


sys.addaudithook(_refuse_network)

settings.register_profile("patient", deadline=None)  # machines are noisy: no test is about its own speed
settings.load_profile("patient")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("alone") is not None)  # last, when there is least to wait for


@pytest.fixture(autouse=True)
def _turn(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Processes of one session share the machine, but for the tests that are marked to have it alone."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        yield
        return
    shared = tmp_path_factory.getbasetemp().parent
    with (shared / "gate").open("a") as gate, (shared / "machine").open("a") as machine:
        fcntl.flock(gate, fcntl.LOCK_EX)  # who waits for the machine lets nobody else in
        fcntl.flock(machine, fcntl.LOCK_EX if request.node.get_closest_marker("alone") else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield


@pytest.fixture
def install(tmp_path: Path) -> Iterator[Callable[..., Installation]]:
    """Makes installations, see `Installation`; whatever still runs in them is killed at the end."""
    made: list[Installation] = []

    def make(**options: Any) -> Installation:
        folder = tmp_path / f"i{len(made)}"
        made.append(Installation(folder, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, that a test may fill."""
    with small_disk_at(tmp_path / "disk") as disk:
        yield disk


@pytest.fixture(scope="module")
def quiet_api() -> Iterator[Server]:
    """A local API without limits, faults and latency; 4 accounts of 40 customers."""
    with running(accounts=4, customers=40, rate=0) as server:
        yield server


@pytest.fixture
def api(quiet_api: Server) -> Server:
    """The quiet API with fresh statistics."""
    quiet_api.reset()
    return quiet_api
