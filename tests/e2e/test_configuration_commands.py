"""Commands that say what a configuration holds, what is wrong with it, and what it could name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """
[daemon]
state_dir = "state"
[sinks.w]
type = "sqlite"
path = "w.db"
[accounts.acme]
source = "stripe"
api_key = { env = "ACME_KEY" }
[imports.nightly]
account = "acme"
sink = "w"
streams = ["customers"]
"""


def crawlerd(folder: Path, *words: str, key: str = "sk_test_1", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "crawlerd", *words],
        cwd=folder,
        env=os.environ | {"ACME_KEY": key} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_check_of_a_good_configuration_starts_nothing(tmp_path: Path) -> None:
    (tmp_path / "crawlerd.toml").write_text(GOOD)
    done = crawlerd(tmp_path, "config", "check")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "crawlerd.toml: nothing is wrong: 1 account, 1 sink, 1 import\n"
    assert [each.name for each in tmp_path.iterdir()] == ["crawlerd.toml"]


def test_check_says_all_that_is_wrong_and_what_was_meant(tmp_path: Path) -> None:
    text = GOOD.replace("customers", "custmers").replace('path = "w.db"', 'pth = "w.db"')
    text += '[[accounts_csv]]\nfile = "more.csv"\napi_key = { env = "ACME_KEY" }\n'
    (tmp_path / "crawlerd.toml").write_text(text)
    (tmp_path / "more.csv").write_text("name,source\na1,stripe\na2,strip\n")
    done = crawlerd(tmp_path, "config", "check")
    assert done.returncode == 78
    assert 'did you mean "customers"?' in done.stderr
    assert 'sinks.w.pth: unknown key; did you mean "path"?' in done.stderr
    assert 'more.csv:3: accounts.a2.source: there is no source "strip"; did you mean "stripe"?' in done.stderr
    assert done.stdout == ""


def test_check_warns_of_a_sink_whose_folder_does_not_exist(tmp_path: Path) -> None:
    (tmp_path / "crawlerd.toml").write_text(GOOD.replace("w.db", "data/w.db"))
    done = crawlerd(tmp_path, "config", "check")
    assert done.returncode == 0
    assert f"sinks.w: there is no directory {tmp_path / 'data'} yet; create it" in done.stderr


def test_check_finds_out_that_the_driver_for_postgresql_is_missing(tmp_path: Path) -> None:
    sink = '[sinks.w]\ntype = "postgresql"\nurl = { env = "WAREHOUSE" }'
    (tmp_path / "crawlerd.toml").write_text(GOOD.replace('[sinks.w]\ntype = "sqlite"\npath = "w.db"', sink))
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/psycopg.py").write_text('raise ModuleNotFoundError(name="psycopg")')
    search = os.pathsep.join(filter(None, (str(tmp_path / "lib"), os.environ.get("PYTHONPATH"))))
    done = crawlerd(tmp_path, "config", "check", WAREHOUSE="postgresql://localhost/none", PYTHONPATH=search)
    assert done.returncode == 78
    assert "sinks.w is in PostgreSQL: a driver is needed: pip install 'crawlerd[postgres]'" in done.stderr


def test_check_looks_secrets_up_and_does_not_show_them(tmp_path: Path) -> None:
    (tmp_path / "crawlerd.toml").write_text(GOOD.replace("ACME_KEY", "NOT_SET_ANYWHERE"))
    done = crawlerd(tmp_path, "config", "check", key="sk_hidden")
    assert done.returncode == 78
    assert "NOT_SET_ANYWHERE" in done.stderr
    assert "sk_hidden" not in done.stderr + done.stdout


def test_the_environment_names_the_file_and_an_option_overrules_it(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text(GOOD)
    done = crawlerd(tmp_path, "config", "check", CRAWLERD_CONFIG="other.toml")
    assert done.stdout.startswith("other.toml: nothing is wrong")
    done = crawlerd(tmp_path, "-c", "none.toml", "config", "check", CRAWLERD_CONFIG="other.toml")
    assert done.returncode == 78
    assert "none.toml" in done.stderr


def test_sources_and_streams(tmp_path: Path) -> None:
    listed = crawlerd(tmp_path, "sources")
    assert listed.returncode == 0, listed.stderr
    found = json.loads(crawlerd(tmp_path, "sources", "--json").stdout)
    assert {"stripe", "mailchimp", "aws_org", "rest"} <= {each["name"] for each in found}
    assert [line.split()[0] for line in listed.stdout.splitlines()] == [each["name"] for each in found]
    assert all(each["usable"] for each in found)
    streams = json.loads(crawlerd(tmp_path, "streams", "stripe", "--json").stdout)
    assert {"name": "customers", "by_default": True} in streams
    assert any(not each["by_default"] for each in streams)
    lines = crawlerd(tmp_path, "streams", "stripe").stdout.splitlines()
    assert [line.split()[0] for line in lines] == [each["name"] for each in streams]


@pytest.mark.parametrize(
    ("name", "words"),
    [("strpe", 'did you mean "stripe"?'), ("rest", "the streams of rest are in each account's description")],
)
def test_streams_of_what_has_none_are_refused(name: str, words: str, tmp_path: Path) -> None:
    done = crawlerd(tmp_path, "streams", name)
    assert done.returncode == 2
    assert words in done.stderr
