"""`crawlerd backup` and `crawlerd restore`: the frontier and its sinks as one."""

from __future__ import annotations

import os
import shutil
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw
import pytest
from support.installation import QUICK, Installation, until
from support.killed_at import killed_at
from support.relay import Relay
from support.rest_api import RestApi

from crawlerd.cli.context import read_settings
from crawlerd.core.errors import FrontierError, FrontierRefused, SinkError
from crawlerd.frontier import last_backup, open_frontier
from crawlerd.frontier.lock import StateLock
from crawlerd.operations import backing_up
from crawlerd.operations.backing_up import back_up, check_backup
from crawlerd.operations.backup_manifest import backups_in, read_manifest
from crawlerd.operations.putting_back import put_back

if TYPE_CHECKING:
    from collections.abc import Callable

    from crawlerd.demo.server import Server

DESCRIPTION = """
name = "shop"
[endpoints.items]
path = "/all/items"
"""
SINKS: dict[str, dict[str, Any]] = {
    "sqlite": {"type": "sqlite", "path": "kept/rows.db"},
    "jsonl": {"type": "jsonl", "path": "kept/lines", "rotate_mb": 1},
    "persist-queue": {"type": "persist-queue", "path": "kept/queue"},
}


def lose_all(here: Installation) -> None:
    """As when the disk has died."""
    shutil.rmtree(here.state_dir)
    here.sink_path.unlink()
    for suffix in ("-wal", "-shm"):
        here.sink_path.with_name(here.sink_path.name + suffix).unlink(missing_ok=True)


