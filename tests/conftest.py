"""What all tests share: no network but loopback, and installations of crawlerd to run."""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import pytest
from hypothesis import settings
from support.installation import Installation
from support.small_disks import small_disk_at

from crawlerd.cli.modes import modes
from crawlerd.demo.server import running

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

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
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else each of some thousand commands would compile crawlerd again

settings.register_profile("patient", deadline=None)  # machines are noisy: no test is about its own speed
settings.load_profile("patient")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_alone)  # last: the others have ended


class _Turns:
    """Processes of one session share the machine, but for the tests that are marked to have it alone. Those wait until
    no other test runs, which is at the end. Two of them may run at once: mostly, they wait for their limits."""

    def __init__(self, session: str) -> None:
        self._folder = Path(tempfile.gettempdir(), f"crawlerd-{session}")
        self._folder.mkdir(exist_ok=True)
        self._held: list[TextIO] = []

    def begin(self, *, alone: bool) -> None:
        if self._held:
            return
        if alone:
            half, seat = self._seat()
            self._held = [seat, self._opened(f"machine{half}")]
            fcntl.flock(self._held[1], fcntl.LOCK_EX)
        else:
            self._held = [self._opened(f"machine{half}") for half in (0, 1)]
            for each in self._held:
                fcntl.flock(each, fcntl.LOCK_SH)

    def end(self) -> None:
        for each in self._held:
            each.close()
        self._held = []

    def _seat(self) -> tuple[int, TextIO]:
        """One of the two that tests have which want the machine alone."""
        while True:
            for half in (0, 1):
                seat = self._opened(f"seat{half}")
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(seat, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return half, seat
                seat.close()
            time.sleep(0.05)  # a lock of one of several files cannot be waited for

    def _opened(self, name: str) -> TextIO:
        return (self._folder / name).open("a")


TURNS = _Turns(os.environ["PYTEST_XDIST_TESTRUNUID"]) if "PYTEST_XDIST_TESTRUNUID" in os.environ else None


def _alone(item: pytest.Item | None) -> bool:
    return item is not None and item.get_closest_marker("alone") is not None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, object, object]:
    if TURNS is None:
        return (yield)
    TURNS.begin(alone=_alone(item))
    try:
        return (yield)
    finally:
        if not (_alone(item) and _alone(nextitem)):
            TURNS.end()


@pytest.fixture(autouse=True)
def _modes() -> Iterator[None]:
    """A command that a test runs in its own process says how it prints, for this process."""
    yield
    modes.__init__()  # type: ignore[misc] # as they were at the start


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
