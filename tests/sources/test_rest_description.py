"""Descriptions of REST sources: what their author is told, the schema for editors, the page that documents them."""

from __future__ import annotations

import json
import re
import tomllib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from crawlerd.config.load import load as load_with
from crawlerd.core.errors import ConfigurationError
from crawlerd.sources import registry
from crawlerd.sources.rest import Options, describe, make
from crawlerd.sources.rest.description import read
from crawlerd.sources.rest.schema import schema

if TYPE_CHECKING:
    from collections.abc import Iterator

load = partial(load_with, registry=registry)

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "config/sources").glob("*.toml"))

VALID = """
name = "shop"
base_url = "https://shop.example"
variables = ["region"]
[endpoints.orders]
path = "/orders"
[endpoints.lines]
parent = "orders"
path = "/orders/{parent.id}/lines"
"""


def problems_of(toml: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        read(tomllib.loads(toml), "shop.toml")
    return caught.value.problems


def with_(table: str, line: str) -> str:
    """VALID, with a line set or added in the description itself, in `endpoints.orders` or in `endpoints.lines`."""
    key = line.partition(" =")[0]
    head, orders, lines = re.split(r"(?=^\[endpoints)", VALID, flags=re.MULTILINE)
    parts = {"": head, "orders": orders, "lines": lines}
    rest = "\n".join(each for each in parts[table].splitlines() if not each.startswith(f"{key} ="))
    parts[table] = f"{rest}\n{line}\n"
    return "".join(parts.values())


WRONG = [
    ("", 'name = "Shop"', "name: must be lower-case letters"),
    ("", 'name = "a_view"', "name: must be lower-case letters"),
    ("", 'colour = "red"', "colour: unknown key; known: "),
    ("", 'base_url = "http://shop.example"', "base_url: must begin with https://"),
    ("", 'base_url = "https://u:p@shop.example"', "base_url: must not carry a user"),
    ("", 'auth = { type = "bearr" }', 'auth: type "bearr" is unknown; did you mean "bearer"?'),
    ("", "auth = {}", "auth: type is missing"),
    ("", 'auth = { type = "header" }', 'auth.name: is missing; write for example name = "X-Api-Key"'),
    ("", 'auth = { type = "header", name = "a b" }', "auth.name: is not the name of a header"),
    ("", 'auth = { type = "bearer", key = "secret" }', "auth.key: unknown key; known: type"),
    ("", 'auth = { type = "oauth2", token_url = "http://idp.example/t" }', "auth.token_url: must begin with https://"),
    ("", 'headers = { Authorization = "Bearer x" }', "headers.Authorization: cannot be set here; [auth] says"),
    ("", 'headers = { X = "a\\nb" }', "headers.X: must be printable ASCII characters"),
    (
        "",
        'parameters = { a = "{parent.id}" }',
        'parameters.a: "{parent.id}" can only be used in the parameters of an endpoint',
    ),
    ("", 'limits = "5/fortnight"', 'limits: "5/fortnight" is not a limit'),
    ("", "concurrency = 0", "concurrency: must be 1 or more"),
    ("", 'paginator = { type = "ofset" }', 'paginator: type "ofset" is unknown; did you mean "offset"?'),
    ("", 'paginator = { type = "offset", siz = 1 }', 'paginator.siz: unknown key; did you mean "size"?'),
    ("", 'paginator = { type = "offset", size = 0 }', "paginator.size: must be 1 or more"),
    ("", 'paginator = { type = "cursor_in_body", parameter = "c" }', "paginator.cursor: is missing; write for example"),
    ("", 'paginator = { type = "cursor_in_header", header = "X" }', "paginator: needs exactly one of parameter and"),
    ("", 'errors = [{ status = 200, action = "skip" }]', "errors: would make every good response an error"),
    ("", 'errors = [{ status = "4xx", action = "skip" }]', "errors[0].status: must be a whole number, not text"),
    ("", 'errors = [{ status = 404, action = "ignore" }]', 'errors[0].action: must be "skip", "empty", "retry"'),
    ("", 'errors = [{ status = 404, action = "skip", wait_header = "X" }]', 'are only for action = "throttle"'),
    ("", 'errors = [{ status = 404, action = "skip", equals = "X" }]', "equals needs header"),
    ("", 'base_url = "https://{variables.zone}.shop.example"', 'base_url: there is no variable "zone"; declare it'),
    (
        "",
        'base_url = "https://{region}.shop.example"',
        'base_url: "{region}" would be sent unchanged; write {variab',
    ),
    ("", 'base_url = "http://{variables.region}"', "base_url: must begin with https://"),
    ("", 'headers = { X = "{variable.region}" }', 'headers.X: "{variable.region}" would be sent unchanged; a field'),
    (
        "",
        'headers = { X = "{parents.id}" }',
        'headers.X: "{parents.id}" would be sent unchanged; use a parent\'s fields',
    ),
    ("", 'headers = { X = "{parent id}" }', 'headers.X: "{parent id}" would be sent unchanged'),
    ("", 'headers = { X = "{since}" }', 'headers.X: "{since}" would be sent unchanged'),
    (
        "",
        'auth = { type = "oauth2", token_url = "/{tenant}/t" }',
        'auth.token_url: "{tenant}" would be sent unchanged',
    ),
    (
        "",
        'auth = { type = "oauth2", token_url = "https://{variables.x}.example/t" }',
        "auth.token_url: there is no var",
    ),
    ("", 'auth = { type = "oauth2", token_url = "/t", scope = "{region}" }', 'auth.scope: "{region}" would be sent'),
    (
        "",
        'auth = { type = "oauth2", token_url = "/t", parameters = { a = "{{variables.region}}" } }',
        'auth.parameters.a: "{{variables.region}" would be sent unchanged',
    ),
    (
        "",
        'auth = { type = "oauth2", token_url = "/t", parameters = { "{variables.region}" = "a" } }',
        '"{variables.region}" would be sent unchanged; no field is filled in here',
    ),
    ("", 'auth = { type = "basic", user = "{region}" }', 'auth.user: "{region}" would be sent unchanged'),
    ("", 'auth = { type = "header", name = "X", prefix = "{variables.x} " }', "auth.prefix: there is no variable"),
    ("", 'auth = { type = "query", name = "{variables.region}" }', 'auth.name: "{variables.region}" would be sent'),
    ("", 'parameters = { "{variables.region}" = 1 }', '"{variables.region}" would be sent unchanged; no field'),
    ("", 'parameters = { a = "{{variables.region}}" }', '"{{variables.region}}" would be sent as {variables.region}'),
    (
        "",
        'paginator = { type = "offset", size_parameter = "{variables.region}" }',
        'paginator: "{variables.region}" would be sent unchanged',
    ),
    (
        "orders",
        'paginator = { type = "cursor_in_header", header = "X", send_header = "{since}" }',
        'endpoints.orders.paginator: "{since}" would be sent unchanged',
    ),
    (
        "orders",
        'incremental = { field = "at", parameter = "{since}" }',
        'endpoints.orders.incremental.parameter: "{since}" would be sent unchanged',
    ),
    (
        "orders",
        'incremental = { field = "at", parameter = "a", start = "{variables.region}" }',
        'endpoints.orders.incremental.start: "{variables.region}" would be sent unchanged',
    ),
    ("orders", 'path = "orders"', 'endpoints.orders.path: must begin with "/"'),
    ("orders", 'path = "/orders?a=1"', 'endpoints.orders.path: must begin with "/"'),
    ("orders", 'path = "/{id}"', "endpoints.orders.path: braces must contain a field, {parent.id} or {variables.name}"),
    ("orders", 'path = "/{"', "endpoints.orders.path: braces must contain a field"),
    ("orders", 'path = "/{parent.id}"', 'endpoints.orders.path: "{parent.id}" needs parent = "…"'),
    ("orders", 'path = "/{variables.zone}"', 'endpoints.orders.path: there is no variable "zone"; declare it'),
    ("orders", "parameters = { a = 2024-01-01 }", "endpoints.orders.parameters.a: must be text, a number"),
    ("orders", "parameters = { a = nan }", "endpoints.orders.parameters.a: must be text, a number"),
    ("orders", 'records = "data["', "endpoints.orders.records: is not a JMESPath expression such as"),
    ("orders", "primary_key = []", "endpoints.orders.primary_key: "),
    ("orders", 'primary_key = ["id", "a b"]', "endpoints.orders.primary_key: is not a JMESPath expression"),
    ("orders", 'from_parent = { a = "id" }', 'endpoints.orders.from_parent: needs parent = "…"'),
    ("orders", 'incremental = { parameter = "since" }', "endpoints.orders.incremental.field: is missing"),
    (
        "orders",
        'incremental = { field = "at", overlap = 5 }',
        "endpoints.orders.incremental.overlap: must be a duration",
    ),
    (
        "orders",
        'incremental = { field = "at", format = "number", overlap = "5m" }',
        "endpoints.orders.incremental.overlap: must be a whole number",
    ),
    (
        "orders",
        'incremental = { field = "at", order = "ascending" }',
        'endpoints.orders.incremental.order: "ascending" needs parameter',
    ),
    ("orders", 'item = "/orders/{id}"', "endpoints.orders.item: must begin with"),
    ("orders", 'item = "/orders"', "endpoints.orders.item: is the same for each record; use {key}"),
    ("orders", 'item = "/{variables.zone}/{key}"', 'endpoints.orders.item: there is no variable "zone"'),
    (
        "orders",
        'item = "/orders/{key.no}"',
        'endpoints.orders.item: "{key.no}" is not a field of the primary key; known: id',
    ),
    ("orders", 'item = "/orders/{key}"', "endpoints.orders.item: is only for lists with tombstones = true"),
    ("orders", 'paginator = { type = "offset", first = 2 }', "endpoints.orders.paginator.first: must be 1 or less"),
    ("orders", "cost = 0", "endpoints.orders.cost: must be 1 or more"),
    ("orders", "tombstones = 1", "endpoints.orders.tombstones: must be true or false, not a number"),
    ("lines", 'parent = "order"', 'endpoints.lines.parent: there is no [endpoints.order]; did you mean "orders"?'),
    ("lines", 'parent = "lines"', "endpoints.lines.parent: is a circle: lines → lines"),
    ("lines", 'path = "/lines"', "endpoints.lines: makes the same request for each record of its parent"),
    (
        "lines",
        'incremental = { field = "at", format = "number" }',
        'endpoints.lines: incremental.format = "number" is only for lists without a parent',
    ),
]


def test_the_valid_one_is() -> None:
    assert set(read(tomllib.loads(VALID), "shop.toml").endpoints) == {"orders", "lines"}


@pytest.mark.parametrize(("table", "line", "problem"), WRONG)
def test_what_is_wrong_is_told_with_file_and_key(table: str, line: str, problem: str) -> None:
    (told,) = problems_of(with_(table, line))
    assert told.startswith("shop.toml: ")
    assert problem in told


def test_everything_wrong_is_told_at_once() -> None:
    wrong = """
auth = { type = "none", x = 1 }
[endpoints.a]
path = "a"
parent = "c"
paginator = { type = "pages" }
[endpoints.Bad]
path = "/{nothing}"
"""
    told = [each.split(": ")[1] for each in problems_of(wrong)]
    assert set(told) == {
        "name", "auth.x", "endpoints.a.path", "endpoints.a.parent", "endpoints.a.paginator", "endpoints.Bad",
        "endpoints.Bad.path",
    }  # fmt: skip


def test_a_description_without_endpoints_is_refused() -> None:
    assert "endpoints: is missing" in problems_of('name = "shop"')[0]
    assert "endpoints" in problems_of('name = "shop"\n[endpoints]')[0]


# ---- from the configuration

CONFIG = """
[daemon]
state_dir = "var"
[sinks.warehouse]
type = "sqlite"
path = "warehouse.db"
[accounts.eu]
source = "rest"
description = "shop.toml"
variables = { region = "eu" }
[accounts.us]
source = "rest"
description = "shop.toml"
variables = { region = "us" }
limits = "7/second"
[imports.eu]
account = "eu"
sink = "warehouse"
streams = ["lines"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.toml").write_text(VALID)
    (tmp_path / "crawlerd.toml").write_text(CONFIG)
    return tmp_path


def config_problems(folder: Path, old: str = "", new: str = "") -> list[str]:
    (folder / "crawlerd.toml").write_text(CONFIG.replace(old, new, 1) if old else CONFIG)
    with pytest.raises(ConfigurationError) as caught:
        load(folder / "crawlerd.toml")
    return [re.sub(r"^(crawlerd\.toml):\d+", r"\1", each.replace(f"{folder}/", "")) for each in caught.value.problems]


def test_accounts_of_one_description_share_its_source(folder: Path) -> None:
    settings = load(folder / "crawlerd.toml")
    assert settings.accounts["eu"].source == settings.accounts["us"].source == "shop"
    assert set(settings.sources) == set(settings.descriptions) == {"shop"}
    assert settings.accounts["us"].options == {"description": "shop.toml", "variables": {"region": "us"}}
    assert settings.accounts["eu"].base_url == "https://shop.example"
    assert (settings.limits["eu"].limits, settings.limits["us"].limits) == ((), ("7/second",))
    assert settings.imports["eu"].streams == ("lines",)


def test_a_wrong_description_is_told_once_and_with_all_else(folder: Path) -> None:
    (folder / "shop.toml").write_text(with_("orders", 'records = "["').replace('"shop"', '"Shop"'))
    problems = config_problems(folder, 'streams = ["lines"]', 'streams = ["lines"]\nscheddule = "1h"')
    assert [each.split(": ")[:2] for each in problems] == [
        ["crawlerd.toml", "imports.eu.scheddule"],
        ["shop.toml", "name"],
        ["shop.toml", "endpoints.orders.records"],
    ]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            'description = "shop.toml"\n',
            "",
            "crawlerd.toml: accounts.eu: an option of the source rest is wrong: Object",
        ),
        (
            '"shop.toml"',
            '"shp.toml"',
            "crawlerd.toml: accounts.eu: an option of the source rest is wrong: description:",
        ),
        ('"shop.toml"', "7", "crawlerd.toml: accounts.eu: an option of the source rest is wrong: Expected"),
        ('{ region = "eu" }', "{}", 'is wrong: variables: shop.toml needs variables = { region = "…" }'),
        ('{ region = "eu" }', '{ region = "eu", zone = "b" }', 'variables: shop.toml has no variable "zone"'),
        ('"lines"', '"linse"', 'imports.eu.streams: "linse" is not a stream of rest; did you mean "lines"?'),
        ("variables =", "variabels =", 'accounts.eu.variabels: unknown key; did you mean "variables"?'),
    ],
)
def test_an_account_that_is_wrong_is_told(old: str, new: str, problem: str, folder: Path) -> None:
    assert any(problem in each for each in config_problems(folder, old, new))


def test_variables_fill_in_the_base_url(folder: Path) -> None:
    (folder / "shop.toml").write_text(with_("", 'base_url = "https://{variables.region}.shop.example"'))
    accounts = load(folder / "crawlerd.toml").accounts
    assert [accounts[name].base_url for name in ("eu", "us")] == [
        f"https://{name}.shop.example" for name in ("eu", "us")
    ]
    assert config_problems(folder, '{ region = "eu" }', '{ region = "eu.evil.example/" }') == [
        'crawlerd.toml: accounts.eu.variables: "region" is "eu.evil.example/", which no host can have in its name'
    ]


def test_an_account_s_own_base_url_is_filled_in_too(folder: Path) -> None:
    own = 'variables = { region = "eu" }\nbase_url = "https://own.example/'
    (folder / "crawlerd.toml").write_text(
        CONFIG.replace('variables = { region = "eu" }', own + '{variables.region}/"', 1)
    )
    assert load(folder / "crawlerd.toml").accounts["eu"].base_url == "https://own.example/eu"
    assert config_problems(folder, 'variables = { region = "eu" }', own + '{region}"') == [
        'crawlerd.toml: accounts.eu.base_url: "{region}" would be sent unchanged; write {variables.region}'
    ]


@pytest.mark.parametrize(
    "where",
    ['headers = { X = "{variables.region}" }', 'auth = { type = "header", name = "X", prefix = "{variables.region}" }'],
)
def test_a_variable_that_no_header_can_carry_is_told(where: str, folder: Path) -> None:
    (folder / "shop.toml").write_text(with_("", where))
    key = 'api_key = { file = "key" }\nvariables = { region = "'
    (folder / "key").write_text("k")
    text = CONFIG.replace('variables = { region = "', key)
    (folder / "crawlerd.toml").write_text(text.replace('"eu" }', '"ä" }', 1))
    with pytest.raises(ConfigurationError, match=r'accounts\.eu\.variables: make the header "ä'):
        load(folder / "crawlerd.toml")


def test_two_descriptions_of_one_name_are_refused(folder: Path) -> None:
    (folder / "other.toml").write_text(VALID.replace("/orders", "/others"))
    text = CONFIG.replace('"shop.toml"', '"other.toml"', 1)
    (folder / "crawlerd.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=r'another description .* has the name "shop" too'):
        load(folder / "crawlerd.toml")


def test_the_name_of_an_installed_source_is_taken(folder: Path) -> None:
    (folder / "shop.toml").write_text(VALID.replace('"shop"', '"stripe"'))
    assert any("the name of an installed source" in each for each in config_problems(folder))


def test_a_file_that_is_no_toml_is_told(folder: Path) -> None:
    (folder / "shop.toml").write_bytes(b"name = \xff")
    assert config_problems(folder) == ["shop.toml: is not UTF-8 text (byte 7)"]
    (folder / "shop.toml").write_text("name = shop")
    assert config_problems(folder)[0].startswith("shop.toml: is not valid TOML: ")


def test_an_endpoint_that_costs_more_than_its_limit_is_told(folder: Path) -> None:
    (folder / "shop.toml").write_text(with_("orders", "cost = 8"))
    assert any("accounts.us.limits" in each and "shop.orders" in each for each in config_problems(folder))


# ---- schema, examples, documentation


def test_the_schema_that_lies_here_is_current() -> None:
    assert (ROOT / "config/sources/rest.schema.json").read_text() == schema(), "crawlerd source schema > …"


def test_the_schema_takes_what_is_right_and_nothing_else() -> None:
    validator = jsonschema.Draft202012Validator(json.loads(schema()))
    validator.check_schema(validator.schema)
    for path in EXAMPLES:
        assert not list(validator.iter_errors(tomllib.loads(path.read_text()))), path
    assert not list(validator.iter_errors(tomllib.loads(VALID)))
    for line in ("colour = 1", 'auth = { type = "bearr" }', 'paginator = { type = "offset", siz = 1 }', "limits = 1"):
        assert list(validator.iter_errors(tomllib.loads(with_("", line)))), line


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_are_sources(path: Path) -> None:
    document = tomllib.loads(path.read_text())
    assert path.read_text().startswith("#:schema rest.schema.json\n")
    variables = dict.fromkeys(document.get("variables", ()), "x")
    source = make(describe(Options(str(path), variables), ROOT))
    assert source.name == path.stem
    assert source.auth is not None


def test_endpoints_may_have_any_name_and_tasks_of_earlier_versions_their_handlers() -> None:
    ours = (
        "once",
        "several",
        "gone",
        "missed",
        "by_itself",
        "item",
        "read_again",
        "second",
        "compare",
        "next",
        "unread",
    )
    endpoints = {name: {"path": f"/{name}", "tombstones": True} for name in ours[:-6]}
    names = make({"name": "shop", "base_url": "https://shop.test", "endpoints": endpoints | {"next": {"path": "/n"}}})
    assert {f"shop.{name}" for name in ours[:8]} <= names.kinds.keys()
    assert names.kinds["shop.gone"].stream == "gone"
    assert names.kinds["shop.gone"].handler != names.kinds["shop.compare.gone"].handler
    assert names.kinds["shop.item"] is names.kinds["shop.compare.item"]
    every = {name: {"path": f"/{name}", "tombstones": True} for name in ours}
    assert set(ours) == set(make({"name": "shop", "base_url": "https://shop.test", "endpoints": every}).streams)


def keys(node: Any) -> Iterator[str]:
    for name, each in node.get("$defs", {}).items():
        yield from (f"{name}.{key}" for key in each["properties"])
    yield from node["properties"]


def test_every_key_is_documented() -> None:
    page = (ROOT / "docs/rest-sources.md").read_text()
    missing = [key for key in keys(json.loads(schema())) if f"`{key.rpartition('.')[2]}`" not in page]
    assert not missing


def test_the_documented_example_is_valid() -> None:
    page = (ROOT / "docs/rest-sources.md").read_text()
    blocks = [block for block in re.findall(r"```toml\n(.*?)```", page, re.DOTALL) if block.startswith("name =")]
    assert blocks
    for block in blocks:
        read(tomllib.loads(block), "docs/rest-sources.md")
