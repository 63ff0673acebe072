"""Rows of a CSV file that are packed at once are the tables that they are one by one, settings of sources as well."""

from __future__ import annotations

import csv
import io
from typing import Any

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from crawlerd.config.compact_tables import Packer, unpacked
from crawlerd.config.csv_tables import Kind, with_cells, with_rows


class Options(msgspec.Struct):
    """What an account may set in addition."""

    pages: int = 1
    region: str = "eu"


class Text:
    """An environment with one file, in which accounts of the source `cloud` have options."""

    def __init__(self, text: str) -> None:
        self._text = text

    def text(self, file: str) -> str:
        return self._text

    def options(self, kind: Kind, source: object) -> type | None:
        return Options if source == "cloud" else None


ACCOUNTS: dict[str, dict[str, Any]] = {"cloudy": {"source": "cloud"}, "shop": {"source": "stripe"}, "odd": {}}
USUAL: dict[str, st.SearchStrategy[Any]] = {
    "source": st.sampled_from(["cloud", "stripe", "cloud", 3]),
    "account": st.sampled_from(["cloudy", "shop", "odd", "nobody", 3, ["x"]]),
    "limits": st.sampled_from(["5/second", ["5/second"]]),
    "weight": st.sampled_from([1, 1.0]),
    "api_key": st.sampled_from([{"env": "A"}, {}, "A"]),
    "deliver": st.sampled_from([{"path": "/x", "fields": {"id": "id"}}, 3]),
    "smooth": st.just(True),
    "pages": st.just(3),
}
COLUMNS = (
    "source",
    "account",
    "limits",
    "weight",
    "smooth",
    "concurrency",
    "streams",
    "priority",
    "api_key.env",
    "pages",
)
COLUMNS += ("api_key", "deliver.path", "deliver.account", "deliver", "deliver.", ".x", "a.b.c", "keep_runs.count")
CELLS = st.sampled_from(["", "1", "1.0", "true", "a, b", "cloud", "cloudy", "shop", "stripe", "nobody", "2.5", "x"])


@st.composite
def files(draw: st.DrawFn) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """What rows have in common, and their cells."""
    usual = {key: draw(USUAL[key]) for key in draw(st.lists(st.sampled_from(list(USUAL)), max_size=4, unique=True))}
    columns = draw(st.lists(st.sampled_from(COLUMNS), max_size=5, unique=True))
    count = draw(st.integers(1, 8))
    return usual, [{column: draw(CELLS) for column in columns} for _ in range(count)]


CLOUD = {"source": "cloud", "api_key": {"env": "A"}, "deliver": {"path": "/x", "fields": {}}}


@example((CLOUD, [{"pages": "1"}, {"pages": ""}, {"pages": "x"}]), "accounts")
@example(({}, [{"source": "cloud", "pages": "1"}, {"source": "stripe", "pages": "1"}]), "accounts")
@example(({"pages": 3}, [{"account": "cloudy", "region": "1"}]), "imports")
@example(({"pages": 3}, [{"account": "shop", "pages": "1"}, {"account": "cloudy", "pages": "1"}]), "imports")
@example((CLOUD, [{"deliver.fields": "1", "deliver.account": "a", "api_key.file": "x"}]), "accounts")
@given(files(), st.sampled_from(["accounts", "imports"]))
def test_rows_are_the_tables_that_they_are_one_by_one(
    file: tuple[dict[str, Any], list[dict[str, str]]], kind: Kind
) -> None:
    usual, rows = file
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["name", *rows[0]])
    writer.writerows([f"row{number}", *row.values()] for number, row in enumerate(rows))
    found = Text(text.getvalue())
    document = {"accounts": ACCOUNTS}
    whole, _ = with_rows({**document, f"{kind}_csv": {"file": "x", **usual}}, "crawlerd.toml", found, Packer())
    alone = {
        f"row{number}": with_cells(kind, usual, {key: cell for key, cell in row.items() if cell}, found, document)
        for number, row in enumerate(rows)
    }
    packed = {name: unpacked(row) for name, row in whole[kind].packed.items() if name in alone}
    assert repr(packed) == repr(alone)
