"""`config.d`, the lines of what is wrong, and misspelled environment variables."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from support.installation import COMMAND

if TYPE_CHECKING:
    from pathlib import Path

MAIN = """\
[daemon]
state_dir = "state"

[sinks.w]
type = "sqlite"
path = "w.db"
"""
ACME = '[accounts.acme]\nsource = "stripe"\napi_key = { env = "ACME_KEY" }\n'
NIGHTLY = '[imports.nightly]\naccount = "acme"\nsink = "w"\nstreams = ["customers"]\n'


def check(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, "config", "check"],
        cwd=folder,
        env=os.environ | {"ACME_KEY": "sk_test_1"} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def wrong(folder: Path, **environment: str) -> list[str]:
    done = check(folder, **environment)
    assert done.returncode == 78, done.stdout
    return [line.removeprefix("crawlerd: ") for line in done.stderr.splitlines()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "crawlerd.toml").write_text(MAIN)
    (tmp_path / "config.d").mkdir()
    return tmp_path


def add(folder: Path, name: str, text: str) -> None:
    (folder / "config.d" / name).write_text(text)


def test_all_parts_are_one_configuration(folder: Path) -> None:
    add(folder, "10-acme.toml", ACME)
    add(
        folder,
        "20-nightly.toml",
        NIGHTLY + '[daemon]\nlog_level = "debug"\n[sinks.x]\ntype = "sqlite"\npath = "w.db"\n',
    )
    add(folder, "30-more.toml", '[[accounts_csv]]\nfile = "more.csv"\nsource = "stripe"\n')
    add(folder, ".hidden.toml", "x")
    add(folder, "old.toml~", "x")
    (folder / "more.csv").write_text("name,api_key.env\nb1,ACME_KEY\nb2,ACME_KEY\n")  # beside the main file
    done = check(folder)
    assert done.stdout == "crawlerd.toml: nothing is wrong: 3 accounts, 2 sinks, 1 import\n", done.stderr


def test_what_stands_twice_is_told_with_both_places(folder: Path) -> None:
    add(folder, "10.toml", ACME)
    add(folder, "20.toml", f'# other\n\n{ACME}[daemon]\nlisten = "127.0.0.1:1"\nstate_dir = "other"\n')
    add(folder, "30.toml", '[sinks]\nw.type = "jsonl"\n')
    assert wrong(folder) == [
        "config.d/20.toml:3: accounts.acme: is also in config.d/10.toml:1; keep one",
        "config.d/20.toml:8: daemon.state_dir: is also in crawlerd.toml:2; keep one",
        "config.d/30.toml:2: sinks.w: is also in crawlerd.toml:4; keep one",
    ]


def test_what_is_wrong_is_told_with_its_file_and_line(folder: Path) -> None:
    add(
        folder,
        "10.toml",
        ACME + "limits = [\n  '25/second',\n  'fast',\n]\nbucket_limits = { custmers = '1/second' }\n",
    )
    add(folder, "20.toml", NIGHTLY.replace("customers", "custmers") + 'account_ = 1\n"two words" = 2\n')
    add(folder, "30.toml", "[acounts.x]\n")
    add(folder, "40.toml", '[[accounts_csv]]\nfil = "x"\n')
    told = wrong(folder)
    assert told == ['config.d/40.toml:1: accounts_csv[0]: must be a table with a file, such as file = "accounts.csv"']
    (folder / "config.d/40.toml").unlink()
    told = wrong(folder)
    starts = [each.split(": ")[:2] for each in told]
    assert ["config.d/10.toml:4", "accounts.acme.limits"] in starts
    assert ["config.d/10.toml:8", "accounts.acme.bucket_limits.custmers"] in starts
    assert ["config.d/20.toml:4", "imports.nightly.streams"] in starts
    assert ["config.d/20.toml:5", "imports.nightly.account_"] in starts
    assert ["config.d/20.toml:6", 'imports.nightly."two words"'] in starts
    assert ["config.d/30.toml:1", "acounts"] in starts


def test_a_part_that_is_no_toml_is_told_with_all_else_of_the_parts(folder: Path) -> None:
    add(folder, "10.toml", "x = fast\n")
    add(folder, "20.toml", '[daemon]\nstate_dir = "b"\n')
    (folder / "config.d/30.toml").mkdir()
    told = wrong(folder)
    assert told[0].startswith("config.d/10.toml:1: is not valid TOML: invalid value; text must stand in quotes")
    assert told[1].startswith("config.d/30.toml: cannot be read: Is a directory")
    assert told[2] == "config.d/20.toml:2: daemon.state_dir: is also in crawlerd.toml:2; keep one"


def test_the_state_directory_may_stand_in_a_part(folder: Path) -> None:
    (folder / "crawlerd.toml").write_text(MAIN.replace('state_dir = "state"', ""))
    add(folder, "10.toml", '[daemon]\nstate_dir = "elsewhere"\n')
    (folder / "elsewhere").mkdir()
    done = subprocess.run([COMMAND, "status"], cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    assert "state_dir" not in done.stderr


@pytest.mark.parametrize(
    ("variable", "told"),
    [
        ("CRAWLERD_LOGLEVEL", "did you mean CRAWLERD_LOG_LEVEL?"),
        ("CRAWLERD_WORKER_PROCESS", "did you mean CRAWLERD_WORKER_PROCESSES?"),
        ("CRAWLERD_CONFG", "did you mean CRAWLERD_CONFIG?"),
        ("CRAWLERD_CONCURRENCY", "there is no such setting (of [daemon] only)"),
    ],
)
def test_a_misspelled_variable_is_told(folder: Path, variable: str, told: str) -> None:
    done = check(folder, **{variable: "debug"})
    assert done.returncode == 0
    assert f"the environment variable {variable} has no effect" in done.stderr
    assert told in done.stderr


def test_a_variable_that_the_configuration_names_is_not_misspelled(folder: Path) -> None:
    add(folder, "10.toml", ACME.replace("ACME_KEY", "CRAWLERD_LOGLEVEL"))
    done = check(folder, CRAWLERD_LOGLEVEL="sk_test_1", CRAWLERD_LOG_LEVEL="debug")
    assert (done.returncode, done.stderr) == (0, "")
