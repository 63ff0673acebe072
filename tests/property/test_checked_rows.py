"""Tables that share a model are checked as if each had its own: the same settings, the same problems in their order."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from crawlerd.config import checked_rows
from crawlerd.config.checked_rows import Account, AccountChecks, Import, ImportChecks
from crawlerd.config.compact_tables import CompactTables, Packer
from crawlerd.config.facts import Context, SourceFacts
from crawlerd.core.errors import ConfigurationError


class Region(msgspec.Struct):
    """What an account may set in addition."""

    region: str = "eu"
    pages: int | float | bool = 1


class Delivery(msgspec.Struct):
    """What an import may set in addition."""

    to: str
    batch: int = 100

    def accounts(self) -> list[str]:
        return [self.to]

    def needs_sink(self) -> bool:
        return self.batch == 1


class Described(msgspec.Struct):
    """The options of a family."""

    description: str


SOURCES = {
    "shop": SourceFacts(
        streams=("orders", "items", "notes"),
        base_url="https://shop.example",
        buckets={"orders"},
        comes_of={"notes": ["orders"]},
    ),
    "cloud": SourceFacts(streams=("users",), base_url="", needs_key=False, options=Region),
    "open": SourceFacts(streams=("orders",), base_url="https://open.example", needs_key=False, import_options=Delivery),
    "homeless": SourceFacts(streams=("orders",), options=Region),
    "family": SourceFacts(options=Described, family=True),
}
MADE = {
    "one": SourceFacts(streams=("ones",), base_url="https://one.example", needs_key=False),
    "two": SourceFacts(streams=("twos",), needs_key=True, import_options=Delivery),
}


class Sources:
    """An environment that has these sources, and no secret that is called MISSING."""

    def source(self, name: str) -> SourceFacts:
        if name not in SOURCES:
            raise ValueError(f'there is no source "{name}"')
        return SOURCES[name]

    def described(self, name: str, options: Described) -> SourceFacts:
        if options.description == "broken":
            raise ConfigurationError(["broken: is not valid TOML"])
        if options.description not in MADE:
            raise ValueError(f"there is no {options.description}")
        return MADE[options.description]

    def secret(self, place: str, name: str) -> str:
        if name == "MISSING":
            raise ValueError("is not set")
        return f"{place}:{name}"

    def command(self, command: tuple[str, ...]) -> str:
        return " ".join(command)


def some(*values: object) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


NAMES = (*"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN", "not a name")
NUMBERS = (1, True, 1.0, 2, -1, "1", [1], [True], {"a": 1})
ACCOUNT = {
    "source": some(*SOURCES, "unknown", 3),
    "base_url": some("https://x.example", "https://x.example/", "ftp://x", 3, ""),
    "api_key": some(
        {"env": "A"}, {"env": "B"}, {"env": "MISSING"}, "sk", {"command": ["x"], "ttl": "1h"}, ["env", "A"]
    ),
    "token": some({"env": "A"}),
    "limits": some("5/second", ["5/second"], ["5/second", "9/day"], [], "fast", 5),
    "bucket_limits": some("5/second", {"orders": "5/second"}, {"default": ["5/second"]}, {"other": "5/second"}, {}),
    "concurrency": some("auto", *NUMBERS),
    "smooth": some(*NUMBERS),
    "weight": some(*NUMBERS),
    "attempts": some(*NUMBERS),
    "retry_base": some("1s", "1h", *NUMBERS),
    "region": some("eu", "us", 3),
    "pages": some(1, True, 1.0),
    "description": some("one", "two", "broken", "none", 3),
    "wieght": some(1),
}
IMPORT = {
    "account": some("a", "b", "e", "nobody", 3),
    "sink": some("w", "x", "nowhere", ["w", "x"], ["w"], 3),
    "streams": some(["*"], ["orders"], ["orders", "items"], ["notes"], ["notes", "orders"], [], "orders", ["ones"]),
    "schedule": some("1h", "soon", *NUMBERS),
    "priority": some("auto", *NUMBERS),
    "keep_runs": some({"count": 5}, {"count": True}, {"days": 1}, {"days": 1.0}, {}, {"weeks": 3}, 7),
    "to": some("a", "b", "nobody"),
    "batch": some(1, 2, True),
    "stream": some("orders"),
}


KEY = {"api_key": {"env": "A"}}
# Valid ones, to begin with.
ACCOUNTS = (
    {"source": "shop", **KEY, "limits": "5/second"},
    {"source": "shop", **KEY, "bucket_limits": {"orders": "5/second"}, "weight": 1.0, "attempts": 1},
    {"source": "cloud", "concurrency": 1, "smooth": True, "weight": 1.0},
    {"source": "cloud", "pages": 1, "region": "eu", **KEY, "attempts": 1},
    {"source": "open", "retry_base": 1, "weight": 1.0},
    {"source": "homeless", "base_url": "https://x.example", **KEY, "region": "eu"},
    {"source": "family", "description": "one", "base_url": "https://x.example/", "weight": 1.0},
    {"source": "family", "description": "two", "base_url": "https://x.example", "token": {"env": "A"}},
)
IMPORTS = (
    {"account": "a", "sink": "w", "streams": ["orders"]},
    {"account": "b", "sink": "w", "streams": ["*"], "schedule": 1, "priority": 1},
    {"account": "c", "sink": "x", "streams": ["*"], "keep_runs": {"days": 1}},
    {"account": "e", "to": "a", "batch": 1, "streams": ["*"]},
    {"account": "e", "to": "a", "batch": 2, "streams": ["*"], "sink": "w"},
    {"account": "f", "sink": "w", "streams": ["orders"]},
    {"account": "g", "sink": "w", "streams": ["ones"]},
    {"account": "h", "to": "a", "streams": ["twos"], "sink": "w"},
)


@st.composite
def tables(draw: st.DrawFn, columns: dict[str, st.SearchStrategy[Any]], valid: tuple[dict[str, Any], ...]) -> Any:
    """Rows by name: valid ones in turn, then the same with other values here and there."""
    found: dict[str, Any] = {}
    for number, name in enumerate(NAMES):
        row = dict(valid[number % len(valid)])
        if number >= len(valid) and draw(st.booleans()):
            for key in draw(st.lists(st.sampled_from([*row, *row, *row, *columns]), min_size=1, max_size=2)):
                if draw(st.integers(0, 5)):
                    row[key] = draw(columns[key])
                else:
                    row.pop(key, None)
        found[name] = draw(st.sampled_from([*[row] * 30, 3, [], ["source"]]))
    return found


def documents() -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda accounts, imports: {"sinks": {"w": {}, "x": {}}, "accounts": accounts, "imports": imports},
        tables(ACCOUNT, ACCOUNTS),
        tables(IMPORT, IMPORTS),
    )


def seen(value: Account | Import) -> Any:
    """All that a checked table says. Values that are equal and of two types are two values."""
    usual = value.usual
    if isinstance(value, Account):
        key = value.api_key
        own: Any = (value.base_url, type(key), key.get_secret_value(), vars(key), value.options, value.facts)
    else:
        own = value.account, value.options
    return repr((usual, own))


def checked(document: dict[str, Any], *, shared: bool) -> tuple[Any, Any]:
    """What is valid and what is wrong. shared: with models that tables share."""
    packer = Packer()
    rows = {kind: CompactTables(packer, document[kind]) for kind in ("accounts", "imports")}
    context = Context({**document, **rows}, Sources())
    valid: dict[str, dict[str, Any]] = {"accounts": {}, "imports": {}}
    problems: list[Any] = []
    every: list[Any] = [("accounts", AccountChecks(context)), ("imports", ImportChecks(context, valid["accounts"]))]
    for kind, checks in every:
        for name, row in rows[kind].packed.items():
            if not shared:  # it knows nothing of other tables
                checks = type(checks)(context, valid["accounts"]) if kind == "imports" else AccountChecks(context)
            try:
                valid[kind][name] = checks.check(name, row)
            except ValidationError as error:
                problems += [(each["loc"], each["msg"], repr(each["input"])) for each in error.errors()]
    found = {(kind, name): seen(each) for kind, rows in valid.items() for name, each in rows.items()}
    return found, [problems, list(context.elsewhere)]


@given(documents(), st.sampled_from([0, 3, 10_000]))
def test_tables_that_share_a_model_are_checked_as_if_each_had_its_own(document: dict[str, Any], most: int) -> None:
    """most: values that are remembered."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checked_rows, "REMEMBERED", most)
        assert checked(document, shared=True) == checked(document, shared=False)
