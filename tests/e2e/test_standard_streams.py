"""Where commands write to: streams that are closed, and files that take nothing more."""

from __future__ import annotations

import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest
from support.installation import COMMAND, Installation

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def here(install: Callable[..., Installation]) -> Installation:
    here = install(accounts=0)
    here.run("status")
    return here


def shell(here: Installation, text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", text.replace("crawlerd", shlex.quote(COMMAND), 1)],
        cwd=here.folder,
        env=here.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("arguments", ["status", "status --json", "dead list"])
def test_a_full_disk_under_the_output_is_told(here: Installation, arguments: str) -> None:
    done = shell(here, f"crawlerd {arguments} > /dev/full")
    assert done.returncode == 74
    assert done.stderr == "crawlerd: cannot write the output: No space left on device\n"


@pytest.mark.parametrize("closed", ["0", "1", "2"])
def test_a_closed_stream_ends_no_command(here: Installation, closed: str) -> None:
    done = shell(here, f"crawlerd frontier check {closed}>&-")
    assert done.returncode == shell(here, "crawlerd frontier check").returncode
    assert "Traceback" not in done.stderr


def test_a_directory_that_is_gone_is_told(here: Installation) -> None:
    done = shell(here, "mkdir gone && cd gone && rmdir ../gone && crawlerd -c ../crawlerd.toml status")
    assert done.returncode == 78
    assert "the current directory cannot be used" in done.stderr
