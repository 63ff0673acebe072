"""A command, exit code or metric that the reference does not list, or lists and does not exist, is a defect."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

from typer.main import get_command

from crawlerd import cli, exits
from crawlerd.metrics import EngineCollector

if TYPE_CHECKING:
    from collections.abc import Iterator

REFERENCE = (Path(__file__).parents[2] / "docs/reference.md").read_text()


def commands(command: object, name: str) -> Iterator[str]:
    children = getattr(command, "commands", None)
    if children is None:
        yield name
        return
    for key, child in children.items():
        yield from commands(child, f"{name} {key}")


def test_every_command_is_documented() -> None:
    rows = set(re.findall(r"^\| `(crawlerd [a-z ]+)` \|", REFERENCE, re.MULTILINE))
    assert rows == set(commands(get_command(cli.app), "crawlerd"))


def test_every_exit_code_is_documented() -> None:
    codes = {value for name, value in vars(exits).items() if name.startswith("EXIT_")}
    rows = {int(code) for code in re.findall(r"^\| (\d+) \|", REFERENCE, re.MULTILINE)}
    assert rows == codes | {0, 130}


def test_every_metric_is_documented(tmp_path: Path) -> None:
    engine = SimpleNamespace(
        settings=SimpleNamespace(daemon=SimpleNamespace(state_dir=tmp_path)),
        dispatcher=SimpleNamespace(leased=0, outcomes={}, worker_pids=[], worker_restarts=0),
        store=SimpleNamespace(records=0, commits=0),
        trouble=None,
        paused={},
    )
    names = {
        metric.name + ("_total" if metric.type == "counter" else "") for metric in EngineCollector(engine).collect()
    }
    assert set(re.findall(r"^\| `(crawlerd_\w+)` \|", REFERENCE, re.MULTILINE)) == names
