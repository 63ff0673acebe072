"""Environment variables that override settings of the daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from crawlerd.config.daemon_table import DaemonTable
from crawlerd.config.load import load, socket_path, state_dir
from crawlerd.config.overrides import KEYS
from crawlerd.core.errors import ConfigurationError
from crawlerd.sources import registry

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "crawlerd.toml"
    path.write_text('[daemon]\nstate_dir = "state"\nlog_level = "info"\n')
    return path


SECRETS = {"limiter_password", "hash_key", "frontier", "admin_token", "read_token", "metrics_token"}


def test_every_setting_but_secrets_can_be_overridden() -> None:
    assert KEYS.keys() == DaemonTable.model_fields.keys() - SECRETS


def test_variables_win_over_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"STATE_DIR": "other", "SOCKET": "s.sock", "LOG_LEVEL": "debug", "WORKER_PROCESSES": "3"}
    given |= {"ALLOW_REMOTE": "true", "ALLOWED_HOSTS": "a.example, b.example", "DRAIN_SECONDS": "1.5"}
    for key, text in given.items():
        monkeypatch.setenv(f"CRAWLERD_{key}", text)
    daemon = load(file, registry=registry).daemon
    assert daemon.state_dir == state_dir(file) == file.parent / "other"
    assert daemon.socket == socket_path(file) == file.parent / "s.sock"
    assert (daemon.log_level, daemon.worker_processes, daemon.drain_seconds) == ("debug", 3, 1.5)
    assert (daemon.allow_remote, daemon.allowed_hosts) == (True, ("a.example", "b.example"))


def test_empty_variables_count_as_not_set(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRAWLERD_LOG_LEVEL", "")
    assert load(file, registry=registry).daemon.log_level == "info"


@pytest.mark.parametrize("key", ["log_level", "worker_processes", "allow_remote"])
def test_a_wrong_value_is_told_with_its_variable(file: Path, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv(f"CRAWLERD_{key.upper()}", "nonsense")
    with pytest.raises(ConfigurationError) as caught:
        load(file, registry=registry)
    (problem,) = caught.value.problems
    assert problem.startswith(f"environment variable CRAWLERD_{key.upper()}: daemon.{key}: must be")
