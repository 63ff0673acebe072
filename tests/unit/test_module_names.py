"""A module's name leads to one place; see docs/decisions/006-one-name-one-idea.md."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import crawlerd

PACKAGE = Path(crawlerd.__file__).parent
ROOT = Path(__file__).parents[2]
DATABASES = ("sqlite", "postgresql", "sql")
CONTRACTS = {"sink.py"}  # of the package's root, which databases implement under the same name


def has_a_word_of_its_own(path: Path) -> bool:
    """Commands and sources are called what users write."""
    return str(path.parent) in ("cli", "sources")


def room(path: Path) -> str:
    """In which a name stands for one kind of work."""
    if path.parts[0] == "sources":
        return "sources"
    if path.parent.name in DATABASES or str(path) in CONTRACTS:
        return "databases"
    return str(path.parent)


def test_no_two_ideas_have_one_name() -> None:
    places: defaultdict[str, list[Path]] = defaultdict(list)
    for path in PACKAGE.rglob("*.py"):
        if path.name not in ("__init__.py", "__main__.py"):
            places[path.stem].append(path.relative_to(PACKAGE))
    assert len(places) > 100
    for name, paths in places.items():
        rooms = {room(path) for path in paths if not has_a_word_of_its_own(path)}
        assert len(rooms) <= 1, f"{name} has two meanings: {', '.join(map(str, paths))}"


def test_the_modules_that_the_page_names_are_there() -> None:
    page = (ROOT / "docs/decisions/006-one-name-one-idea.md").read_text()
    table = [line for line in page.splitlines() if line.startswith("|")]
    named = re.findall(r"`([a-z0-9_/]+\.py)`", "\n".join(table))
    assert len(named) >= len(table) - 2
    assert {name for name in named if not (PACKAGE / name).is_file()} == set()


def test_unit_tests_lie_where_their_packages_do() -> None:
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    folders = {path.name for path in (ROOT / "tests/unit").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders <= packages


def test_the_map_of_a_package_has_all_its_modules() -> None:
    for path in PACKAGE.rglob("__init__.py"):
        text = path.read_text()
        named = set(re.findall(r"[a-z_0-9]+", text.split('"""')[1])) if text else set()
        modules = {each.stem for each in path.parent.glob("*.py")} - {"__init__", "__main__"}
        if len(modules) > 8:
            assert modules <= named, f"{path.parent.name}: say in its docstring what these are: {modules - named}"
