"""The lock of a state directory, against real other processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from crawlerd.cli.main import run_command
from crawlerd.config.load import state_dir
from crawlerd.core.errors import ConfigurationError, FrontierError, FrontierLocked, FrontierRefused, FrontierUnusable
from crawlerd.frontier import open_frontier, open_reader
from crawlerd.frontier.lock import BEAT_SECONDS, SIGNED_WITHIN, StateLock, lock_holder

if TYPE_CHECKING:
    from collections.abc import Iterator

HOLD = """
import sys
from pathlib import Path
from crawlerd.frontier.lock import StateLock
held = StateLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""

ASK = """
import sys
from pathlib import Path
from crawlerd.frontier.lock import lock_holder
print(lock_holder(Path(sys.argv[1])))
"""

HOLD_FILE = """
import fcntl, sys
from pathlib import Path
file = (Path(sys.argv[1]) / "lock").open("w")
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def holder(state_dir: Path, script: str = HOLD) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that holds the lock until its stdin is closed, or it is killed."""
    with subprocess.Popen(
        [sys.executable, "-c", script, str(state_dir)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
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


def test_a_start_waits_for_a_command_that_holds_it_for_a_moment(tmp_path: Path) -> None:
    with holder(tmp_path, HOLD.replace("]))", "]), brief=True)")) as process, ThreadPoolExecutor() as pool:
        found = pool.submit(StateLock, tmp_path)
        with pytest.raises(TimeoutError):
            found.result(2 * SIGNED_WITHIN)
        process.communicate()
        found.result(5).close()


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
    with pytest.raises(FrontierUnusable, match=f"cannot use {tmp_path}/file: {tmp_path}/file is not a directory"):
        StateLock(tmp_path / "file")


def test_a_file_that_is_deleted_frees_nothing_and_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lock = tmp_path / "lock"
    with StateLock(tmp_path) as held:
        for replace in (lock.unlink, lambda: lock.unlink() or lock.write_text("")):
            replace()
            second = subprocess.run(
                [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.DEVNULL, capture_output=True, text=True
            )
            assert f"another crawlerd (pid {os.getpid()}) is using {tmp_path}" in second.stderr
            monkeypatch.setattr("crawlerd.frontier.lock.BEAT_SECONDS", 0.0)
            held.beat()
            with subprocess.Popen(
                [sys.executable, "-c", ASK, str(tmp_path)], stdout=subprocess.PIPE, text=True
            ) as asking:
                assert asking.communicate()[0] == f"{os.getpid()}\n"
        assert len(caplog.records) == 2
    with holder(tmp_path):
        pass


def test_a_file_that_another_program_has_taken_meanwhile_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of an earlier version, which knows of no other lock."""
    monkeypatch.setattr("crawlerd.frontier.lock.BEAT_SECONDS", 0.0)
    with StateLock(tmp_path) as held:
        (tmp_path / "lock").unlink()
        with subprocess.Popen(
            [sys.executable, "-c", HOLD_FILE, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"held\n"
            with pytest.raises(FrontierRefused, match=rf"another program \(pid {process.pid}\) holds it now"):
                held.beat()
            process.communicate()


def test_a_directory_that_is_moved_away_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawlerd.frontier.lock.BEAT_SECONDS", 0.0)
    state = tmp_path / "state"
    with StateLock(state) as held:
        state.rename(tmp_path / "elsewhere")
        for _ in range(2):  # nor does another one in its place do
            with pytest.raises(FrontierRefused, match="its directory is gone"):
                held.beat()
            state.mkdir(exist_ok=True)
        assert not list(state.iterdir())


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="OTHER USERS ARE NOT TESTED: only root can become one")
NOBODY = 65534


@contextmanager
def nobody(folder: Path) -> Iterator[None]:
    """This process is another user within the block, who may get as far as the folder."""
    for each in (folder, *folder.parents):
        if each.stat().st_uid == 0 and each.is_relative_to(Path(tempfile.gettempdir())) and each.name != "tmp":
            each.chmod(0o755)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@needs_root
@pytest.mark.parametrize(("mode", "named"), [(0o700, ""), (0o755, "/frontier.db"), (0o777, "/lock")])
def test_what_belongs_to_root_is_named_with_its_owner_and_the_cure(tmp_path: Path, mode: int, named: str) -> None:
    state = tmp_path / "state"
    with StateLock(state):
        open_frontier(state, now=time.time()).close()
    (state / "frontier.db").chmod(0o600)
    (state / "lock").chmod(0o600)
    state.chmod(mode)
    with nobody(tmp_path):
        with pytest.raises(FrontierUnusable) as refusal:
            StateLock(state)
        reads = pytest.raises(FrontierError, match=rf"cannot read {state}/frontier.db: .* and this is user nobody")
        with reads as unreadable:
            open_reader(state)
    assert not isinstance(unreadable.value, FrontierUnusable)  # a command that reads is not told to be configured
    refused = state / "lock" if mode == 0o777 else state
    assert f"{refused} belongs to user root (0) with mode" in str(refusal.value)
    assert f"this is user nobody ({NOBODY})" in str(refusal.value)
    assert f"chown -R {NOBODY} {state}`" in str(refusal.value)  # the whole directory: one file alone is not enough


@needs_root
@pytest.mark.parametrize("mode", [0o755, 0o700])
def test_nobody_is_told_to_give_away_the_system_s_directories(tmp_path: Path, mode: int) -> None:
    """A state directory that is not there yet, in one of root's, such as /var/lib."""
    above = tmp_path / "lib"
    above.mkdir()
    above.chmod(mode)
    state = above / "crawlerd"
    with nobody(tmp_path), pytest.raises(FrontierUnusable) as refusal:
        StateLock(state)
    assert f"{above} belongs to user root (0) with mode {mode:04o}" in str(refusal.value)
    assert "chown" not in str(refusal.value)
    cure = f"`install -d -m 0700 -o {NOBODY} {state}`" if mode == 0o755 else "let this user into that directory"
    assert cure in str(refusal.value)


@needs_root
def test_root_leaves_nothing_in_another_users_directory(tmp_path: Path) -> None:
    """An import as root would leave files there that the service could not open."""
    state = tmp_path / "state"
    state.mkdir()
    os.chown(state, 12345, 12345)
    with pytest.raises(FrontierUnusable, match=rf"{state} belongs to user 12345, .* that root makes there"):
        StateLock(state)
    assert not list(state.iterdir())


@needs_root
def test_a_frontier_that_root_has_left_is_named(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    with StateLock(state):
        open_frontier(state, now=time.time()).close()
    for each in (state, state / "lock", state / "frontier.id"):
        os.chown(each, NOBODY, NOBODY)
    (state / "frontier.db").chmod(0o600)
    expected = (
        rf"cannot use {state}/frontier.db: {state}/frontier.db belongs to user root \(0\) with mode 0600, and this"
    )
    with nobody(tmp_path), StateLock(state), pytest.raises(FrontierUnusable, match=expected):
        open_frontier(state, now=time.time())


@needs_root
def test_a_read_only_file_system_is_named(small_disk: Path) -> None:
    (small_disk / "state").mkdir()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for state in (small_disk / "state", small_disk / "other"):
        with pytest.raises(FrontierUnusable, match=rf"cannot use {state}: .* read-only here; mount it writable"):
            StateLock(state)


@needs_root
def test_a_configuration_that_may_not_be_read_is_named_with_its_owner(tmp_path: Path) -> None:
    config = tmp_path / "crawlerd.toml"
    config.write_text('[daemon]\nstate_dir = "state"\n')
    config.chmod(0o600)
    expected = (
        rf"{config}: cannot be read: Permission denied; {config} belongs to user root \(0\) with mode 0600, and this "
        rf"is user nobody \({NOBODY}\)"
    )
    with nobody(tmp_path), pytest.raises(ConfigurationError, match=expected):
        state_dir(config)
    os.setreuid(NOBODY, 0)  # of whom typer would ask: it would end with 2, which a service takes for worth another try
    try:
        assert run_command(["-c", str(config), "status"]) == 0
    finally:
        os.setreuid(0, 0)


@pytest.mark.parametrize("target", ["nowhere/at/all", "link"])
def test_a_link_that_leads_nowhere_is_named(tmp_path: Path, target: str) -> None:
    link = tmp_path / "link"
    link.symlink_to(target)
    for folder in (link, link / "below"):
        with pytest.raises(FrontierUnusable, match=f"{link} is a symbolic link that does not lead to a directory"):
            StateLock(folder)


def test_a_pipe_in_place_of_the_lock_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "lock")
    assert lock_holder(tmp_path) is None
