"""Who may read and write our files, and that none is made through somebody else's link."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import apsw
import pytest
from support.other_user import as_nobody, needs_root
from support.sink_batches import batch_of

from crawlerd.core.configuration import SinkSpec, SinkType
from crawlerd.core.errors import FrontierUnusable, SinkError
from crawlerd.files.making import new_part, open_plain, prepare_database
from crawlerd.frontier import open_frontier
from crawlerd.frontier.lock import StateLock
from crawlerd.sink import Delivery
from crawlerd.sinks import copy_sink, open_sink
from crawlerd.sinks.file_errors import file_failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.installation import Installation

TEXT = "what must stay\n"
READ_URI = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
TYPES: tuple[SinkType, ...] = ("sqlite", "jsonl", "persist-queue")


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def rights(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def make_state(folder: Path) -> None:
    with StateLock(folder):
        open_frontier(folder, now=0.0).close()


def delivery(number: int = 1) -> Delivery:
    return Delivery("stripe", "acme", 1, 0.0, number, [batch_of("customers", [(f"cus_{number}", {"id": number})])])


# the state directory


def test_the_state_directory_and_its_files_are_the_daemons_alone(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "state"
    with StateLock(folder):
        frontier = open_frontier(folder, now=0.0)
        assert rights(folder) == 0o700
        made = {each.name: rights(each) for each in folder.iterdir()}
        frontier.close()
    assert {"lock", "frontier.db", "frontier.db-wal", "frontier.db-shm", "frontier.id"} <= made.keys()
    assert set(made.values()) == {0o600}


def test_what_others_may_do_with_them_is_taken_away(tmp_path: Path) -> None:
    make_state(tmp_path)
    (tmp_path / "frontier.db.replaced").write_text("")  # an earlier version's, under the umask of that time
    (tmp_path / "mine").write_text("")
    for each in (tmp_path, *tmp_path.iterdir()):
        each.chmod(0o755 if each.is_dir() else 0o644)
    make_state(tmp_path)
    assert rights(tmp_path) == 0o700
    assert {each.name for each in tmp_path.iterdir() if rights(each) != 0o600} == {"mine"}


def test_a_directory_of_everybody_is_refused_and_stays_as_it_is() -> None:
    shared = Path("/tmp")  # noqa: S108 - nothing is written there
    before = shared.stat().st_mode
    with pytest.raises(FrontierUnusable, match="everybody may write to"):
        StateLock(shared)
    assert shared.stat().st_mode == before


@needs_root
def test_another_user_neither_reads_nor_locks_what_a_daemon_uses(open_place: Path) -> None:
    folder = open_place / "state"
    lock = """
