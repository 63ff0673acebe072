"""A command, exit code or metric that the reference does not list, or lists and does not exist, is a defect."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import fields
from typer.main import get_command

from crawlerd.cli import main as cli
from crawlerd.cli.exits import ExitCode
from crawlerd.config.load import load as load_with
from crawlerd.service.metrics import EngineCollector
from crawlerd.sources import registry
from crawlerd.sources.http import Delivery
from crawlerd.sources.mailchimp.members import MailchimpImport
from crawlerd.sources.s3_batch import BatchImport, Process

if TYPE_CHECKING:
    from collections.abc import Iterator

load = partial(load_with, registry=registry)

REFERENCE = (Path(__file__).parents[2] / "docs/reference.md").read_text()


def commands(command: object, name: str) -> Iterator[str]:
    children = getattr(command, "commands", None)
    if children is None:
        yield name
        return
    if getattr(command, "invoke_without_command", False) and name != "crawlerd":
        yield name
    for key, child in children.items():
        yield from commands(child, f"{name} {key}")


def test_every_command_is_documented() -> None:
    rows = set(re.findall(r"^\| `(crawlerd [a-z ]+)` \|", REFERENCE, re.MULTILINE))
    assert rows == set(commands(get_command(cli.app), "crawlerd"))


def test_every_command_that_a_page_names_exists() -> None:
    root, wrong = get_command(cli.app), []
    for page in [Path(__file__).parents[2] / "README.md", *(Path(__file__).parents[2] / "docs").glob("*.md")]:
        for text in re.findall(r"`crawlerd ((?:-c \S+ )?[a-z][^`]*)`", page.read_text()):
            command = root
            for word in text.split("-c ")[-1].split()[text.startswith("-c ") :]:
                if not (children := getattr(command, "commands", None)):
                    break
                if word not in children:
                    wrong.append(f"{page.name}: crawlerd {text}")
                    break
                command = children[word]
    assert wrong == []


def test_every_exit_code_is_documented() -> None:
    rows = [int(code) for code in re.findall(r"^\| (\d+) \|", REFERENCE, re.MULTILINE)]
    assert rows == list(ExitCode)


def test_every_metric_is_documented(tmp_path: Path) -> None:
    engine = SimpleNamespace(
        settings=SimpleNamespace(daemon=SimpleNamespace(state_dir=tmp_path)),
        dispatcher=SimpleNamespace(leased=0, outcomes={}, worker_pids=[], worker_restarts=0),
        store=SimpleNamespace(records=0, commits=0),
        trouble=None,
        accounts=SimpleNamespace(paused={}),
    )
    names = {
        metric.name + ("_total" if metric.type == "counter" else "") for metric in EngineCollector(engine).collect()
    }
    assert set(re.findall(r"^\| `(crawlerd_\w+)` \|", REFERENCE, re.MULTILINE)) == names


@pytest.mark.parametrize("options", [MailchimpImport, Delivery, BatchImport, Process])
def test_every_option_of_imports_and_deliveries_is_documented(options: type) -> None:
    rows = set(re.findall(r"^\| `(\w+)` \|", REFERENCE, re.MULTILINE))
    assert {field.name for field in fields(options)} <= rows


def test_the_csv_files_of_the_reference_are_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toml, receivers, lists = re.findall(
        r"^```\w*\n(.*?)^```", REFERENCE[REFERENCE.index("in CSV files") :], re.M | re.S
    )[:3]
    account = '[accounts.news]\nsource = "mailchimp"\napi_key = { env = "MC_KEY" }\n'
    (tmp_path / "crawlerd.toml").write_text(f'[daemon]\nstate_dir = "var"\n{account}{toml}')
    (tmp_path / "receivers.csv").write_text(receivers)
    (tmp_path / "lists.csv").write_text(lists)
    monkeypatch.setenv("MC_KEY", "x-us1")
    monkeypatch.setenv("CRM1_TOKEN", "token")
    settings = load(tmp_path / "crawlerd.toml")
    assert settings.imports["news-1"].options.deliver.account == "crm1"
