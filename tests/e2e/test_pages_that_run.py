"""Pages whose commands are performed one after another, with what they print."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE
from typing import TYPE_CHECKING

import pytest
from requests import get
from support.installation import COMMAND, until

if TYPE_CHECKING:
    from crawlerd.demo.server import Server

ROOT = Path(__file__).parents[2]
LOCAL = "http://127.0.0.1:8100"  # where the pages have the API
needed = pytest.mark.skipif(
    not (shutil.which("sqlite3") and shutil.which("curl")),
    reason="no sqlite3 or curl: the pages were NOT run",
)


def blocks(page: str) -> list[tuple[str, str]]:
    """The language and the text of each block of code."""
    return re.findall(r"^```(\w+)\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)


def like(line: str) -> str:
    """A pattern for the line: other numbers of bytes will do, and anything for an ellipsis."""
    return re.sub(r"\d+ bytes", r"\\d+ bytes", re.escape(line).replace(r"\ ", " ")).replace("…", ".*")


def perform(page: str, folder: Path, url: str, fails: dict[str, int], skipped: tuple[str, ...]) -> None:
    """Runs the blocks of shell, and looks for each line of a block of text in what the one before has printed."""
    environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "LANG": "C.UTF-8"}
    said = ""
    for language, text in blocks(page):
        if language == "sh" and text not in skipped:
            until(lambda: get(f"{url}/customers", timeout=10).status_code != 429)  # a reader is slower than its window
            command = subprocess.Popen(
                ["bash", "-e"], cwd=folder, env=environment, text=True, stdin=PIPE, stdout=PIPE, stderr=PIPE
            )
            out, err = command.communicate(text.replace(LOCAL, url), timeout=60)
            said = (out + err).replace(url, LOCAL)
            assert command.returncode == fails.get(text, 0), f"{text}{said}"
        elif language == "text":
            for line in text.splitlines():
                assert re.search(f"^{like(line)}$", said, re.MULTILINE), f"{line!r} is not in {said}"


@needed
def test_the_tutorial_runs(thread_pool: tuple[Path, str]) -> None:
    folder, url = thread_pool
    before = folder / "before.py"
    before.write_text(before.read_text().replace(LOCAL, url))
    shell = [text for language, text in blocks("docs/tutorial.md") if language == "sh"]
    fails = {"python before.py\n": 1, shell[4]: 137}
    assert shell[4].startswith("timeout -s KILL")
    perform("docs/tutorial.md", folder, url, fails, skipped=tuple(shell[:2]))
    for language, text in blocks("docs/tutorial.md"):
        if language in ("python", "toml"):
            name, _, code = text.removeprefix("# ").partition("\n")
            assert code in (ROOT / "examples/thread_pool" / name).read_text()


@needed
def test_an_api_is_imported_as_the_page_says(thread_pool: tuple[Path, str]) -> None:
    perform("docs/how-to/rest-import.md", *thread_pool, fails={}, skipped=())


def test_the_twelve_lines_of_the_readme_do_what_it_shows(tmp_path: Path, quiet_api: Server) -> None:
    ((_, config), (_, shown)) = [each for each in blocks("README.md") if each[0] in ("toml", "console")]
    assert len([line for line in config.splitlines() if not line.startswith("#")]) == 12
    source = 'source = "stripe"\n'
    (tmp_path / "crawlerd.toml").write_text(config.replace(source, f'{source}base_url = "{quiet_api.url}"\n'))
    command, *lines = shown.splitlines()
    environment = {"PATH": os.environ["PATH"], "STRIPE_KEY": "sk_test_account_1"}
    arguments = [COMMAND, *command.removeprefix("$ crawlerd ").split()]
    done = subprocess.run(arguments, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert [re.sub(r"after \S+:", "after 0:00:", line) for line in done.stdout.splitlines()] == lines
