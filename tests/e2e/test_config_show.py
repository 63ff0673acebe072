"""`config show`: each value with the place that it comes from, and no secret."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import tomli
from support.installation import COMMAND

CONFIG = Path(__file__).parents[2] / "config"
SECRET = "sk_test_very_secret"
MAIN = """\
[daemon]
state_dir = "state"
log_level = "debug"

[sinks.w]
type = "sqlite"
path = "w.db"

[accounts."by.command"]
source = "stripe"
api_key = { command = ["echo", "sk_test_very_secret"], ttl = "1h" }
connected_accounts = true

[[accounts_csv]]
file = "more.csv"
source = "stripe"
limits = ["3/second"]
"""
PART = """\
[imports.nightly]
account = "acme"
sink = "w"
streams = [
  "customers",
]
[accounts.acme]
source = "stripe"
api_key = { env = "ACME_KEY" }
"""
MORE = "name,api_key.env,limits\nb1,ACME_KEY,\nb2,ACME_KEY,9/second\n"


def show(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, "config", "show", *words],
        cwd=folder,
        env=os.environ | {"ACME_KEY": SECRET} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "crawlerd.toml").write_text(MAIN)
    (tmp_path / "config.d").mkdir()
    (tmp_path / "config.d/10.toml").write_text(PART)
    (tmp_path / "more.csv").write_text(MORE)
    return tmp_path


def test_where_each_value_comes_from(folder: Path) -> None:
    done = show(folder, "--origin", CRAWLERD_LOG_LEVEL="warning", CRAWLERD_LISTEN="127.0.0.1:1")
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr
    lines = dict(line.split(" = ", 1) for line in done.stdout.splitlines())
    found = {key: re.split(r" +# ", text)[-1] for key, text in lines.items()}
    assert found["daemon.state_dir"] == "crawlerd.toml:2"
    assert found["daemon.log_level"] == "environment variable CRAWLERD_LOG_LEVEL"
    assert found["daemon.listen"] == "environment variable CRAWLERD_LISTEN"
    assert found["daemon.drain_seconds"] == "default"
    assert found["accounts.acme.source"] == "config.d/10.toml:8"
    assert found["accounts.acme.base_url"] == found["accounts.acme.limits"] == "source stripe"
    assert found["accounts.acme.connected_accounts"] == "default"
    assert found['accounts."by.command".connected_accounts'] == "crawlerd.toml:12"
    assert found["accounts.b1.limits"] == "crawlerd.toml:17"
    assert found["accounts.b2.limits"] == found["accounts.b2.api_key"] == "more.csv:3"
    assert found["imports.nightly.streams"] == "config.d/10.toml:4"
    assert lines["daemon.log_level"].startswith('"warning"')
    assert lines["accounts.acme.api_key"].startswith('{ env = "ACME_KEY" }')
    assert lines['accounts."by.command".api_key'].startswith('{ command = ["echo", "…"], ttl = "1h" }')


def test_of_one_table_or_one_setting(folder: Path) -> None:
    done = show(folder, "accounts.acme")
    assert all(line.startswith("accounts.acme.") for line in done.stdout.splitlines())
    assert show(folder, "daemon.log_level").stdout == 'daemon.log_level = "debug"\n'
    assert show(folder, "daemon.log").returncode == 2
    assert show(folder, "accounts.acme.api_key.env").stdout == 'accounts.acme.api_key.env = "ACME_KEY"\n'
    words = show(folder, 'accounts."by.command".api_key.command', "--origin").stdout
    assert words.split("#")[0].rstrip() == 'accounts."by.command".api_key.command = ["echo", "…"]'
    assert words.endswith("# crawlerd.toml:11\n")
    for wrong in ("accounts.acme.api_key.environment", "accounts.acme.source.x", "accounts.acme.api_key.env.x"):
        assert show(folder, wrong).returncode == 2


def test_what_is_wrong_is_told_instead(folder: Path) -> None:
    (folder / "crawlerd.toml").write_text(
        MAIN.replace('{ command = ["echo", "sk_test_very_secret"], ttl = "1h" }', f'"{SECRET}"')
    )
    done = show(folder, "--origin")
    assert (done.returncode, done.stdout) == (78, "")
    assert "crawlerd.toml:11" in done.stderr
    assert SECRET not in done.stderr


def test_what_is_shown_is_a_configuration_that_says_the_same(tmp_path: Path) -> None:
    text = re.sub(r"^#(?=[\[a-z])", "", (CONFIG / "crawlerd.example.toml").read_text(), flags=re.MULTILINE)
    text = text.replace("limiter_storage", "#limiter_storage").replace("/var/lib/crawlerd", ".")
    (tmp_path / "crawlerd.toml").write_text(text)
    shutil.copytree(CONFIG / "sources", tmp_path / "sources")
    shown = show(tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "accounts.globex.bucket_limits" in shown.stdout
    (tmp_path / "crawlerd.toml").write_text(shown.stdout)
    again = show(tmp_path)
    assert again.returncode == 0, again.stderr
    assert tomli.loads(again.stdout) == tomli.loads(shown.stdout)
