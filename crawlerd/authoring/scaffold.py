"""The package that `crawlerd new source` writes: it can be installed, and has a working source and its test."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from crawlerd.core.errors import CrawlerdError
from crawlerd.core.version import __version__
from crawlerd.sources.registry import source_names

if TYPE_CHECKING:
    from pathlib import Path

NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")  # valid for tables, a distribution and a module alike
LONGEST_NAME = 40

PYPROJECT = """\
[build-system]
requires = ["hatchling>=1.26"]
build-backend = "hatchling.build"

[project]
name = "crawlerd-{dashed}"
version = "0.1.0"
description = "The source {name} of crawlerd"
requires-python = ">=3.11"
dependencies = ["crawlerd>={version}"]

[project.optional-dependencies]
test = ["pytest>=8", "responses>=0.25"]

[project.entry-points."crawlerd.sources"]
{name} = "crawlerd_{name}:source"
"""

SOURCE = '''\
"""The source {name}: the items of its API, page by page."""

from collections.abc import Iterator
from dataclasses import dataclass

from crawlerd.source import Api, Output, Record, RunPlan, Source, TaskArgs

source = Source(
    "{name}",
    base_url="https://api.example.com",
    streams=["items"],
    limits=["10/second"],
    auth=lambda key: {"Authorization": f"Bearer {key}"},
)


@dataclass(frozen=True)
class Items(TaskArgs, kind="{name}.items"):
    cursor: str | None = None


@source.starts
def first_tasks(plan: RunPlan) -> Iterator[Items]:
    yield Items()


@source.handles(Items, sequential=True)
def items(api: Api, args: Items) -> Iterator[Output]:
    page = api.get("/v1/items", {"limit": 100, "cursor": args.cursor})
    for item in page["data"]:
        yield Record("items", item["id"], item)
    if page["next_cursor"]:
        yield Items(page["next_cursor"])
'''

TEST = '''\
"""Checks the source {name} against an API with 250 items."""

import json

import responses
from crawlerd_{name} import source

from crawlerd.testing import check

ITEMS = [{"id": f"item_{number}", "number": number} for number in range(250)]


def page(request):
    assert request.headers["Authorization"] == "Bearer secret"
    begin = int(request.params.get("cursor", 0))
    end = begin + int(request.params["limit"])
    cursor = str(end) if end < len(ITEMS) else None
    return 200, {}, json.dumps({"data": ITEMS[begin:end], "next_cursor": cursor})


@responses.activate
def test_everything_is_imported_whatever_happens():
    responses.add_callback("GET", "https://api.example.com/v1/items", page)
    assert check(source, secret="secret") == {"items": {item["id"]: item for item in ITEMS}}
'''


def files(name: str) -> dict[str, str]:
    """The text of each file of the package, by its path in it."""
    texts = {"pyproject.toml": PYPROJECT, f"crawlerd_{name}/__init__.py": SOURCE, "tests/test_source.py": TEST}
    words = {"{name}": name, "{dashed}": name.replace("_", "-"), "{version}": __version__}
    for path, text in texts.items():
        for word, value in words.items():
            text = text.replace(word, value)
        texts[path] = text
    return texts


def new_source(name: str, folder: Path) -> Path:
    """Writes the package into a new folder in `folder`, and returns it. Raises ValueError for a name that cannot be
    used, and CrawlerdError if the folder exists or cannot be written."""
    if not NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        raise ValueError(
            f"{name!r} cannot be the name of a source: use lower-case letters, digits and single underscores, starting "
            f"with a letter ({LONGEST_NAME} at most), such as my_shop"
        )
    if name in source_names():
        raise ValueError(f"a source {name} is installed already; take another name")
    made = folder / f"crawlerd-{name.replace('_', '-')}"
    try:
        made.mkdir()
        for path, text in files(name).items():
            (made / path).parent.mkdir(exist_ok=True)
            (made / path).write_text(text)
    except FileExistsError:
        raise CrawlerdError(f"{made} exists already; nothing was written") from None
    except OSError as error:
        raise CrawlerdError(f"cannot write {made}: {error.strerror}") from None
    return made
