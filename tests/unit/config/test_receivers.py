"""The keys of a sink of the type `http`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from crawlerd.config.load import load as load_with
from crawlerd.core.configuration import Receiver
from crawlerd.core.errors import ConfigurationError
from crawlerd.sources import registry

if TYPE_CHECKING:
    from pathlib import Path

load = partial(load_with, registry=registry)
CONFIG = """
[daemon]
state_dir = "var"
[accounts.crm]
source = "http"
base_url = "https://crm.example.com/api"
[accounts.news]
source = "mailchimp"
api_key = { env = "NEWS" }
[sinks.crm]
type = "http"
"""


def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: str) -> Path:
    monkeypatch.setenv("NEWS", "key-us1")
    file = tmp_path / "crawlerd.toml"
    file.write_text(CONFIG + lines)
    return file


def test_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = load(configure(tmp_path, monkeypatch, 'account = "crm"\npath = "/contacts"')).sinks["crm"]
    assert spec.path == tmp_path / "var/outbox-crm.db"
    assert spec.receiver == Receiver(
        account="crm", base_url="https://crm.example.com/api", path="/contacts", gone_method=""
    )


def test_all_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = """account = "crm"
path = "/contacts"
method = "PUT"
batch = 7
records = "data"
fields = { id = "id", all = { name = "{a} {b}" } }
accepted = "n.ok"
attempts = 5
retry_delay = "1m"
expires = "2h"
tombstones = { path = "/contacts/{key}", method = "POST" }
database = "crm.db"
"""
    spec = load(configure(tmp_path, monkeypatch, lines)).sinks["crm"]
    assert spec.path == tmp_path / "crm.db"
    assert spec.receiver == Receiver(
        account="crm",
        base_url="https://crm.example.com/api",
        path="/contacts",
        method="PUT",
        batch=7,
        records="data",
        fields={"id": "id", "all": {"name": "{a} {b}"}},
        accepted="n.ok",
        attempts=5,
        retry_seconds=60.0,
        expires_seconds=7200.0,
        gone_method="POST",
        gone_path="/contacts/{key}",
    )


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ('path = "/x"', 'sinks.crm.account: is missing; write for example account = "crm", of the source http'),
        ('account = "crm"', 'sinks.crm.path: is missing; write for example path = "/var/lib/crawlerd/warehouse.db"'),
        ('account = "crn"\npath = "/x"', "sinks.crm.account: [accounts.crn] does not exist; did you mean"),
        ('account = "news"\npath = "/x"', "sinks.crm.account: [accounts.news] is not of the source http; known: crm"),
        ('account = "crm"\npath = "x"', 'sinks.crm.path: must begin with "/"'),
        ('account = "crm"\npath = "/{a..b}"', 'sinks.crm.path: "a..b" is not a dotted path'),
        ('account = "crm"\npath = "/{id}"\nbatch = 2', "sinks.crm.batch: is only for a path without fields"),
        (
            'account = "crm"\npath = "/x"\nmethod = "GET"',
            'sinks.crm.method: must be "POST", "PUT", "PATCH" or "DELETE"',
        ),
        ('account = "crm"\npath = "/x"\nbatch = 1001', "sinks.crm.batch: must be 1000 or less"),
        ('account = "crm"\npath = "/x"\nfields = { a = "{b" }', 'sinks.crm.fields: a: "{b" has a brace alone'),
        (
            'account = "crm"\npath = "/x"\ntombstones = { path = "/x" }',
            "sinks.crm.tombstones.path: must say which record was deleted, as {key}",
        ),
        (
            'account = "crm"\npath = "/x"\ntombstones = { path = "/x/{id}" }',
            'sinks.crm.tombstones.path: "{id}" is not a field; write {key} or {stream} or {account}',
        ),
        ('account = "crm"\npath = "/x"\naccepted = "a..b"', 'sinks.crm.accepted: "a..b" is not a dotted path'),
        ('account = "crm"\npath = "/x"\ngzip = true', 'sinks.crm.gzip: is for sinks of the type "jsonl"'),
        (
            'account = "crm"\npath = "/x"\n[sinks.db]\ntype = "sqlite"\npath = "x.db"\nbatch = 1',
            'sinks.db.batch: is for sinks of the type "http"; this one is "sqlite"',
        ),
        (
            'account = "crm"\npath = "/x"\ndatabase = "var/frontier.db"',
            "sinks.crm.database: is the frontier's own database",
        ),
        (
            'account = "crm"\npath = "/x"\n[sinks.two]\ntype = "http"\naccount = "crm"\npath = "/y"\n'
            'database = "var/outbox-crm.db"',
            "sinks.two.database: is the path of sinks.crm as well; use one for both",
        ),
    ],
)
def test_what_is_wrong(lines: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(configure(tmp_path, monkeypatch, lines))
    (found,) = caught.value.problems
    assert problem in found


PAIRS = """
account = "crm"
path = "/contacts"
[sinks.warehouse]
type = "sqlite"
path = "warehouse.db"
[imports.news]
account = "news"
streams = ["*"]
sink = ["warehouse", "crm"]
"""


def test_two_sinks_of_an_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(configure(tmp_path, monkeypatch, PAIRS))
    spec = settings.sinks[settings.imports["news"].sink or ""]
    assert (spec.type, spec.path) == ("sqlite", tmp_path / "warehouse.db")
    assert spec.beside == settings.sinks["crm"]


@pytest.mark.parametrize(
    ("sink", "more", "problem"),
    [
        (
            '["crm", "warehouse"]',
            "",
            'two sinks must be one of the type "sqlite" or "postgresql" and one of the type "http", in this order',
        ),
        ('["warehouse"]', "", "must be one name, or two: a sink that keeps records and one that delivers them"),
        ('["warehouse", "cmr"]', "", 'there is no [sinks.cmr]; did you mean "crm"?'),
        (
            '["warehouse", "crm"]',
            '[imports.more]\naccount = "news"\nstreams = ["*"]\nsink = "crm"\n',
            "another import uses crm with warehouse, and all imports must use it the same way; configure another sink",
        ),
    ],
)
def test_sinks_that_do_not_go_together(
    sink: str, more: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = PAIRS.replace('["warehouse", "crm"]', sink) + more
    with pytest.raises(ConfigurationError) as caught:
        load(configure(tmp_path, monkeypatch, lines))
    (found,) = caught.value.problems
    assert problem in found


def test_a_receiver_is_waited_for_as_long_as_its_deliveries_may_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = 'account = "crm"\npath = "/contacts"\nexpires = "10m"\n'
    settings = load(configure(tmp_path, monkeypatch, lines))
    assert settings.accounts["crm"].retry.give_up_after == 600
    assert settings.accounts["news"].retry.give_up_after == 86_400