def test_a_backup_beside_a_busy_daemon_leads_to_what_the_server_has(
    api: Server, install: Callable[..., Installation], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sink is ahead of the frontier, and never behind: the import goes on between the copies of the two, while they
    are made, and after."""
    opened = threading.Event()

    def held(path: str) -> None:
        if len(relay.seen) > 30:
            opened.wait(60)

    with Relay(api.url, held) as relay:
        here = install(url=relay.url, accounts=2, account={**QUICK, "limits": ["10/second"]}, schedule="1h")
        daemon = here.start("run")
        until(lambda: len(relay.seen) > 30)
        copied = backing_up.backup

        def backup(state_dir: Path, target: Path) -> int:
            size = copied(state_dir, target)
            opened.set()
            (noted,) = here.select("SELECT commits FROM frontier", path=target)
            until(lambda: here.select("SELECT max(number) FROM _crawlerd_frontier", path=here.sink_path) > [noted])
            return size

        monkeypatch.setattr(backing_up, "backup", backup)
        copy = here.folder / "copy"
        made = back_up(read_settings(here.folder / "crawlerd.toml", secrets=False), copy, now=0.0)
        assert (made.sinks, made.left_out) == (["sink"], {})
        ((commits,),) = here.select("SELECT commits FROM frontier", path=copy / "frontier.db")
        ((marked,),) = here.select("SELECT number FROM _crawlerd_frontier", path=copy / "sinks/sink/sink.db")
        assert marked > commits
        until(lambda: here.select("SELECT max(number) FROM _crawlerd_frontier", path=here.sink_path) > [(marked,)])
        daemon.kill()
        lose_all(here)
        restored = here.run("restore", "copy")
        assert restored.code == 0, restored
        assert f"is in {here.state_dir}\nsink sink is in {here.sink_path}\n" in restored.stdout
        assert here.states() == ["running", "running"]
        here.config["accounts"] = {name: {**each, "limits": []} for name, each in here.config["accounts"].items()}
        assert here.run("import", "--all").code == 0
    here.assert_complete(2, 40)


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Something was imported into each kind of sink."""
    here = Installation(tmp_path_factory.mktemp("imported") / "i", accounts=0)
    (here.folder / "kept").mkdir()
    (here.folder / "source.toml").write_text(DESCRIPTION)
    here.config["sinks"] = dict(SINKS)
    with RestApi() as api:
        api.lists["/items"] = [{"id": number, "text": "x" * number} for number in range(20)]
        here.config["accounts"]["a"] = {"source": "rest", "description": "source.toml", "base_url": api.url, **QUICK}
        for name in SINKS:
            here.config["imports"][name] = {"account": "a", "sink": name, "streams": ["*"]}
        assert here.run("import", "--all").code == 0
    return here


@pytest.fixture
def kept(imported: Installation, install: Callable[..., Installation]) -> Installation:
    """The same, for a test to change."""
    here = install(accounts=0)
    shutil.copytree(imported.folder, here.folder, dirs_exist_ok=True)
    here.config = imported.config
    return here


def test_every_kind_of_sink_comes_back_as_it_was(kept: Installation) -> None:
    before = contents(kept.folder / "kept")
    assert all(before.values())
    assert kept.run("backup", "copy").code == 0
    lose(kept)
    restored = kept.run("restore", "copy")
    assert restored.code == 0, restored
    assert contents(kept.folder / "kept") == before
    assert kept.run("sink", "check").code == 0


def test_a_killed_backup_is_whole_or_not_there(kept: Installation) -> None:
    settings, copy = read_settings(kept.folder / "crawlerd.toml", secrets=False), kept.folder / "copy"
    for point in range(200):
        killed = killed_at(point, lambda: back_up(settings, copy, now=0.0))
        if killed and copy.exists():
            check_backup(copy, read_manifest(copy))
            shutil.rmtree(copy)
        if not killed:
            break
    assert point > 10
    assert sorted(each.name for each in kept.folder.glob("*copy*")) == ["copy"]
    check_backup(copy, read_manifest(copy))


def test_a_killed_restore_lets_nothing_start_until_it_is_done_again(kept: Installation) -> None:
    settings, copy = read_settings(kept.folder / "crawlerd.toml", secrets=False), kept.folder / "copy"
    before = contents(kept.folder / "kept")
    back_up(settings, copy, now=0.0)
    refusals = []
    for point in range(300):
        lose(kept)
        if not killed_at(point, lambda: put_back(settings, copy)):
            break
        try:
            open_and_close(settings.daemon.state_dir)
        except FrontierRefused as error:
            refusals.append(str(error))
        else:
            if any((kept.folder / "kept").iterdir()):
                assert contents(kept.folder / "kept") == before
            lose(kept)
        put_back(settings, copy)
        assert contents(kept.folder / "kept") == before
        open_and_close(settings.daemon.state_dir)
    assert len(refusals) > 10
    assert all(f"run `crawlerd restore {copy}` again" in each for each in refusals)
    assert contents(kept.folder / "kept") == before


def test_after_an_error_a_restore_has_changed_nothing(kept: Installation) -> None:
    settings, copy = read_settings(kept.folder / "crawlerd.toml", secrets=False), kept.folder / "copy"
    back_up(settings, copy, now=0.0)
    damaged = kept.folder / "damaged"
    shutil.copytree(copy, damaged)
    lose(kept)
    with (damaged / "sinks/sqlite/sink.db").open("r+b") as file:
        file.seek(8192)
        file.write(b"x" * 8192)
    with pytest.raises(SinkError, match=r"sink\.db"):
        put_back(settings, damaged)
    (kept.folder / "kept").chmod(0o500)
    if os.geteuid():
        with pytest.raises(SinkError, match="kept"):
            put_back(settings, copy)
    (kept.folder / "kept").chmod(0o700)
    assert not list((kept.folder / "kept").iterdir())
    assert put_back(settings, copy).empty == []


@pytest.mark.parametrize("name", ["backup.json", "frontier.db", "sinks/sqlite/sink.db"])
def test_what_is_no_file_is_not_waited_for(kept: Installation, name: str) -> None:
    settings, copy = read_settings(kept.folder / "crawlerd.toml", secrets=False), kept.folder / "copy"
    back_up(settings, copy, now=0.0)
    lose(kept)
    (copy / name).unlink()
    os.mkfifo(copy / name)
    with pytest.raises(FrontierError, match=f"{name} is not a file"):
        put_back(settings, copy)
    assert not kept.state_dir.exists() or not (kept.state_dir / "frontier.db").exists()


def test_parts_of_several_backups_are_no_backup(kept: Installation) -> None:
    settings, copy = read_settings(kept.folder / "crawlerd.toml", secrets=False), kept.folder / "copy"
    back_up(settings, copy, now=0.0)
    written = (copy / "backup.json").read_text()
    lose(kept)
    commits = read_manifest(copy).commits
    for part, other, said in (
        (f'"commits": {commits}', f'"commits": {commits + 1}', "is not the one that"),
        ('"folder": "sinks/sqlite"', f'"folder": "{copy}/sinks/sqlite"', "which is not in the backup"),
        ('"folder": "sinks/sqlite"', '"folder": "../copy/sinks/sqlite"', "which is not in the backup"),
    ):
        assert part in written
        (copy / "backup.json").write_text(written.replace(part, other))
        with pytest.raises(FrontierError, match=said):
            put_back(settings, copy)
    (copy / "backup.json").write_text(written)
    assert put_back(settings, copy).empty == []


def test_a_timer_keeps_the_newest(kept: Installation) -> None:
    settings, folder = read_settings(kept.folder / "crawlerd.toml", secrets=False), kept.folder / "backups"
    made = [back_up(settings, folder, keep=2, now=now) for now in (0.0, 86_400.0, 172_800.0)]
    assert [Path(each.path).name for each in made] == ["19700101T000000Z", "19700102T000000Z", "19700103T000000Z"]
    assert made[-1].removed == [made[0].path]
    assert backups_in(folder) == [Path(each.path) for each in made[1:]]
    for name in ("1-before-the-upgrade", "before-the-upgrade"):
        shutil.copytree(made[1].path, folder / name)
    (folder / "19690101T000000Z").symlink_to(made[1].path)
    newest = back_up(settings, folder, keep=2, now=259_200.0)
    assert newest.removed == [made[1].path]
    assert (folder / "1-before-the-upgrade/backup.json").exists()
    for each in ("1-before-the-upgrade", "before-the-upgrade"):
        shutil.rmtree(folder / each)
    (folder / "19690101T000000Z").unlink()
    made.append(newest)
    with pytest.raises(FrontierError, match=f"holds 2 backups; name one of them, such as {made[-1].path}"):
        put_back(settings, folder)


def test_only_a_backup_that_is_whole_counts_as_one(kept: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read_settings(kept.folder / "crawlerd.toml", secrets=False)

    def fails(*_: object) -> None:
        raise FrontierError("the sink's disk fails")

    with monkeypatch.context() as patch:
        patch.setattr(backing_up, "save", fails)
        with pytest.raises(FrontierError, match="disk fails"):
            back_up(settings, kept.folder / "half", now=0.0)
    assert last_backup(settings.daemon.state_dir) is None
    back_up(settings, kept.folder / "whole", now=0.0)
    assert last_backup(settings.daemon.state_dir) is not None


def test_nothing_is_put_in_the_place_of_anything(kept: Installation) -> None:
    settings, copy = read_settings(kept.folder / "crawlerd.toml", secrets=False), kept.folder / "copy"
    back_up(settings, copy, now=0.0)
    with pytest.raises(FrontierError, match="copy exists already: choose another name"):
        back_up(settings, copy, now=0.0)
    with pytest.raises(FrontierError, match=r"frontier\.db exists"):
        put_back(settings, copy)
    kept.config["imports"] = {}
    daemon = kept.start("run")
    daemon.says("pid ")
    running = kept.run("restore", "copy")
    assert running.code == 75
    assert f"another crawlerd (pid {daemon.pid}) is using" in running.stderr
    daemon.kill()
    shutil.rmtree(kept.state_dir)
    before = contents(kept.folder / "kept")
    with pytest.raises(FrontierError, match=r"rows\.db, .*exist"):
        put_back(settings, copy)
    assert contents(kept.folder / "kept") == before
    for left in (kept.folder / "kept").glob("rows.db*"):
        left.unlink()
    for name in ("lines", "queue"):
        shutil.rmtree(kept.folder / "kept" / name)
        (kept.folder / "kept" / name).mkdir()
    assert put_back(settings, copy).empty == []  # an empty directory is nothing
    assert contents(kept.folder / "kept") == before
    open_and_close(settings.daemon.state_dir)


def open_and_close(state_dir: Path) -> None:
    with StateLock(state_dir):
        open_frontier(state_dir, now=0.0).close()


def lose(kept: Installation) -> None:
    """All that was kept."""
    shutil.rmtree(kept.state_dir, ignore_errors=True)
    shutil.rmtree(kept.folder / "kept")
    (kept.folder / "kept").mkdir()


def contents(folder: Path) -> dict[str, object]:
    """What readers of the sinks get."""

    def select(path: Path, statement: str) -> list[tuple[Any, ...]]:
        with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as database:
            return list(database.execute(statement))

    return {
        "rows": select(folder / "rows.db", "SELECT id, data FROM shop_items ORDER BY id"),
        "queue": select(folder / "queue/data.db", "SELECT data FROM ack_queue_default ORDER BY _id"),
        "lines": {each.name: each.read_bytes() for each in (folder / "lines").glob("*.jsonl")},
    }
