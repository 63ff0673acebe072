"""The lock of a state directory, against real other processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from crawlerd.core.errors import FrontierError, FrontierLocked
from crawlerd.frontier.lock import BEAT_SECONDS, StateLock, lock_holder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOLD = """
import sys
from pathlib import Path
from crawlerd.frontier.lock import StateLock
held = StateLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def holder(state_dir: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that holds the lock until its stdin is closed, or it is killed."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(state_dir)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"held\n"
            yield process
        finally:
            process.kill()


def test_a_second_crawlerd_is_told_who_the_first_is(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        for _ in range(2):  # nor does a failed attempt take anything from the first
            with pytest.raises(FrontierLocked, match=rf"another crawlerd \(pid {process.pid}\) is using {tmp_path}"):
                StateLock(tmp_path)
        assert lock_holder(tmp_path) == process.pid
    StateLock(tmp_path).close()


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_a_lock_dies_with_its_holder(tmp_path: Path, sent: int) -> None:
    with holder(tmp_path) as process:
        process.send_signal(sent)
        process.wait()
        assert lock_holder(tmp_path) is None
        with StateLock(tmp_path) as mine:
            assert mine.last_alive is not None


def test_asking_who_holds_it_neither_takes_it_nor_needs_it(tmp_path: Path) -> None:
    assert lock_holder(tmp_path) is None
    assert list(tmp_path.iterdir()) == []
    with holder(tmp_path) as process:
        assert lock_holder(tmp_path) == process.pid
    assert lock_holder(tmp_path) is None
    assert (tmp_path / "lock").exists()


def test_children_do_not_keep_it(tmp_path: Path) -> None:
    held = StateLock(tmp_path)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, close_fds=False) as child:
        held.close()
        with holder(tmp_path) as process:
            assert lock_holder(tmp_path) == process.pid
        child.communicate()


def test_a_new_holder_knows_when_an_earlier_one_was_last_alive(tmp_path: Path) -> None:
    with StateLock(tmp_path) as first:
        assert first.last_alive is None
    os.utime(tmp_path / "lock", (1000.0, 1000.0))
    with StateLock(tmp_path) as second:
        assert second.last_alive == 1000.0 + 2 * BEAT_SECONDS
    with StateLock(tmp_path) as third:  # the second took it just now
        assert third.last_alive is not None
        assert time.time() - 5 < third.last_alive <= time.time()
    os.utime(tmp_path / "lock", (2e10, 2e10))  # and the clock was set back since
    with StateLock(tmp_path) as fourth:
        assert fourth.last_alive == pytest.approx(time.time(), abs=5)


def test_a_holder_notes_about_once_a_second_that_it_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr("crawlerd.frontier.lock.time.monotonic", lambda: now)
    with StateLock(tmp_path) as held:
        for after, noted in ((0.5, False), (1.0, True), (1.5, False), (2.0, True)):
            os.utime(tmp_path / "lock", (1000.0, 1000.0))
            monkeypatch.setattr("crawlerd.frontier.lock.time.monotonic", lambda at=now + after * BEAT_SECONDS: at)
            held.beat()
            assert ((tmp_path / "lock").stat().st_mtime > 1000.0) == noted


def test_a_state_directory_is_made_and_an_impossible_one_named(tmp_path: Path) -> None:
    with StateLock(tmp_path / "a" / "b") as held:
        assert isinstance(held, StateLock)
        assert (tmp_path / "a" / "b" / "lock").read_text() == f"{os.getpid()}\n"
    (tmp_path / "file").write_text("")
    with pytest.raises(FrontierError, match=f"cannot use the state directory {tmp_path}/file"):
        StateLock(tmp_path / "file")
