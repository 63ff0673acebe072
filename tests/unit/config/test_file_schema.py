"""The JSON Schema agrees with what `config check` says of shapes."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import tomli
from jsonschema import Draft7Validator

from crawlerd.config.file import TABLES
from crawlerd.config.file_schema import schema
from crawlerd.sources import registry

EXAMPLE = Path(__file__).parents[3] / "config/crawlerd.example.toml"


@cache
def validator() -> Draft7Validator:
    made = schema(registry)
    Draft7Validator.check_schema(made)
    return Draft7Validator(made)


def document(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "daemon": {"state_dir": "state"},
        "accounts": {"acme": {"source": "stripe", "api_key": {"env": "KEY"}}},
        "sinks": {"w": {"type": "sqlite", "path": "w.db"}},
        "imports": {"acme": {"account": "acme", "sink": "w", "streams": ["*"]}},
    }
    for place, value in changes.items():
        kind, _, key = place.partition("__")
        table = found[kind] if kind == "daemon" else next(iter(found[kind].values()))
        table[key] = value
    return found


def test_every_setting_of_the_example_is_valid() -> None:
    text = re.sub(r"^#(?=[\[a-z])", "", EXAMPLE.read_text(), flags=re.MULTILINE)
    assert [error.message for error in validator().iter_errors(tomli.loads(text))] == []


def test_every_key_of_the_models_is_there() -> None:
    found = validator().schema["$defs"]
    for kind, name in (("daemon", "DaemonTable"), ("accounts", "AccountTable"), ("imports", "ImportTable")):
        assert set(TABLES[kind].model_fields) <= set(found[name]["properties"])
    assert "connected_accounts" in found["AccountTable"]["properties"]
    assert "process" in found["ImportTable"]["properties"]


@pytest.mark.parametrize(
    "changes",
    [
        {"daemon__log_level": "debug"},
        {"accounts__limits": "10/second"},
        {"accounts__limits": ["10/second", "100/day"]},
        {"accounts__bucket_limits": {"default": "25/second", "customers": ["1/second"]}},
        {"accounts__concurrency": "auto"},
        {"accounts__token": {"command": ["pass"], "ttl": "1h"}},
        {"accounts__connected_accounts": True},
        {"imports__sink": ["w", "crm"]},
        {"imports__priority": "auto"},
        {"sinks__type": "stdout"},
    ],
)
def test_what_is_right(changes: dict[str, Any]) -> None:
    assert validator().is_valid(document(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"daemon__log_level": "loud"},
        {"daemon__listn": "x"},
        {"accounts__limits": 10},
        {"accounts__api_key": "sk_live"},
        {"accounts__api_key": {"env": "A", "file": "b"}},
        {"accounts__region": "us-east-1"},  # of AWS
        {"accounts__request_timeout": 60},
        {"imports__priority": "first"},
        {"imports__schedul": "1h"},
        {"sinks__mode": 640},
        {"sinks__type": "sqlit"},
    ],
)
def test_what_is_wrong(changes: dict[str, Any]) -> None:
    assert not validator().is_valid(document(**changes))


def test_a_sink_of_another_type_than_stdout_needs_a_path() -> None:
    whole = document()
    del whole["sinks"]["w"]["path"]
    assert not validator().is_valid(whole)
    whole["sinks"]["w"]["type"] = "stdout"
    assert validator().is_valid(whole)
