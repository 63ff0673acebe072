"""A command, exit code or metric that the reference does not list, or lists and does not exist, is a defect."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pytest
from msgspec.structs import fields

from crawlerd.cli import main as cli
from crawlerd.cli.exits import ExitCode
from crawlerd.config.load import load as load_with
from crawlerd.core.metric_labels import (
    AttemptError,
    AttemptOutcome,
    AttemptStage,
    ImportState,
    LogLevel,
    Loop,
    RecordChange,
    RequestStatus,
    RunResult,
    TaskState,
    ThrottleReason,
    WorkerLoss,
)
from crawlerd.core.pauses import Pausable
from crawlerd.core.reasons import Reason
from crawlerd.operations.problem import ProblemCode
from crawlerd.service.metric_families import DEPRECATED, FAMILIES
from crawlerd.source import Source
from crawlerd.sources import registry
from crawlerd.sources.http import Delivery
from crawlerd.sources.mailchimp.members import MailchimpImport
from crawlerd.sources.s3_batch import BatchImport, Process

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

load = partial(load_with, registry=registry)

REFERENCE = (Path(__file__).parents[2] / "docs/reference.md").read_text()
API = (Path(__file__).parents[2] / "docs/api.md").read_text()


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
    assert rows == set(commands(cli.command(), "crawlerd"))


def test_every_exit_code_is_documented() -> None:
    rows = [int(code) for code in re.findall(r"^\| (\d+) \|", REFERENCE, re.MULTILINE)]
    assert rows == list(ExitCode)


def test_every_code_of_a_problem_is_documented_with_its_status() -> None:
    documented = re.findall(r"^\| (\d{3}) \| `(\w+)` \|", API, re.MULTILINE)
    assert sorted(documented) == sorted((str(code.status), code.value) for code in ProblemCode)


def test_every_reason_is_documented_in_its_order() -> None:
    section = REFERENCE[REFERENCE.index("## Reasons") : REFERENCE.index("## From Python")]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == [str(reason) for reason in Reason]


@pytest.mark.parametrize("name", ["aws_org", "aws_contacts", "mailchimp"])
def test_every_stream_is_documented(name: str) -> None:
    """Stripe's have a page that is made of them."""
    source = registry.load(name)
    assert isinstance(source, Source)
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", REFERENCE, re.MULTILINE)
    assert set(source.streams) <= {stream for row in rows for stream in re.findall(r"\w+", row)}


def test_every_metric_is_documented() -> None:
    rows = re.findall(r"^\| `(crawlerd_\w+)` \| (\w+)(?:, by ([^|]*))? \|", REFERENCE, re.MULTILINE)
    documented = [(name, kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows]
    assert documented == [
        (each.name + ("_total" if each.type == "counter" else ""), each.type, each.labels)
        for each in FAMILIES + DEPRECATED
    ]


@pytest.mark.parametrize(
    ("label", "of", "values"),
    [
        ("loop", "loop_last_progress_timestamp_seconds", Loop),
        ("level", "log_messages_total", LogLevel),
        ("state", "tasks", TaskState),
        ("outcome", "attempts_total", AttemptOutcome),
        ("error", "attempt_errors_total", AttemptError),
        ("stage", "task_stage_seconds_total", AttemptStage),
        ("status", "requests_total", RequestStatus),
        ("reason", "throttles_total", ThrottleReason),
        ("state", "accounts", Reason),
        ("change", "records_total", RecordChange),
        ("result", "runs_total", RunResult),
        ("state", "imports", ImportState),
        ("what", "paused", get_args(Pausable)),
        ("reason", "worker_restarts_total", WorkerLoss),
    ],
)
def test_every_value_of_a_label_is_documented(label: str, of: str, values: Iterable[str]) -> None:
    (row,) = re.findall(rf"^\| `{label}` \| `{of}` \| (.*) \|$", REFERENCE, re.MULTILINE)
    said = re.sub(r"\([^)]*\)", "", row)
    assert re.findall(r"`(\w+)`", said) == [str(value) for value in values]


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
