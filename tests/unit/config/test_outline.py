"""What a configuration has, without checking it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from crawlerd.config.outline import LARGEST, OutlinedAccount, outline

if TYPE_CHECKING:
    from pathlib import Path

MAIN = """
[daemon]
state_dir = "var"
[accounts.acme]
source = "stripe"
[imports.acme]
account = "acme"
schedule = "1h30m"
[imports.once]
account = "acme"
[[imports_csv]]
file = "imports.csv"
account = "acme"
schedule = "1d"
"""
CSV = "name,schedule\nrow1,\nrow2,15m\n"
FURTHER = '[imports.more]\naccount = "acme"\nschedule = "1h"\n'


@pytest.fixture
def main(tmp_path: Path) -> Path:
    (tmp_path / "config.d").mkdir()
    (tmp_path / "config.d" / "more.toml").write_text(FURTHER)
    (tmp_path / "imports.csv").write_text(CSV)
    (tmp_path / "crawlerd.toml").write_text(MAIN)
    return tmp_path / "crawlerd.toml"


def test_it_has_all_tables_wherever_they_stand(main: Path) -> None:
    found = outline(main)
    assert found is not None
    assert found.accounts == {"acme": OutlinedAccount("stripe")}
    every = {"acme": 5_400.0, "once": None, "row1": 86_400.0, "row2": 900.0, "more": 3_600.0}
    assert {name: (each.account, each.every) for name, each in found.imports.items()} == {
        name: ("acme", seconds) for name, seconds in every.items()
    }


@pytest.mark.parametrize("file", ["crawlerd.toml", "imports.csv", "config.d/more.toml"])
@pytest.mark.parametrize("how", ["large", "gone", "wrong"])
def test_it_is_unknown_where_a_file_cannot_be_read_or_is_large(main: Path, file: str, how: str) -> None:
    path = main.parent / file
    if how == "large":
        path.write_text(path.read_text() + "\n" * LARGEST)
    elif how == "gone":
        path.unlink()
    else:
        path.write_bytes(b"\xff\xfe[")
    if how == "gone" and file.startswith("config.d"):
        assert outline(main) is not None  # one file less
    else:
        assert outline(main) is None
