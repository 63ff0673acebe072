"""`crawlerd init` in an empty folder: what it writes is complete, and the next commands work."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest
import tomli
from support.installation import COMMAND

if TYPE_CHECKING:
    from pathlib import Path

S3 = ["input=s3://bucket/in/", "output=s3://bucket/out/", "status_table=aaaa", "items_table=bbbb"]
SETTINGS = {
    "stripe": [],
    "mailchimp": [],
    "aws_org": [],
    "aws_contacts": ["region=eu-west-1"],
    "s3_batch": [*S3, "process.python=os.path:join"],
    "rest": ["description=shop.toml", "variables.org=x"],
}
SHOP = """
name = "shop"
base_url = "https://shop.example"
variables = ["org"]
[endpoints.items]
path = "/{variables.org}"
"""


def crawlerd(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *words],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("source", SETTINGS)
def test_what_is_written_passes_the_check(source: str, tmp_path: Path) -> None:
    (tmp_path / "shop.toml").write_text(SHOP)
    words = [word for each in SETTINGS[source] for word in ("--set", each)]
    done = crawlerd(tmp_path, "init", "--source", source, "--name", "first.one", *words)
    assert done.returncode == 0, done.stderr
    with_key = source in ("stripe", "mailchimp")
    mode = stat.S_IMODE((tmp_path / "crawlerd.toml").stat().st_mode)
    assert mode == (0o600 if with_key else 0o644)
    assert ("export FIRST_ONE_KEY=…" in done.stdout) == with_key
    checked = crawlerd(tmp_path, "config", "check", FIRST_ONE_KEY="sk_test_1-us1")
    assert checked.returncode == 0, checked.stderr
    written = tomli.loads((tmp_path / "crawlerd.toml").read_text())
    assert written["accounts"]["first.one"]["source"] == source
    assert written["imports"]["first.one"]["schedule"] == "1h"


def test_every_commented_setting_is_valid(tmp_path: Path) -> None:
    crawlerd(tmp_path, "init", "--source", "stripe")
    path = tmp_path / "crawlerd.toml"
    path.write_text(re.sub("^#(?=[a-z])", "", path.read_text(), flags=re.MULTILINE))
    done = crawlerd(tmp_path, "config", "check", STRIPE_KEY="sk_test_1")
    assert done.returncode == 0, done.stderr


def test_a_file_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "crawlerd.toml").write_text("mine")
    done = crawlerd(tmp_path, "init", "--source", "stripe")
    assert done.returncode == 1
    assert "crawlerd.toml exists already, and is not overwritten" in done.stderr
    assert (tmp_path / "crawlerd.toml").read_text() == "mine"
    (tmp_path / "link.toml").symlink_to("elsewhere.toml")
    assert crawlerd(tmp_path, "-c", "link.toml", "init", "--source", "stripe").returncode == 1
    assert not (tmp_path / "elsewhere.toml").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give the source: --source NAME; known: aws_contacts"),
        (["--source", "strip"], 'there is no source "strip"; did you mean "stripe"?'),
        (["--source", "http"], "the source http reads nothing"),
        (["--source", "s3_batch", "--set", "input=s3://bucket/in/"], "--set output=… --set status_table=…"),
        (
            ["--source", "stripe", "--set", "limit=1/second"],
            "limit is not a setting of the account or the import; did you",
        ),
        (["--source", "stripe", "--set", "limits=fast"], "accounts.stripe.limits"),
        (["--source", "stripe", "--set", "streams=custmers"], 'did you mean "customers"?'),
        (["--source", "stripe", "--set", "api_key=sk_live_1"], "api_key cannot be set here"),
        (["--source", "stripe", "--name", "a b"], 'the name "a b" is not allowed as a name'),
    ],
)
def test_what_cannot_be_used_leaves_no_file(words: list[str], said: str, tmp_path: Path) -> None:
    done = crawlerd(tmp_path, "init", *words)
    assert done.returncode in (2, 78)
    assert said in done.stderr
    assert "sk_live_1" not in done.stderr + done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_schema_is_printed(tmp_path: Path) -> None:
    done = crawlerd(tmp_path, "config", "schema")
    assert json.loads(done.stdout)["title"] == "crawlerd"
