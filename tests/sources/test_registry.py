"""Sources of other distributions: found, imported one by one, and named when they are broken."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from crawlerd.core.errors import ConfigurationError
from crawlerd.source import Source
from crawlerd.sources.registry import load_source, source_names

if TYPE_CHECKING:
    from pathlib import Path

MODULE = """
from crawlerd.source import Source
fine = Source("fine")
other = Source("another")
text = "no source"
"""
ENTRIES = """
[crawlerd.sources]
fine = thirdparty:fine
renamed = thirdparty:other
text = thirdparty:text
missing = thirdparty:missing
gone = not_installed_anywhere:source
broken = brokenparty:source
leaving = leavingparty:source
"""


@pytest.fixture(autouse=True)
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "thirdparty.py").write_text(MODULE)
    (tmp_path / "brokenparty.py").write_text("1 / 0\n")
    (tmp_path / "leavingparty.py").write_text("import sys\n\nsys.exit(5)\n")
    for name, entries in {"thirdparty": ENTRIES, "twin": "[crawlerd.sources]\ntwice = a:b\n"}.items():
        folder = tmp_path / f"{name}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(entries)
    (tmp_path / "triplet-1.0.dist-info").mkdir()
    (tmp_path / "triplet-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: triplet\nVersion: 1.0\n")
    (tmp_path / "triplet-1.0.dist-info" / "entry_points.txt").write_text("[crawlerd.sources]\ntwice = c:d\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("thirdparty", "brokenparty", "leavingparty"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_names_are_listed_without_importing_anything() -> None:
    assert {"stripe", "fine", "renamed", "broken", "twice"} <= set(source_names())
    assert "thirdparty" not in sys.modules


def test_loads_one_source_alone() -> None:
    source = load_source("fine")
    assert isinstance(source, Source)
    assert source.name == "fine"
    assert "brokenparty" not in sys.modules


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("nobody", r'^there is no source "nobody"; installed: .*broken, .*stripe'),
        (
            "gone",
            r'^source "gone" \(not_installed_anywhere:source\) cannot be imported: ModuleNotFoundError: No module',
        ),
        ("broken", r'^source "broken" \(brokenparty:source\) cannot be imported: ZeroDivisionError: division by zero$'),
        ("leaving", r'^source "leaving" \(leavingparty:source\) cannot be imported: SystemExit: 5$'),
        ("missing", r'^source "missing" \(thirdparty:missing\) cannot be imported: AttributeError: '),
        ("text", r'^source "text" \(thirdparty:text\) is not a crawlerd\.source\.Source but a str$'),
        ("renamed", r'^source "renamed" \(thirdparty:other\) has the name "another"$'),
        ("twice", r'^source "twice" is installed twice: '),
    ],
)
def test_a_source_that_cannot_be_used_is_named(name: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        load_source(name)
