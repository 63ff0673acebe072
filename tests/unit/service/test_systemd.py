"""The systemd unit, as systemd itself reads it."""

from __future__ import annotations

import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from crawlerd.config.file import DaemonTable

ROOT = Path(__file__).parents[3]
UNIT = ROOT / "systemd" / "crawlerd.service"
EXECUTABLE = "/opt/crawlerd/bin/crawlerd"

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed: the unit file was NOT verified"
)


def setting(name: str) -> list[str]:
    """All values of a setting."""
    return [line.partition("=")[2] for line in UNIT.read_text().splitlines() if line.startswith(f"{name}=")]


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The unit with its command's path replaced by one that exists here, and nothing else."""
    assert UNIT.read_text().count(EXECUTABLE) == 1
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace(EXECUTABLE, shutil.which("true") or "/bin/true"))
    return unit


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False)


@needs_systemd
def test_systemd_finds_nothing_wrong_with_the_unit(installed: Path) -> None:
    verified = analyze("verify", installed)
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")
    installed.write_text(installed.read_text().replace("WatchdogSec=", "WatchdogSecs="))
    assert "WatchdogSecs" in analyze("verify", installed).stderr  # it would have told


@needs_systemd
def test_the_unit_is_hardened(installed: Path) -> None:
    scored = analyze("security", "--offline=true", "--no-pager", "--threshold=12", installed)  # 1.2 of 10
    assert scored.returncode == 0, scored.stdout


def test_the_process_metrics_can_be_read() -> None:
    assert setting("ProcSubset") == []


def test_a_wrong_configuration_is_not_retried() -> None:
    assert setting("Restart") == ["on-failure"]
    assert setting("RestartPreventExitStatus") == ["78"]
    assert setting("ExecStartPre") == []  # its exit status would be retried


def test_a_stop_outlasts_the_drain() -> None:
    assert float(setting("TimeoutStopSec")[0]) >= 1.5 * DaemonTable.model_fields["drain_seconds"].default


def test_the_unit_and_the_example_configuration_speak_of_the_same_directory() -> None:
    assert setting("ExecStart") == [f"{EXECUTABLE} -c /etc/crawlerd/crawlerd.toml run"]
    example = tomllib.loads((ROOT / "config" / "crawlerd.example.toml").read_text())
    assert [f"/var/lib/{directory}" for directory in setting("StateDirectory")] == [example["daemon"]["state_dir"]]
