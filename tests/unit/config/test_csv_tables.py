"""Accounts and imports that stand in CSV files: what their cells mean, and where their problems are said to be."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from crawlerd.config import facts
from crawlerd.config.load import Settings
from crawlerd.config.load import load as load_with
from crawlerd.core.errors import ConfigurationError
from crawlerd.core.schedule_rules import Schedule
from crawlerd.sources import registry

if TYPE_CHECKING:
    from pathlib import Path

load = partial(load_with, registry=registry)

TOML = """
[daemon]
state_dir = "var"
[accounts.news]
source = "mailchimp"
api_key = { env = "MC_KEY" }
[[accounts_csv]]
file = "receivers.csv"
source = "http"
limits = ["50/second"]
[sinks.warehouse]
type = "sqlite"
path = "warehouse.db"
[[imports_csv]]
file = "lists.csv"
account = "news"
streams = ["members"]
deliver = { path = "/contacts", fields = { id = "id" } }
"""
RECEIVERS = """name,base_url,token.env,concurrency,smooth,weight,limits
crm1,https://crm1.example.com,TOKEN_1,4,false,2.5,"10/second, 1000/day"
crm2,https://crm2.example.com,TOKEN_2,,,,
"""
LISTS = """name,lists,deliver.account,deliver.batch,deliver.retry_delay,schedule,priority,sink,streams
one,0000000001,crm1,250,1s,1h,3,warehouse,"lists, members"
two,0000000002,crm2,,,,auto,,
"""


class Folder:
    """A configuration and its CSV files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.write("crawlerd.toml", TOML)
        self.write("receivers.csv", RECEIVERS)
        self.write("lists.csv", LISTS)

    def write(self, name: str, text: str) -> None:
        (self.path / name).write_text(text)

    def load(self) -> Settings:
        return load(self.path / "crawlerd.toml")

    def problems(self) -> list[str]:
        with pytest.raises(ConfigurationError) as caught:
            self.load()
        return [problem.replace(f"{self.path}/", "") for problem in caught.value.problems]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    for name, value in {"MC_KEY": "x-us1", "TOKEN_1": "one", "TOKEN_2": "two"}.items():
        monkeypatch.setenv(name, value)
    return Folder(tmp_path)


def test_a_row_is_a_table(folder: Folder) -> None:
    settings = folder.load()
    assert list(settings.accounts) == ["news", "crm1", "crm2"]
    assert (settings.accounts["crm1"].base_url, settings.accounts["crm1"].secret) == ("https://crm1.example.com", "one")
    first, second = settings.limits["crm1"], settings.limits["crm2"]
    assert (first.concurrency, first.smooth, first.weight, first.limits) == (4, False, 2.5, ("10/second", "1000/day"))
    assert (second.concurrency, second.smooth, second.weight, second.limits) == (None, True, 1.0, ("50/second",))
    one, two = settings.imports["one"], settings.imports["two"]
    assert (one.account, one.sink, one.streams) == (
        "news",
        "warehouse + crm1/contacts beside warehouse",
        ("lists", "members"),
    )
    assert (one.schedule, one.priority) == (Schedule(text="1h"), 3)
    assert one.options.wanted == ("0000000001",)  # and not a number
    delivery = one.options.deliver
    assert (delivery.account, delivery.path, delivery.batch, delivery.retry_delay) == ("crm1", "/contacts", 250, "1s")
    assert delivery.fields == {"id": "id"}
    assert (two.sink, two.streams, two.schedule, two.priority) == ("crm2/contacts", ("members",), None, None)
    assert (two.options.deliver.account, two.options.deliver.batch) == ("crm2", 500)


def test_spreadsheets_write_marks_and_crlf(folder: Folder) -> None:
    folder.write("receivers.csv", "\ufeff" + RECEIVERS.replace("\n", "\r\n") + "\r\n,,,,,,\r\n")
    assert list(folder.load().accounts) == ["news", "crm1", "crm2"]


