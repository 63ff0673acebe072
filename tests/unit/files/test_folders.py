"""A directory that appears whole."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from crawlerd.files.folders import appearing

if TYPE_CHECKING:
    from pathlib import Path


def test_it_appears_at_the_end_with_all_that_is_in_it(tmp_path: Path) -> None:
    target = tmp_path / "a"
    with appearing(target) as part:
        (part / "b").mkdir()
        (part / "b" / "c").write_text("d")
        assert not target.exists()
        assert part.stat().st_mode & 0o777 == 0o700
    assert (target / "b" / "c").read_text() == "d"
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


def test_after_an_error_nothing_is_there(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError), appearing(tmp_path / "a") as part:
        (part / "b").mkdir() or (part / "b").write_text("c")
    assert list(tmp_path.iterdir()) == []


def test_what_a_kill_has_left_is_not_in_the_next(tmp_path: Path) -> None:
    left = tmp_path / ".a.part"
    (left / "b").mkdir(parents=True)
    (left / "b" / "c").write_text("old")
    (left / "link").symlink_to(tmp_path)
    with appearing(tmp_path / "a") as part:
        assert list(part.iterdir()) == []
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


def test_two_do_not_write_the_same(tmp_path: Path) -> None:
    with appearing(tmp_path / "a") as part:
        with pytest.raises(BlockingIOError), appearing(tmp_path / "a"):
            pass
        assert part.exists()


def test_an_empty_one_may_be_there_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with appearing(tmp_path / "a") as part:
        (part / "b").write_text("c")
    with pytest.raises(OSError, match="not empty") as caught, appearing(tmp_path / "a"):
        pass
    assert caught.value.errno == errno.ENOTEMPTY
    assert (tmp_path / "a" / "b").read_text() == "c"
