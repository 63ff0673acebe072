"""The units, as systemd itself reads them."""

from __future__ import annotations

import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from crawlerd.config.daemon_table import DaemonTable

ROOT = Path(__file__).parents[3]
UNITS = ROOT / "systemd"
UNIT, BACKUP = UNITS / "crawlerd.service", UNITS / "crawlerd-backup.service"
EXECUTABLE = "/opt/crawlerd/bin/crawlerd"
DROP_INS = sorted((UNITS / "drop-ins").iterdir())

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed: the unit files were NOT verified"
)


def setting(name: str, unit: Path = UNIT) -> list[str]:
    """All values of a setting."""
    return [line.partition("=")[2] for line in unit.read_text().splitlines() if line.startswith(f"{name}=")]


@pytest.fixture
def installed(tmp_path: Path) -> list[Path]:
    """The units, instances of the templates among them, with the path of their commands replaced by one that exists
    here, and nothing else."""
    units = []
    for unit in sorted(UNITS.glob("crawlerd*")):
        copy = tmp_path / unit.name
        copy.write_text(unit.read_text().replace(EXECUTABLE, shutil.which("true") or "/bin/true"))
        units.append(copy if "@" not in unit.name else shutil.copy(copy, tmp_path / unit.name.replace("@", "@acme")))
    assert len(units) == 6
    return units


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False)


@needs_systemd
def test_systemd_finds_nothing_wrong_with_the_units(installed: list[Path]) -> None:
    verified = analyze("verify", *installed)
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")
    for each in installed:
        each.write_text(each.read_text().replace("[Unit]\n", "[Unit]\nDescriptions=no\n"))
    assert analyze("verify", *installed).stderr.count("Descriptions") >= 6  # it would have told


@needs_systemd
def test_the_units_are_hardened(installed: list[Path]) -> None:
    services = [each for each in installed if each.suffix == ".service"]
    assert len(services) == 4
    for service in services:
        scored = analyze("security", "--offline=true", "--no-pager", "--threshold=12", service)  # 1.2 of 10
        assert scored.returncode == 0, scored.stdout


@needs_systemd
@pytest.mark.parametrize("drop_in", DROP_INS, ids=lambda each: each.stem)
def test_this_systemd_knows_a_drop_in_or_is_older(drop_in: Path, installed: list[Path]) -> None:
    unit = next(each for each in installed if each.name == UNIT.name)
    folder = unit.with_name(f"{unit.name}.d")
    folder.mkdir()
    shutil.copy(drop_in, folder)
    version = int(analyze("--version").stdout.split()[1])
    complaints = analyze("verify", unit).stderr
    assert bool(complaints) == (version < int(drop_in.name.partition("-")[0])), complaints


@pytest.mark.parametrize("name", ["crawlerd", "crawlerd-backup"])
def test_a_template_differs_from_its_unit_in_its_places_alone(name: str) -> None:
    def settings(unit: str) -> list[str]:
        lines = (UNITS / unit).read_text().splitlines()
        return [line for line in lines if line and not line.startswith(("#", "SyslogIdentifier="))]

    places = {
        "-c /etc/crawlerd/%i/": "-c /etc/crawlerd/",
        "/etc/crawlerd/%i/keys": "/etc/crawlerd/keys",
        "ConfigurationDirectory=crawlerd/%i": "ConfigurationDirectory=crawlerd",
        "crawlerd@%i.service": "crawlerd.service",
        "crawlerd %i": "crawlerd",
        "crawlerd-%i": "crawlerd",
    }
    instance = "\n".join(settings(f"{name}@.service"))
    for place, usual in places.items():
        instance = instance.replace(place, usual)
    assert instance.splitlines() == settings(f"{name}.service")
    timer = (UNITS / "crawlerd-backup@.timer").read_text()
    assert timer.replace(" %i", "") == (UNITS / "crawlerd-backup.timer").read_text()


def test_the_process_metrics_can_be_read() -> None:
    assert setting("ProcSubset") == []


def test_what_a_restart_does_not_mend_is_not_retried() -> None:
    assert setting("Restart") == ["always"]
    # USAGE and CONFIGURATION of `ExitCode`; systemd's own EXEC and CREDENTIALS
    assert setting("RestartPreventExitStatus") == ["2 78 203 243"]
    assert setting("ExecStartPre") == []  # its exit status would be retried


def test_what_fails_at_each_start_becomes_failed() -> None:
    (interval,), (burst,), (pause,) = map(setting, ("StartLimitIntervalSec", "StartLimitBurst", "RestartSec"))
    assert interval.endswith("min")
    at_most = 60 * int(interval.removesuffix("min"))
    assert int(burst) * (int(pause) + 10) <= at_most  # also one that takes 10 s to fail


def test_a_reload_waits_for_its_result_and_fails_with_it() -> None:
    assert setting("ExecReload") == [f"{EXECUTABLE} -c /etc/crawlerd/crawlerd.toml reload"]
    assert setting("Type") == ["notify"]  # READY=1 of the daemon ends the reload, too


def test_a_stop_outlasts_the_drain() -> None:
    assert float(setting("TimeoutStopSec")[0]) >= 1.5 * DaemonTable.model_fields["drain_seconds"].default


def test_the_units_and_the_example_configuration_speak_of_the_same_directory() -> None:
    assert setting("ExecStart") == [f"{EXECUTABLE} -c /etc/crawlerd/crawlerd.toml run"]
    example = tomllib.loads((ROOT / "config" / "crawlerd.example.toml").read_text())
    for unit in (UNIT, BACKUP):
        assert [f"/var/lib/{name}" for name in setting("StateDirectory", unit)] == [example["daemon"]["state_dir"]]


def test_a_backup_has_the_rights_of_the_daemon_and_reaches_no_network() -> None:
    for name in ("User", "Group", "StateDirectory", "StateDirectoryMode", "UMask", "ProtectSystem"):
        assert setting(name, BACKUP) == setting(name)
    assert setting("PrivateNetwork", BACKUP) == ["yes"]


@pytest.mark.parametrize("name", ["sysusers.d", "tmpfiles.d"])
def test_the_users_and_directories_that_the_units_name_are_made(name: str, tmp_path: Path) -> None:
    program = shutil.which(f"systemd-{name.removesuffix('.d')}")
    if program is None:
        pytest.skip(f"systemd-{name} is not installed: {name} was NOT tried")
    for folder in ("etc", "var/lib", "var/backups"):
        (tmp_path / folder).mkdir(parents=True)
    for each in ("sysusers.d", "tmpfiles.d")[: 1 + (name == "tmpfiles.d")]:
        program = shutil.which(f"systemd-{each.removesuffix('.d')}")
        create = ["--create"] if each == "tmpfiles.d" else []
        command = [program, f"--root={tmp_path}", *create, UNITS / each / "crawlerd.conf"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # type: ignore[arg-type]
        assert done.returncode in (0, 73), done.stderr  # 73: not all owners could be set, as without root
    users = {line.split(":")[0] for line in (tmp_path / "etc/passwd").read_text().splitlines()}
    groups = {line.split(":")[0] for line in (tmp_path / "etc/group").read_text().splitlines()}
    assert users == set(setting("User"))
    assert groups == {*setting("Group"), "crawlerd-readers"}
    if name == "tmpfiles.d":
        keys = setting("LoadCredential")[0].partition(":")[2]
        assert (tmp_path / keys.removeprefix("/")).stat().st_mode & 0o7777 == 0o700
        assert (tmp_path / "var/lib/crawlerd-warehouse").stat().st_mode & 0o7777 == 0o2750