import fcntl, os, sys
fcntl.lockf(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_SH | fcntl.LOCK_NB, 1, 120)
print("held")
"""
    with StateLock(folder):
        frontier = open_frontier(folder, now=0.0)
        for name in ("frontier.db", "frontier.db-shm", "frontier.db-wal", "lock"):
            folder.chmod(0o755)  # each file keeps others out by itself, too
            assert "PermissionError" in as_nobody(lock, folder / name), name
            folder.chmod(0o700)
        assert "PermissionError" in as_nobody("import os, sys; print(os.listdir(sys.argv[1]))", folder)
        frontier.close()


# sinks


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize(("mode", "expected", "of_folder"), [(0o640, 0o640, 0o750), (0o660, 0o660, 0o770)])
def test_a_sinks_files_have_its_mode(tmp_path: Path, kind: SinkType, mode: int, expected: int, of_folder: int) -> None:
    os.umask(0o077)  # as in the unit
    path = tmp_path / "sink"
    spec = SinkSpec(name="s", type=kind, path=path, mode=mode, rotate_bytes=1)
    with closing(open_sink(spec)) as sink:
        sink.write([delivery()], 1.0)
        sink.write([delivery(2)], 2.0)
        files = list(path.iterdir()) if path.is_dir() else list(tmp_path.iterdir())
        assert len(files) >= 3
        assert {rights(each) for each in files} == {expected}
        if path.is_dir():
            assert rights(path) == of_folder
    for each in files:
        if each.exists():
            each.chmod(0o666)
    with closing(open_sink(spec)) as sink:
        databases = [each for each in files if ".db" in each.name or each.name == "sink"]
        assert {rights(each) for each in databases if each.exists()} == {expected}


@pytest.mark.parametrize("kind", TYPES)
def test_a_sinks_file_is_not_made_through_a_link(tmp_path: Path, kind: SinkType) -> None:
    """Neither where the link leads to a file, nor where it leads to none; a directory may be a link."""
    victim, path = tmp_path / "victim", tmp_path / "sink"
    name = {"sqlite": "", "jsonl": ".crawlerd.db", "persist-queue": "data.db"}[kind]
    for content in (TEXT, "", None):
        victim.unlink(missing_ok=True)
        if content is not None:
            victim.write_text(content)
        if name:
            (tmp_path / "real").mkdir(exist_ok=True)
            if not path.exists():
                path.symlink_to(tmp_path / "real")
        link = path / name if name else path
        if not link.is_symlink():
            link.symlink_to(victim)
        with pytest.raises(SinkError, match="symbolic link"):
            open_sink(SinkSpec(name="s", type=kind, path=path))
        assert (victim.read_text() if victim.exists() else None) == content
    link.unlink()
    with closing(open_sink(SinkSpec(name="s", type=kind, path=path))) as sink:
        sink.write([delivery()], 1.0)


def test_a_link_planted_all_the_time_never_gets_what_becomes_a_file(tmp_path: Path) -> None:
    victim, folder, stop = tmp_path / "victim", tmp_path / "out", threading.Event()
    victim.write_text(TEXT)
    with closing(open_sink(SinkSpec(name="s", type="jsonl", path=folder, rotate_bytes=1))) as sink:

        def plant() -> None:
            while not stop.is_set():
                for part in folder.glob(".*.part"):
                    try:
                        part.unlink()
                        part.symlink_to(victim)
                    except OSError:
                        continue

        thread = threading.Thread(target=plant)
        thread.start()
        try:
            for number in range(30):
                try:
                    sink.write([delivery(number)], float(number))
                except SinkError:
                    continue
        finally:
            stop.set()
            thread.join()
    assert victim.read_text() == TEXT


# the helpers


@pytest.mark.parametrize("kind", ["link", "dangling", "second name", "pipe", "directory"])
def test_only_a_plain_file_of_one_name_is_opened(tmp_path: Path, kind: str) -> None:
    victim, path = tmp_path / "victim", tmp_path / "file"
    victim.write_text(TEXT)
    match kind:
        case "link":
            path.symlink_to(victim)
        case "dangling":
            path.symlink_to(tmp_path / "none")
        case "second name":
            path.hardlink_to(victim)
        case "pipe":
            os.mkfifo(path)
        case "directory":
            path.mkdir()
    with pytest.raises(OSError, match=r"."):
        open_plain(path, 0o600)
    assert victim.read_text() == TEXT
    assert not (tmp_path / "none").exists()


def test_a_part_has_a_name_that_nobody_can_take_before(tmp_path: Path) -> None:
    names = set()
    for _ in range(3):
        fd, part = new_part(tmp_path / "x.jsonl", 0o640)
        os.close(fd)
        names.add(part.name)
        assert rights(part) == 0o640
        assert part.name.startswith(".x-")
    assert len(names) == 3


@pytest.mark.parametrize("name", ["lock", "frontier.db"])
def test_a_link_in_the_state_directory_is_refused(tmp_path: Path, name: str) -> None:
    folder, victim = tmp_path / "state", tmp_path / "victim"
    folder.mkdir()
    victim.write_text(TEXT)
    (folder / name).symlink_to(victim)
    with pytest.raises(FrontierUnusable, match=f"cannot use .*{name}: it is a symbolic link"):
        make_state(folder)
    assert victim.read_text() == TEXT


@pytest.mark.parametrize(("kind", "why"), [("link", "it is a symbolic link"), ("pipe", "it is not a plain file")])
def test_what_takes_the_place_of_a_lock_in_use_ends_its_holder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, why: str
) -> None:
    monkeypatch.setattr("crawlerd.frontier.lock.BEAT_SECONDS", 0.0)
    path, victim = tmp_path / "state" / "lock", tmp_path / "victim"
    victim.write_text(TEXT)
    with StateLock(path.parent) as held:
        path.unlink()
        if kind == "link":
            path.symlink_to(victim)
        else:
            os.mkfifo(path)
        with pytest.raises(FrontierUnusable, match=f"cannot use {path}: {why}"):
            held.beat()
    assert victim.read_text() == TEXT


def test_a_lock_that_is_made_again_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawlerd.frontier.lock.BEAT_SECONDS", 0.0)
    with StateLock(tmp_path) as held:
        (tmp_path / "lock").unlink()
        held.beat()
        assert rights(tmp_path / "lock") == 0o600


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
def test_a_link_in_place_of_a_databases_other_file_is_named(tmp_path: Path, suffix: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text(TEXT)
    (tmp_path / f"x.db{suffix}").symlink_to(victim)
    with pytest.raises(OSError, match=f"x.db{suffix}, which belongs to it, is not a plain file"):
        prepare_database(tmp_path / "x.db", 0o600)
    assert victim.read_text() == TEXT


def test_nobody_is_told_to_remove_a_device() -> None:
    error = file_failure(Path("/dev/null"), OSError(errno.EINVAL, "it is not a plain file"), directory=False)
    assert "remove" not in str(error)


# copies for readers


@pytest.mark.parametrize("ended", [False, True])
def test_a_copy_is_plain_whole_and_for_the_group(tmp_path: Path, ended: bool) -> None:
    """While the sink is written, and after its writer has ended."""
    spec = SinkSpec(name="s", type="sqlite", path=tmp_path / "out.db")
    target = tmp_path / "copies" / "out.db"
    target.parent.mkdir()
    sink = open_sink(spec)
    sink.write([delivery(number) for number in range(100)], 1.0)
    if ended:
        sink.close()
    size = copy_sink(spec, target)
    assert size == target.stat().st_size
    assert [each.name for each in target.parent.iterdir()] == ["out.db"]
    assert rights(target) == 0o640
    target.parent.chmod(0o500)  # a reader who may write nothing
    with closing(apsw.Connection(f"file:{target}?mode=ro", flags=READ_URI)) as database:
        assert database.execute("SELECT count(*) FROM stripe_customers").get == 100
        assert database.pragma("journal_mode") == "delete"
    target.parent.chmod(0o700)
    if not ended:
        sink.write([delivery(200)], 2.0)
        sink.close()


@needs_root
def test_a_reader_of_the_group_reads_the_copy(open_place: Path) -> None:
    spec = SinkSpec(name="s", type="sqlite", path=open_place / "out.db")
    with closing(open_sink(spec)) as sink:
        sink.write([delivery()], 1.0)
    count = """
database = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
print(database.execute("SELECT count(*) FROM stripe_customers").fetchone()[0])
"""
    assert "OperationalError" in as_nobody(count, spec.path, groups=(0,))  # the writer has ended
    target = open_place / "copy.db"
    copy_sink(spec, target)
    assert as_nobody(count, target, groups=(0,)) == "1"
    assert "unable to open database" in as_nobody(count, target)


@pytest.mark.parametrize("there", ["file", "link", "log", "itself", "directory"])
def test_a_copy_replaces_nothing_unasked(tmp_path: Path, there: str) -> None:
    spec = SinkSpec(name="s", type="sqlite", path=tmp_path / "out.db")
    with closing(open_sink(spec)) as sink:
        sink.write([delivery()], 1.0)
    target, victim = tmp_path / "copy.db", tmp_path / "victim"
    victim.write_text(TEXT)
    match there:
        case "file":
            target.write_text(TEXT)
        case "link":
            target.symlink_to(victim)
        case "log":
            (tmp_path / "copy.db-wal").write_text("")
        case "itself":
            target = spec.path
        case "directory":
            target.mkdir()
    refusal = "is the sink's own database: choose another name" if there == "itself" else "exists"
    with pytest.raises(SinkError, match=refusal):
        copy_sink(spec, target)
    if there in ("link", "log", "itself", "directory"):
        with pytest.raises(SinkError, match=refusal):
            copy_sink(spec, target, force=True)
    else:
        copy_sink(spec, target, force=True)
        assert target.read_bytes().startswith(b"SQLite format 3")
    assert victim.read_text() == TEXT
    assert not list(tmp_path.glob(".*.part"))


def test_the_command_copies(install: Callable[..., Installation]) -> None:
    here = install(accounts=0)
    target = here.folder / "copy.db"
    assert "nothing was imported yet" in here.run("sink", "copy", "sink", "copy.db").stderr
    with closing(open_sink(SinkSpec(name="s", type="sqlite", path=here.sink_path))) as sink:
        sink.write([delivery()], 1.0)
    done = here.run("sink", "copy", "sink", "copy.db")
    assert done.code == 0
    assert done.stdout == f"copy.db: {target.stat().st_size / 1e6:.1f} MB\n"
    assert here.run("sink", "copy", "sink", "copy.db").code == 1
    assert here.run("sink", "copy", "sink", "copy.db", "--force").code == 0
    assert here.run("sink", "copy", "other", "x.db").code == 1
    here.config["sinks"]["sink"]["type"] = "jsonl"
    assert here.run("sink", "copy", "sink", "x.db").code == 2


@needs_root
def test_a_sink_that_another_user_owns_is_named_with_both_users(open_place: Path) -> None:
    spec = SinkSpec(name="s", type="sqlite", path=open_place / "out.db")
    open_sink(spec).close()
    spec.path.chmod(0o600)
    opening = """
import encodings.idna, os, pwd, sys
from pathlib import Path
from crawlerd.core.configuration import SinkSpec
from crawlerd.sinks import open_sink
import crawlerd.sinks.sqlite.sink, crawlerd.files.owners, crawlerd.sinks.file_errors
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    open_sink(SinkSpec(name="s", type="sqlite", path=Path(sys.argv[1])))
except Exception as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", opening, str(spec.path)], capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert f"{spec.path} belongs to user root (0) with mode 0600, and this is user nobody (65534); let this" in said