def test_problems_name_file_and_line(folder: Folder) -> None:
    folder.write("receivers.csv", RECEIVERS.replace(",4,", ",four,").replace("TOKEN_2", "TOKEN_X"))
    folder.write("lists.csv", LISTS.replace("crm2", "crm3").replace("250", "x"))
    assert folder.problems() == [
        'receivers.csv:2: accounts.crm1.concurrency: must be a whole number from 1 to 10000, or "auto"',
        "receivers.csv:3: accounts.crm2.token: the environment variable TOKEN_X is not set",
        "lists.csv:2: imports.one: an option of the source mailchimp is wrong: Expected `int`, got `str` - at "
        '"deliver.batch"'.replace("`", '"'),
        'lists.csv:3: imports.two.deliver: there is no [accounts.crm3]; did you mean "crm2"?',
    ]


def test_a_key_itself_is_refused_and_not_quoted(folder: Folder) -> None:
    folder.write("receivers.csv", "name,base_url,api_key\ncrm1,https://crm1.example.com,SECRET123\n")
    (problem, *_) = folder.problems()
    assert problem.startswith("receivers.csv:2: accounts.crm1.api_key: must not be the key itself")
    assert "SECRET123" not in "".join(folder.problems())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the first line must name the columns"),
        ("nam,base_url\nx,y\n", '"name" among them'),
        ("name,,b\nx,y,z\n", "the first line must name the columns, each once"),
        ("name,b,b\nx,y,z\n", "the first line must name the columns, each once"),
        ("name,b\nx,y,z\n", "line 2 must have 2 cells, and a name"),
        ("name,b\n,y\n", "line 2 must have 2 cells, and a name"),
        ('name,b\nx,"y\n', "line 2 is not CSV: unexpected end of data"),
        ("name,b\nnews,y\n", "receivers.csv:2: there is a second [accounts.news]"),
        ("name,b\nx,y\nx,y\n", "receivers.csv:3: there is a second [accounts.x]"),
    ],
)
def test_what_is_wrong_with_a_file(folder: Folder, text: str, problem: str) -> None:
    folder.write("receivers.csv", text)
    (found,) = folder.problems()
    assert problem in found
    assert "receivers.csv" in found


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('file = "missing.csv"', "accounts_csv[0]: missing.csv: cannot be read: No such file or directory"),
        ("file = 3", 'accounts_csv[0]: must be a table with a file, such as file = "accounts.csv"'),
        ("", 'accounts_csv[0]: must be a table with a file, such as file = "accounts.csv"'),
    ],
)
def test_what_is_wrong_with_its_table(folder: Folder, line: str, problem: str) -> None:
    folder.write("crawlerd.toml", TOML.replace('file = "receivers.csv"', line))
    (told,) = folder.problems()
    place, _, words = told.partition(": ")
    assert words == problem
    number = int(place.removeprefix("crawlerd.toml:"))
    assert "[[accounts_csv]]" in (folder.path / "crawlerd.toml").read_text().splitlines()[number - 1]


def test_a_wrong_column_is_not_said_a_thousand_times(folder: Folder) -> None:
    rows = "".join(f"crm{n},https://crm{n}.example.com,1\n" for n in range(1, 1001))
    folder.write("receivers.csv", f"name,base_url,wieght\n{rows}")
    problems = folder.problems()
    assert problems[0] == 'receivers.csv:2: accounts.crm1.wieght: unknown key; did you mean "weight"?'
    assert len(problems) == 21
    assert problems[-1] == "receivers.csv: and 980 more problems"


def test_names_like_a_wrong_one_are_not_looked_up_a_thousand_times(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes milliseconds among a thousand names."""
    looked_up: list[str] = []
    monkeypatch.setattr(facts, "instead", lambda word, names: looked_up.append(word) or "did you mean another?")
    accounts = "".join(f"crm{n},https://crm{n}.example.com,TOKEN_1\n" for n in range(1, 1200))
    folder.write("receivers.csv", f"name,base_url,token.env\n{accounts}")
    folder.write("lists.csv", "name,account,sink\n" + "".join(f"i{n},xcrm{n},warehouse\n" for n in range(1, 1200)))
    problems = folder.problems()
    assert len(looked_up) == facts.LOOKED_UP
    assert problems[0] == "lists.csv:2: imports.i1.account: there is no [accounts.xcrm1]; did you mean another?"
    assert problems[-1].endswith(" more problems")
