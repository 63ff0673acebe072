"""The configuration's rules: what each key may be, and what its author is told when it is not."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from crawlerd.config.facts import SourceFacts
from crawlerd.config.file import SINGLE, TABLES
from crawlerd.config.problems import keys_of
from crawlerd.config.validation import Checked, parse
from crawlerd.core import notation
from crawlerd.core.errors import ConfigurationError
from crawlerd.sources.registry import load, source_names

REFERENCE_PAGE = Path(__file__).parents[3] / "docs" / "reference.md"
SECRET = "sk_live_4eC39HqLyjWDarjtT1zdp7dc"
WRITE = 'write api_key = { env = "ACME_STRIPE_KEY" } or { file = "/a/path" } or { credential = "name" }'
WRITE += ' or { command = ["/a/program"] }'

VALID = """
[daemon]
state_dir = "var"
[accounts.acme]
source = "stripe"
api_key = { env = "ACME_KEY" }
[sinks.warehouse]
type = "sqlite"
path = "warehouse.db"
[imports.acme]
account = "acme"
sink = "warehouse"
streams = ["customers", "invoices"]
"""


class Options(msgspec.Struct):
    """What an account of the source `optional` may set."""

    region: str = "eu"
    page_size: int = 100


@dataclass
class Shape:
    """The same as a dataclass, with a field that must be set."""

    tenant: str


class Delivery(msgspec.Struct, rename="kebab"):
    """What an import of the source `delivering` may set."""

    deliver_to: str
    copies: dict[str, str] = {}
    batch: int = 100

    def accounts(self) -> list[str]:
        return [self.deliver_to, *self.copies.values(), "somewhere" if self.batch == 13 else self.deliver_to]

    def needs_sink(self) -> bool:
        return self.batch == 1


SOURCES = {
    "delivering": SourceFacts(
        streams=("things",), base_url="https://things.example", needs_key=False, import_options=Delivery
    ),
    "stripe": SourceFacts(
        streams=("customers", "invoices", "charges"), base_url="https://api.stripe.com", buckets={"customers", "search"}
    ),
    "homeless": SourceFacts(streams=("things",)),
    "public": SourceFacts(streams=("things",), base_url="https://public.example", needs_key=False),
    "optional": SourceFacts(base_url="https://optional.example", options=Options),
    "shaped": SourceFacts(base_url="https://shaped.example", options=Shape),
}


class FakeEnvironment:
    """An environment in which these sources are installed and every secret but one is there."""

    def source(self, name: str) -> SourceFacts:
        if name not in SOURCES:
            raise ValueError(f'there is no source "{name}"')
        return SOURCES[name]

    def secret(self, place: str, name: str) -> str:
        if name == "MISSING":
            raise ValueError("the environment variable MISSING is not set")
        return f"{place}:{name}"


def read(toml: str) -> Checked:
    return parse(tomllib.loads(toml), "crawlerd.toml", FakeEnvironment())


def problems_of(document: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        parse(document, "crawlerd.toml", FakeEnvironment())
    return caught.value.problems


def with_(table: str, line: str) -> str:
    """VALID, with a line of a table set or added."""
    key = line.partition("=")[0].strip()
    head, mark, rest = VALID.partition(f"[{table}]\n")
    own, bracket, others = rest.partition("\n[")
    kept = [each for each in own.splitlines() if each.partition("=")[0].strip() != key]
    return head + mark + "\n".join([*kept, line]) + bracket + others


def test_what_is_not_set_has_its_default() -> None:
    config = read(VALID)
    assert config.daemon.model_dump() == {
        "state_dir": "var",
        "listen": ("127.0.0.1", 9464),
        "allow_remote": False,
        "allowed_hosts": (),
        "admin_token": SecretStr(""),
        "read_token": SecretStr(""),
        "metrics_token": SecretStr(""),
        "page": True,
        "read_only": False,
        "root_path": "",
        "trusted_proxies": (),
        "socket": "",
        "worker_processes": 0,
        "threads_per_process": 16,
        "drain_seconds": 30,
        "visibility_timeout": 300,
        "max_worker_memory_mb": 1024,
        "metrics_imports": 100,
        "log_level": "info",
        "log_format": "text",
        "time_zone": "UTC",
        "catch_up_spread": 600,
        "limiter_storage": "",
        "limiter_password": SecretStr(""),
        "hash_key": SecretStr(""),
        "frontier": SecretStr(""),
    }
    account = config.accounts["acme"]
    assert account.api_key.get_secret_value() == "env:ACME_KEY"
    assert account.base_url == "https://api.stripe.com"
    assert account.usual.model_dump(exclude={"api_key", "base_url"}) == {
        "source": "stripe",
        "limits": None,
        "bucket_limits": None,
        "concurrency": None,
        "smooth": True,
        "weight": 1,
        "request_timeout": 60,
        "max_body_mb": 64,
        "attempts": 8,
        "retry_base": 0.5,
        "retry_cap": 300,
        "max_wait": 3600,
        "give_up_after": 86_400,
    }
    assert account.options == {}
    assert config.imports["acme"].usual.model_dump(exclude={"account"}) == {
        "sink": "warehouse",
        "streams": ("customers", "invoices"),
        "schedule": None,
        "time_zone": None,
        "jitter": None,
        "catch_up": "once",
        "full_every": None,
        "deadline": None,
        "priority": None,
        "keep_runs": {"count": 100, "days": 90},
        "fields": {},
    }


@pytest.mark.parametrize(
    ("table", "line", "value"),
    [
        ("daemon", 'listen = "[::1]:0"', ("::1", 0)),
        ("daemon", "drain_seconds = 0.5", 0.5),
        ("accounts.acme", 'base_url = "http://127.0.0.1:8080/"', "http://127.0.0.1:8080"),
        ("accounts.acme", 'base_url = "http://[::1]:8080"', "http://[::1]:8080"),
        ("accounts.acme", 'base_url = "http://localhost"', "http://localhost"),
        ("accounts.acme", 'limits = "25/second; 10000/day"', ("25/second", "10000/day")),
        ("accounts.acme", 'limits = ["25/second", "100 per minute"]', ("25/second", "100 per minute")),
        ("accounts.acme", 'limits = ["25/second", "25 per 1 second"]', ("25 per 1 second",)),
        ("accounts.acme", "limits = []", ()),
        ("accounts.acme", 'bucket_limits = "25/second"', {"default": ("25/second",)}),
        ("accounts.acme", 'bucket_limits = ["9/second", "99/day"]', {"default": ("9/second", "99/day")}),
        (
            "accounts.acme",
            'bucket_limits = { default = "25/second", search = ["20/second", "1000/day"] }',
            {"default": ("25/second",), "search": ("20/second", "1000/day")},
        ),
        ("imports.acme", 'streams = ["*"]', ("*",)),
        ("imports.acme", 'schedule = "1h30m"', "1h30m"),
        ("imports.acme", 'schedule = "every monday at 03:00"', "every monday at 03:00"),
        ("imports.acme", 'deadline = "2h"', 7200),
        ("imports.acme", "priority = 0", 0),
        ("imports.acme", 'priority = "auto"', None),
    ],
)
def test_every_way_to_write_a_value(table: str, line: str, value: object) -> None:
    kind, _, name = table.partition(".")
    section = getattr(read(with_(table, line)), kind)
    found, key = section[name] if name else section, line.partition(" ")[0]
    assert getattr(found if hasattr(found, key) else found.usual, key) == value


@pytest.mark.parametrize(
    ("table", "line", "problem"),
    [
        ("daemon", "state_dir = 3", "daemon.state_dir: must be text in quotes, not a number"),
        ("daemon", 'state_dir = " "', "daemon.state_dir: must be a path"),
        *(
            (
                "daemon",
                f'listen = "{listen}"',
                'daemon.listen: must be "host:port", such as "127.0.0.1:9464" or "[::1]:9464"; port 0 takes any free '
                "one",
            )
            for listen in (
                "9464",
                ":9464",
                "localhost:",
                "localhost:http",
                "localhost:65536",
                "::1:9464",
                "h:-1",
                "h:٣",
            )
        ),
        ("daemon", 'worker_processes = "4"', "daemon.worker_processes: must be a whole number, not text"),
        ("daemon", "worker_processes = true", "daemon.worker_processes: must be a whole number, not true or false"),
        ("daemon", "worker_processes = -1", "daemon.worker_processes: must be 0 or more"),
        ("daemon", "threads_per_process = 1001", "daemon.threads_per_process: must be 1000 or less"),
        ("daemon", "drain_seconds = nan", "daemon.drain_seconds: must be a finite number"),
        ("daemon", "drain_seconds = 1979-05-27", "daemon.drain_seconds: must be a number, not a date or time"),
        (
            "daemon",
            "visibility_timeout = 300",
            'daemon.visibility_timeout: must be a duration in quotes, such as "30s", "15m", "1h30m" or "1d"',
        ),
        (
            "daemon",
            'visibility_timeout = "5 min"',
            'daemon.visibility_timeout: "5 min" is not a duration; write for example "30s", "15m", "1h30m" or "1d"',
        ),
        (
            "daemon",
            'visibility_timeout = "99999999999s"',
            'daemon.visibility_timeout: "99999999999s" is too long; the longest duration is "365d"',
        ),
        *(
            (
                "daemon",
                f'limiter_storage = "{address}"',
                'daemon.limiter_storage: must be the address of a Redis, such as "redis://127.0.0.1:6379/0"',
            )
            for address in ("localhost:6379", "memory://", "redis://", "redis://a b")
        ),
        ("daemon", 'log_level = "loud"', 'daemon.log_level: must be "debug", "info", "warning" or "error"'),
        (
            "daemon",
            "treads_per_process = 1",
            'daemon.treads_per_process: unknown key; did you mean "threads_per_process"?',
        ),
        (
            "sinks.warehouse",
            "compress = true",
            "sinks.warehouse.compress: unknown key; known: accepted, account, attempts, batch, columns, database, "
            "expires, fields, gzip, method, mode, path, records, retain_files, retain_tombstones, retry_delay, "
            "rotate_every, rotate_mb, schema_name, tombstones, type, url",
        ),
        (
            "sinks.warehouse",
            'type = "postgres"',
            'sinks.warehouse.type: must be "sqlite", "jsonl", "persist-queue", "stdout", "http" or "postgresql"',
        ),
        (
            "sinks.warehouse",
            "gzip = true",
            'sinks.warehouse.gzip: is for sinks of the type "jsonl"; this one is "sqlite"',
        ),
        (
            "sinks.warehouse",
            'rotate_every = "1m"\nrotate_mb = 0',
            "sinks.warehouse.rotate_mb: must be 1 or more",
        ),
        (
            "imports.acme",
            'schedule = "every funday at 03:00"',
            'imports.acme.schedule: "funday" is not a day; write "day", "weekday", "weekend" or days such as "monday"',
        ),
        (
            "imports.acme",
            "schedule = 3600",
            'imports.acme.schedule: must be text in quotes, such as "1h", "every day at 03:00" or "*/15 * * * *"',
        ),
        (
            "imports.acme",
            'schedule = "1h"\ntime_zone = "Europe/Berln"',
            'imports.acme.time_zone: "Europe/Berln" is not a time zone such as "Europe/Berlin" or "UTC"; '
            "did you mean Europe/Berlin?",
        ),
        *(
            (
                "imports.acme",
                line,
                f"imports.acme.{line.partition(' ')[0]}: is only for imports with a schedule, and this one has none",
            )
            for line in ('time_zone = "UTC"', 'jitter = "5m"', 'catch_up = "skip"')
        ),
        ("imports.acme", 'catch_up = "all"', 'imports.acme.catch_up: must be "once" or "skip"'),
        ("accounts.acme", "concurency = 1", 'accounts.acme.concurency: unknown key; did you mean "concurrency"?'),
        *(
            (
                "accounts.acme",
                f"concurrency = {number}",
                'accounts.acme.concurrency: must be a whole number from 1 to 10000, or "auto"',
            )
            for number in ("0", "10001", "true", "1.5", '"many"')
        ),
        (
            "accounts.acme",
            'limits = "10/minute burst 15"',
            'accounts.acme.limits: "10/minute burst 15" is not a limit: only one of seconds may have a burst, as '
            '"10/second burst 15"',
        ),
        ("accounts.acme", "weight = 0", "accounts.acme.weight: must be 0.001 or more"),
        ("accounts.acme", 'smooth = "yes"', "accounts.acme.smooth: must be true or false, not text"),
        ("accounts.acme", 'source = "strype"', 'accounts.acme.source: there is no source "strype"'),
        *(
            (
                "accounts.acme",
                f'base_url = "{url}"',
                'accounts.acme.base_url: must be an address such as "https://api.example.com", without "?" and "#"',
            )
            for url in ("api.stripe.com", "ftp://host", "https://", "https://h:99999", "https://h/?a=b", "https://h /")
        ),
        *(
            (
                "accounts.acme",
                f'base_url = "{url}"',
                "accounts.acme.base_url: must begin with https:// (http:// would send the key in clear; it is for "
                "localhost only)",
            )
            for url in ("http://api.stripe.com", "http://localhost.evil.example", "http://10.0.0.1", "http://0.0.0.0")
        ),
        ("accounts.acme", "base_url = 5", "accounts.acme.base_url: must be text in quotes, not a number"),
        *(
            (
                "accounts.acme",
                f'limits = "{limit}"',
                f'accounts.acme.limits: "{limit}" is not a limit; write for example "25/second", "100/10 seconds", '
                '"10000/day" or "10/second burst 15"',
            )
            for limit in ("25/sec", "-1/second", "fast", "", "1/100ms", "1.5/second")
        ),
        *(
            (
                "accounts.acme",
                f'limits = ["{limit}"]',
                f'accounts.acme.limits: "{limit}" permits nothing; write for example "1/second"',
            )
            for limit in ("0/second", "5/0 seconds", "00 per day", "5/second burst 0")
        ),
        *(
            (
                "accounts.acme",
                f'limits = "{limit}"',
                f'accounts.acme.limits: "{limit}" is more than 100,000 a second, which holds nothing back; leave it '
                "out",
            )
            for limit in (
                "100001/second",
                "99999999999999999999/second",
                "9" * 30 + "/minute",
                "9999999/second burst 9",
            )
        ),
        (
            "accounts.acme",
            "limits = 25",
            'accounts.acme.limits: must be a limit in quotes, such as "25/second", or a list of such',
        ),
        (
            "accounts.acme",
            'bucket_limits = { serch = "20/second" }',
            'accounts.acme.bucket_limits.serch: is not a bucket of stripe; did you mean "search"?',
        ),
        (
            "accounts.acme",
            'bucket_limits = { search = "20/s" }',
            'accounts.acme.bucket_limits.search: "20/s" is not a limit; write for example "25/second", "100/10 '
            'seconds", "10000/day" or "10/second burst 15"',
        ),
        (
            "accounts.acme",
            'request_timeout = "5m"',
            "accounts.acme.request_timeout: must be shorter than daemon.visibility_timeout, or a slow request is given "
            "to a second worker",
        ),
        ("accounts.acme", 'retry_base = "6m"', "accounts.acme.retry_base: must not be longer than retry_cap"),
        (
            "accounts.acme",
            f'api_key = "{SECRET}"',
            f"accounts.acme.api_key: must not be the key itself, which should not be in this file; {WRITE}",
        ),
        *(
            (
                "accounts.acme",
                f"api_key = {reference}",
                f"accounts.acme.api_key: must name exactly one place to take the key from; {WRITE}",
            )
            for reference in ("{}", "7", '{ env = "A", file = "b" }', '{ vault = "x" }', "{ env = 3 }", '["A"]')
        ),
        (
            "accounts.acme",
            f'api_key = {{ env = "{SECRET}" }}',
            'accounts.acme.api_key: env must name an environment variable in upper case, such as "ACME_STRIPE_KEY"',
        ),
        (
            "accounts.acme",
            'api_key = { credential = "../key" }',
            "accounts.acme.api_key: credential must be a name as in LoadCredential=NAME:PATH of the systemd unit",
        ),
        ("accounts.acme", 'api_key = { file = "" }', "accounts.acme.api_key: must be a path"),
        (
            "accounts.acme",
            'api_key = { env = "MISSING" }',
            "accounts.acme.api_key: the environment variable MISSING is not set",
        ),
        ("imports.acme", 'account = "amce"', 'imports.acme.account: there is no [accounts.amce]; did you mean "acme"?'),
        ("imports.acme", 'sink = "lake"', "imports.acme.sink: there is no [sinks.lake]; known: warehouse"),
        (
            "imports.acme",
            'streams = ["custmers"]',
            'imports.acme.streams: "custmers" is not a stream of stripe; did you mean "customers"?',
        ),
        *(
            (
                "imports.acme",
                f"streams = {streams}",
                'imports.acme.streams: must be a list of stream names, such as ["customers"], or ["*"] for all',
            )
            for streams in ('"customers"', "[]", "true")
        ),
        ("imports.acme", "streams = [3]", "imports.acme.streams: must be text in quotes, not a number"),
        *(
            (
                "imports.acme",
                f"priority = {priority}",
                'imports.acme.priority: must be "auto" or a whole number from 0 (first) to 9 (last)',
            )
            for priority in ("10", "-1", '"high"', "true", "1.0")
        ),
    ],
)
def test_a_wrong_value_is_told_in_plain_words(table: str, line: str, problem: str) -> None:
    assert problems_of(tomllib.loads(with_(table, line))) == [f"crawlerd.toml: {problem}"]


def test_what_is_missing_is_told_with_an_example() -> None:
    document: dict[str, Any] = {"accounts": {"a": {}}, "sinks": {"s": {}}, "imports": {"i": {}}}
    assert problems_of(document) == [
        'crawlerd.toml: daemon.state_dir: is missing; write for example state_dir = "/var/lib/crawlerd"',
        'crawlerd.toml: accounts.a.source: is missing; write for example source = "stripe"',
        'crawlerd.toml: sinks.s.type: is missing; write for example type = "sqlite"',
        'crawlerd.toml: sinks.s.path: is missing; write for example path = "/var/lib/crawlerd/warehouse.db"',
        'crawlerd.toml: imports.i.account: is missing; write for example account = "acme"',
        'crawlerd.toml: imports.i.sink: is missing; write for example sink = "warehouse"',
        'crawlerd.toml: imports.i.streams: is missing; write for example streams = ["*"]',
    ]
    document = tomllib.loads(VALID)
    del document["accounts"]["acme"]["api_key"]
    assert problems_of(document) == [f"crawlerd.toml: accounts.acme.api_key: is missing; {WRITE}"]


def test_a_source_without_credentials_needs_no_key() -> None:
    config = read(
        VALID.replace('"stripe"\napi_key = { env = "ACME_KEY" }', '"public"').replace(
            '"customers", "invoices"', '"things"'
        )
    )
    assert config.accounts["acme"].api_key.get_secret_value() == ""


def test_a_source_without_an_address_needs_one() -> None:
    homeless = VALID.replace('"stripe"', '"homeless"').replace('"customers", "invoices"', '"things"')
    assert problems_of(tomllib.loads(homeless)) == [
        'crawlerd.toml: accounts.acme.base_url: is missing, and homeless has no default; write base_url = "https://…"'
    ]
    assert read(homeless.replace("source", 'base_url = "https://things.example"\nsource')).accounts["acme"].base_url


def test_tables_and_names_that_are_none() -> None:
    document = tomllib.loads(VALID) | {"deamon": {}, "sinks": 3}
    document["accounts"] |= {"two words": document["accounts"]["acme"], "-x": 7}
    usable = 'is not allowed as a name; use 1 to 63 letters, digits, "_", "." or "-", beginning with a letter or digit'
    assert problems_of(document) == [
        f'crawlerd.toml: accounts."two words": {usable}',
        f"crawlerd.toml: accounts.-x: {usable}",
        "crawlerd.toml: accounts.-x: must be a table, not a number",
        "crawlerd.toml: sinks: must be a table, not a number",
        "crawlerd.toml: imports.acme.sink: there is no [sinks.warehouse]; known: none",
        'crawlerd.toml: deamon: unknown key; did you mean "daemon"?',
    ]


def test_all_problems_come_at_once_whatever_their_kind() -> None:
    document = tomllib.loads(VALID)
    document["daemon"]["log_level"] = "loud"
    document["accounts"]["acme"] |= {"api_key": {"env": "MISSING"}, "concurency": 3, "limits": "0/second"}
    document["imports"]["acme"] |= {"streams": ["custmers", "invoces"], "sink": "lake"}
    where = [problem.split(": ")[1] for problem in problems_of(document)]
    assert where == [
        "daemon.log_level",
        "accounts.acme.api_key",
        "accounts.acme.limits",
        "accounts.acme.concurency",
        "imports.acme.sink",
        "imports.acme.streams",
        "imports.acme.streams",
    ]


def test_an_own_key_of_the_source_is_an_option_and_no_others_are() -> None:
    options = VALID.replace('source = "stripe"', 'source = "optional"\nregion = "us"').replace(
        'streams = ["customers", "invoices"]', 'streams = ["*"]'
    )
    assert read(options).accounts["acme"].options == {"region": "us"}
    assert problems_of(tomllib.loads(options.replace("region", "regin"))) == [
        'crawlerd.toml: accounts.acme.regin: unknown key; did you mean "region"?'
    ]
    assert problems_of(tomllib.loads(options.replace('region = "us"', "page_size = true"))) == [
        'crawlerd.toml: accounts.acme: an option of the source optional is wrong: Expected "int", got "bool" - at '
        '"page_size"'
    ]
    assert problems_of(tomllib.loads(options.replace('"optional"\nregion = "us"', '"shaped"'))) == [
        'crawlerd.toml: accounts.acme: an option of the source shaped is wrong: Object missing required field "tenant"'
    ]


DELIVERING = """
[daemon]
state_dir = "var"
[accounts.acme]
source = "delivering"
[accounts.client]
source = "public"
[imports.acme]
account = "acme"
streams = ["*"]
deliver-to = "client"
"""


def test_an_import_has_the_options_of_its_source_which_may_take_the_place_of_a_sink() -> None:
    config = read(DELIVERING + 'copies = { a = "acme" }')
    assert config.imports["acme"].options == Delivery("client", {"a": "acme"})
    assert config.imports["acme"].usual.sink is None
    assert config.imports["acme"].usual.model_dump().keys() == {
        "account",
        "sink",
        "streams",
        "schedule",
        "time_zone",
        "jitter",
        "catch_up",
        "full_every",
        "deadline",
        "priority",
        "keep_runs",
        "fields",
    }
    assert read(VALID).imports["acme"].options is None


@pytest.mark.parametrize(
    ("line", "problems"),
    [
        ("batch = 1", ['imports.acme.sink: is missing; write for example sink = "warehouse"']),
        ("bach = 1", ['imports.acme.bach: unknown key; did you mean "batch"?']),
        (
            "batch = true",
            ['imports.acme: an option of the source delivering is wrong: Expected "int", got "bool" - at "batch"'],
        ),
        (
            'copies = { a = "clint", b = "client" }',
            ['imports.acme.copies: there is no [accounts.clint]; did you mean "client"?'],
        ),
        ("batch = 13", ["imports.acme: there is no [accounts.somewhere]; known: acme, client"]),
    ],
)
def test_a_wrong_option_of_an_import_is_told_in_plain_words(line: str, problems: list[str]) -> None:
    assert problems_of(tomllib.loads(f"{DELIVERING}\n{line}")) == [f"crawlerd.toml: {problem}" for problem in problems]


def test_every_account_that_an_import_names_must_be_there() -> None:
    document = tomllib.loads(DELIVERING)
    document["imports"]["acme"] |= {"deliver-to": "clint", "copies": {"a": "amce"}}
    assert problems_of(document) == [
        'crawlerd.toml: imports.acme.deliver-to: there is no [accounts.clint]; did you mean "client"?',
        'crawlerd.toml: imports.acme.copies: there is no [accounts.amce]; did you mean "acme"?',
    ]
    document["imports"]["acme"] = {"account": "nobody", "deliver-to": "client", "streams": ["*"], "sink": "s"}
    assert problems_of(document)[0].startswith("crawlerd.toml: imports.acme.account: there is no [accounts.nobody]")


def test_a_long_list_of_names_is_cut_short() -> None:
    document = tomllib.loads(VALID)
    document["accounts"] |= {f"a{number}": document["accounts"]["acme"] for number in range(1000)}
    document["imports"]["acme"]["account"] = "zzz"
    (problem,) = problems_of(document)
    assert problem.endswith(" and 951 more")
    assert len(problem) < 500


def test_a_problem_stays_on_its_line() -> None:
    document = tomllib.loads(VALID)
    document["imports"]["acme"]["schedule"] = "1h\n\x1b[31mred"
    (problem,) = problems_of(document)
    assert r'"1h \x1b[31mred" is not a schedule' in problem


PLACES = st.sampled_from(["api_key", "apikey", "base_url", "weight", "smooth", "concurrency", "attempts", "token"])
NESTINGS = st.sampled_from(
    [
        SECRET,
        [SECRET],
        {"env": SECRET},
        {"value": SECRET},
        {"env": "ACME_KEY", "file": SECRET},
        {"credential": f"{SECRET}/"},
        f"https://{SECRET}@host",
        f"https://host?key={SECRET}",
        f"http://{SECRET}.example",
    ]
)


@given(place=PLACES, value=NESTINGS)
def test_no_problem_quotes_a_key_that_stands_in_the_wrong_place(place: str, value: object) -> None:
    document = tomllib.loads(VALID)
    document["accounts"]["acme"][place] = value
    with pytest.raises(ConfigurationError) as caught:
        parse(document, "crawlerd.toml", FakeEnvironment())
    assert SECRET not in str(caught.value)
    assert not isinstance(caught.value.__context__, ValidationError)  # it would carry the document into a traceback


def test_a_secret_is_not_shown() -> None:
    assert "env:ACME_KEY" not in repr(read(VALID))


SCALARS = st.one_of(
    st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.dates(), st.sampled_from(["5m", "1/day", "acme"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=6), inner, max_size=2),
    max_leaves=4,
)


def tables_of(kind: str) -> st.SearchStrategy[object]:
    """Tables with the right keys and any values, and what is no table at all."""
    keys = st.sampled_from([*TABLES[kind].model_fields, "other"])
    return st.one_of(st.dictionaries(keys, VALUES, max_size=4), VALUES)


DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={"daemon": tables_of("daemon"), "other": VALUES}
    | {
        kind: st.one_of(st.dictionaries(st.text(max_size=3), tables_of(kind), max_size=2), VALUES)
        for kind in ("accounts", "sinks", "imports")
    },
)


@given(DOCUMENTS)
def test_whatever_the_file_holds_its_author_is_told_in_plain_words(document: dict[str, Any]) -> None:
    try:
        parse(document, "crawlerd.toml", FakeEnvironment())
    except ConfigurationError as error:
        for problem in error.problems:
            assert re.match(r"crawlerd\.toml: \S.*: \S", problem)
            assert problem.isprintable()
            assert not re.search(r"[Ii]nput|[Vv]alid |pydantic|instance|dictionary|Value error|_type\b", problem)


@given(
    amount=st.integers(1, 10**5),
    window=st.sampled_from(
        [(1000, "second"), (1000, "minute"), (1000, "hour"), (366, "day"), (12, "month"), (1, "year")]
    ).flatmap(lambda most: st.tuples(st.integers(1, most[0]), st.just(most[1]))),
    form=st.sampled_from(["{}/{} {}", "{} per {} {}", "{} / {} {}s"]),
)
def test_the_notation_of_limits(amount: int, window: tuple[int, str], form: str) -> None:
    text = form.format(amount, *window)
    assert notation.limits(f" {text} ,{10**7}/day; {10**7}/day") == (text, f"{10**7}/day")


def documented() -> dict[str, str]:
    """key: default, from the reference's table."""
    rows = re.findall(r"^\| `(\S+)` \| [^|]+ \| ([^|]+) \| [^|]+ \|$", REFERENCE_PAGE.read_text(), re.MULTILINE)
    return dict(reversed(rows))  # the first one: sources have tables of their own below


def test_every_key_is_documented_with_its_default() -> None:
    keys = {
        f"{kind}.{field}" if kind in SINGLE else f"{kind}.NAME.{field}": known
        for kind, table in TABLES.items()
        for field, known in keys_of(table).items()
    }
    page = {key: default for key, default in documented().items() if key.partition(".")[0] in TABLES}
    loaded = [load(name) for name in source_names()]
    of_sources = {
        f"{kind}.NAME.{field.encode_name}"
        for source in loaded
        for kind, options in (("accounts", source.options), ("imports", getattr(source, "import_options", None)))
        if options is not None
        for field in msgspec.inspect.type_info(options).fields
    }
    assert set(keys) <= set(page) <= set(keys) | of_sources
    for key, known in keys.items():
        if known.is_required() or key == "accounts.NAME.api_key":
            assert page[key] == "required", key
        elif known.default is None:
            assert page[key] in ("the source's", "on demand", "none"), key
        else:
            assert tomllib.loads(f"value = {page[key].strip('`')}")["value"] == known.default, key
