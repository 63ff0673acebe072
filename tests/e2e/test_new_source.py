"""`crawlerd new source`: what it writes installs, passes its own test and imports, and stands in the page about it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.installation import QUICK
from support.packages import pip_install
from support.rest_api import Answer, Request, RestApi

from crawlerd.authoring.scaffold import files

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.installation import Installation

PAGE = Path(__file__).parents[2] / "docs/write-a-source.md"


def pytest_passes(package: Path, environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=package, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_a_new_source_installs_passes_its_test_and_imports(install: Callable[..., Installation]) -> None:
    here = install(accounts=0)
    made = here.run("new", "source", "my_shop")
    assert (made.code, made.stderr) == (0, "")
    assert made.stdout.startswith("crawlerd-my-shop is ready")
    package, site = here.folder / "crawlerd-my-shop", here.folder / "site"
    pip_install(package, site)
    here.environment["PYTHONPATH"] = str(site)
    pytest_passes(package, here.environment)

    items = [{"id": f"i{number}", "name": f"item {number}"} for number in range(230)]

    def answer(request: Request) -> Answer:
        assert request.headers["authorization"] == "Bearer key_of_acme"
        begin = int(request.query.get("cursor", 0))
        end = begin + int(request.query["limit"])
        return Answer({"data": items[begin:end], "next_cursor": str(end) if end < len(items) else None})

    here.environment["ACME_KEY"] = "key_of_acme"
    with RestApi(answer) as api:
        here.config["accounts"]["acme"] = {
            "source": "my_shop",
            "base_url": api.url,
            "api_key": {"env": "ACME_KEY"},
            **QUICK,
        }
        here.config["imports"]["acme"] = {"account": "acme", "sink": "sink", "streams": ["*"]}
        assert here.run("import", "acme").code == 0
    assert here.imported("acme", "items", "my_shop") == {each["id"]: each for each in items}


def test_the_example_of_the_page_runs(tmp_path: Path) -> None:
    """It is taken from the page, and is what the command writes."""
    shown = dict(re.findall(r"```python\n# (\S+)\n(.*?)```", PAGE.read_text(), re.DOTALL))
    examples = [path for path in shown if path.startswith("examples/")]
    assert len(examples) == 1
    assert all(shown.pop(path) == (PAGE.parents[1] / path).read_text() for path in examples)
    written = files("shop")
    assert shown == {path: text for path, text in written.items() if path.endswith(".py")}
    code = [line for line in shown["crawlerd_shop/__init__.py"].splitlines() if line.strip()]
    assert len(code) - code.index("source = Source(") <= 25  # but for the imports
    for path, text in shown.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    pytest_passes(tmp_path, {**os.environ, "PYTHONPATH": str(tmp_path)})


@pytest.mark.parametrize("name", ["", "Shop", "my-shop", "../shop", "shop_", "my__shop", "1shop", "läden", "a" * 41])
def test_a_name_that_will_not_do(name: str, install: Callable[..., Installation]) -> None:
    here = install(accounts=0)
    refused = here.run("new", "source", name)
    assert refused.code == 2
    assert f"crawlerd: {name!r} cannot be the name of a source: use lower-case letters, digits" in refused.stderr
    assert not list(here.folder.glob("crawlerd-*"))


def test_nothing_is_written_over(install: Callable[..., Installation]) -> None:
    here = install(accounts=0)
    assert here.run("new", "source", "stripe").stderr == (
        "crawlerd: a source stripe is installed already; take another name\n"
    )
    for kind in ("folder", "file", "link to nothing"):
        place = here.folder / f"crawlerd-{kind.replace(' ', '-')}"
        match kind:
            case "folder":
                place.mkdir()
            case "file":
                place.write_text("mine")
            case _:
                place.symlink_to("nothing")
        refused = here.run("new", "source", kind.replace(" ", "_"))
        assert (refused.code, refused.stderr) == (1, f"crawlerd: {place.name} exists already; nothing was written\n")
    assert not list((here.folder / "crawlerd-folder").iterdir())
    assert (here.folder / "crawlerd-file").read_text() == "mine"


def test_a_folder_that_cannot_be_written(install: Callable[..., Installation]) -> None:
    here = install(accounts=0)
    here.under = ["sh", "-c", 'cd /proc/self && exec "$@"', "sh"]
    refused = here.run("new", "source", "shop")
    assert refused.code == 1
    assert re.fullmatch(r"crawlerd: cannot write crawlerd-shop: .+\n", refused.stderr)
