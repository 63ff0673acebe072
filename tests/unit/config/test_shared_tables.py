"""A warning where one import writes what another one leaves out of the same table."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from crawlerd.config.load import load as load_with
from crawlerd.sources import registry

if TYPE_CHECKING:
    from pathlib import Path

load = partial(load_with, registry=registry, secrets=False)

BOTH = """
[daemon]
state_dir = "var"
hash_key = { env = "HASH_KEY" }
[accounts.acme]
source = "stripe"
api_key = { env = "KEY" }
[accounts.other]
source = "stripe"
api_key = { env = "OTHER_KEY" }
[sinks.one]
type = "sqlite"
path = "one.db"
[sinks.two]
type = "sqlite"
path = "two.db"
[imports.a]
account = "acme"
sink = "one"
streams = ["customers", "invoices"]
fields.customers = { drop = ["phone"], hash = ["email"] }
[imports.b]
account = "acme"
sink = "one"
streams = ["customers"]
"""


def warnings(folder: Path, text: str) -> list[str]:
    file = folder / "crawlerd.toml"
    file.write_text(text)
    return [each for each in load(file).warnings if "same table" in each]


def test_an_import_that_writes_what_another_one_drops_is_named(tmp_path: Path) -> None:
    (told,) = warnings(tmp_path, BOTH)
    assert told.startswith("imports.b: writes customers to the same table as imports.a, and does not drop or hash ")
    assert "email, phone as that one does" in told


@pytest.mark.parametrize(
    ("change", "by"),
    [
        ('streams = ["customers"]', 'streams = ["invoices"]'),
        ('sink = "one"\nstreams = ["customers"]', 'sink = "two"\nstreams = ["customers"]'),
        ('streams = ["customers"]', 'streams = ["customers"]\nfields."*" = { drop = ["phone", "email"] }'),
        ('fields.customers = { drop = ["phone"], hash = ["email"] }', ""),
    ],
)
def test_with_the_same_rules_or_another_table_nothing_is_said(tmp_path: Path, change: str, by: str) -> None:
    head, tail = BOTH.rsplit(change, 1)
    assert warnings(tmp_path, head + by + tail) == []


def test_what_is_missing_is_named_on_either_side_and_for_other_accounts(tmp_path: Path) -> None:
    text = BOTH.replace('[imports.b]\naccount = "acme"', '[imports.b]\naccount = "other"')
    assert len(warnings(tmp_path, text)) == 1
    found = warnings(tmp_path, text + 'fields.customers = { drop = ["phone", "email", "name"] }\n')
    assert [each.split(":")[0] for each in found] == ["imports.a"]
    assert "drop or hash name as" in found[0]
