"""From a configuration file on disk to settings: sources by entry point, secrets from where they are, paths."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
import textwrap
import tomllib
import tracemalloc
from functools import partial
from pathlib import Path

import msgspec
import pytest

from crawlerd.config import toml_batches
from crawlerd.config.file import SINGLE, TABLES
from crawlerd.config.load import Settings, state_dir
from crawlerd.config.load import load as load_with
from crawlerd.config.problems import keys_of
from crawlerd.core.configuration import ImportSpec, InboxSpec, LimitSpec, SpoolSpec
from crawlerd.core.errors import ConfigurationError
from crawlerd.core.outcome import RetryPolicy
from crawlerd.core.schedule_rules import Schedule
from crawlerd.sources import registry
from crawlerd.sources.registry import load as load_entry
from crawlerd.sources.registry import load_source, source_names
from crawlerd.sources.stripe.stripe_api import Connect

load = partial(load_with, registry=registry)

EXAMPLE = Path(__file__).parents[3] / "config" / "crawlerd.example.toml"
SECRET = "sk_live_4eC39HqLyjWDarjtT1zdp7dc"
FILES = {"files": ("20/second", "25/second")}  # Stripe's own limit, and the example's for each endpoint

VALID = """
[daemon]
state_dir = "var"
[accounts.acme]
source = "stripe"
api_key = { env = "CRAWLERD_TEST_KEY" }
[sinks.warehouse]
type = "sqlite"
path = "var/warehouse.db"
[imports.acme]
account = "acme"
sink = "warehouse"
streams = ["customers", "invoices", "customers"]
schedule = "1h"
"""

PLUGIN = """
import msgspec
from crawlerd.source import Limits, Source

class Options(msgspec.Struct):
    region: str = "eu"

limited = Source(
    "limited",
    base_url="https://limited.example",
    streams=["things"],
    limits=Limits(
        ["100/second"], bucket=["25/second"], by_bucket={"search": ["20/second", "9/second"]}, concurrency=4
    ),
    options=Options,
)
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A valid configuration, read from another directory than its own."""
    monkeypatch.setenv("CRAWLERD_TEST_KEY", SECRET)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    path = tmp_path / "crawlerd.toml"
    path.write_text(VALID)
    return path


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A third party's source, installed beside crawlerd."""
    site = tmp_path / "site"
    metadata = site / "limited-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: limited\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[crawlerd.sources]\nlimited = crawlerd_test_limited:limited\n")
    module = site / "crawlerd_test_limited.py"
    module.write_text(PLUGIN)
    monkeypatch.syspath_prepend(site)
    monkeypatch.delitem(sys.modules, "crawlerd_test_limited", raising=False)
    return module


def problems_of(file: Path) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(file)
    return [re.sub(rf"^{re.escape(str(file))}(:\d+)?: ", "", problem) for problem in caught.value.problems]


def edit(file: Path, old: str, new: str) -> Path:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    return file


def with_key(file: Path, reference: str) -> Path:
    return edit(file, '{ env = "CRAWLERD_TEST_KEY" }', reference)


def secret_of(settings: Settings) -> str:
    return settings.accounts["acme"].secret


def test_a_valid_file_becomes_settings(file: Path) -> None:
    settings = load(file)
    stripe = load_source("stripe")
    assert settings.daemon.state_dir == file.parent / "var"
    assert settings.daemon.listen == ("127.0.0.1", 9464)
    assert settings.daemon.worker_processes == len(os.sched_getaffinity(0))
    assert settings.daemon.visibility_seconds == 300
    assert settings.daemon.max_worker_memory_bytes == 1024 * 1024 * 1024
    account = settings.accounts["acme"]
    assert (account.name, account.source, account.base_url, account.secret) == (
        "acme",
        "stripe",
        stripe.base_url,
        SECRET,
    )
    assert (account.request_seconds, account.max_body_bytes) == (60, 64 * 1024 * 1024)
    assert account.retry == RetryPolicy(8, 0.5, 300)
    assert settings.limits["acme"] == LimitSpec(
        limits=stripe.limits.account,
        bucket_limits=stripe.limits.bucket,
        by_bucket={"files": ("20/second",)},
        concurrency=stripe.limits.concurrency,
    )
    assert settings.sources == {"stripe": stripe}
    assert settings.sinks["warehouse"].path == file.parent / "var" / "warehouse.db"
    assert settings.imports == {
        "acme": ImportSpec(
            name="acme",
            account="acme",
            sink="warehouse",
            streams=("customers", "invoices"),
            schedule=Schedule(text="1h"),
            priority=None,
            options=Connect(),
        )
    }


def test_what_the_account_sets_goes_before_what_the_source_has(file: Path) -> None:
    own = 'limits = ["5/second", "500/day"]\nconcurrency = 2\nbucket_limits = { default = "3/second", customers = [] }'
    edit(file, '"stripe"', f'"stripe"\n{own}\nsmooth = false\nweight = 3\nattempts = 2\nretry_base = "2s"')
    edit(
        file,
        'state_dir = "var"',
        'state_dir = "/srv/state"\nworker_processes = 7\nlisten = "[::]:0"\nallow_remote = true',
    )
    settings = load(edit(file, '"customers", "invoices", "customers"', '"*"'))
    assert settings.limits["acme"] == LimitSpec(
        limits=("5/second", "500/day"),
        bucket_limits=("3/second",),
        by_bucket={"customers": (), "files": ("20/second", "3/second")},
        concurrency=2,
        smooth=False,
        weight=3,
    )
    assert settings.accounts["acme"].retry == RetryPolicy(2, 2.0, 300, max_wait=86_400)  # of the day
    assert (settings.daemon.state_dir, settings.daemon.worker_processes) == (Path("/srv/state"), 7)
    assert settings.daemon.listen == ("::", 0)
    assert settings.imports["acme"].streams == load_source("stripe").streams


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize(
    ("own", "bucket_limits", "by_bucket"),
    [
        ("", ("25/second",), {"search": ("20/second", "9/second")}),
        ('bucket_limits = "9 per 1 second"', ("9 per 1 second",), {"search": ("20/second", "9 per 1 second")}),
        ('bucket_limits = { search = "50/second" }', ("25/second",), {"search": ("50/second",)}),
        ('bucket_limits = { default = "5/second", search = [] }', ("5/second",), {"search": ()}),
        ("bucket_limits = []", (), {"search": ("20/second", "9/second")}),
    ],
)
def test_a_limit_that_only_the_source_knows_holds_beside_the_accounts(
    file: Path, own: str, bucket_limits: tuple[str, ...], by_bucket: dict[str, tuple[str, ...]]
) -> None:
    edit(file, 'source = "stripe"', f'source = "limited"\nregion = "us"\n{own}')
    settings = load(edit(file, '"customers", "invoices", "customers"', '"*"'))
    limits = settings.limits["acme"]
    assert (limits.bucket_limits, limits.by_bucket, limits.concurrency) == (bucket_limits, by_bucket, 4)
    assert settings.accounts["acme"].options == {"region": "us"}
    assert settings.imports["acme"].streams == ("things",)


def test_a_source_that_cannot_be_imported_is_a_problem_of_its_account(file: Path, plugin: Path) -> None:
    plugin.write_text("import crawlerd_no_such_module")
    problems = problems_of(edit(file, '"stripe"', '"limited"'))
    assert len(problems) == 1
    assert problems[0].startswith("accounts.acme.source: ")
    assert "crawlerd_no_such_module" in problems[0]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            '["100/second"]',
            '["1/second", "0/day"]',
            '"0/day" permits nothing; write for example "1/second"',
        ),
        ('bucket=["25/second"]', 'bucket="0/second"', '"0/second" permits nothing; write for'),
        ('"search": ["20/second", "9/second"]', '"search": "fast"', '"fast" is not a limit; write for example'),
    ],
)
def test_a_source_whose_own_limits_are_none_is_a_problem_of_its_accounts(
    file: Path, plugin: Path, old: str, new: str, problem: str
) -> None:
    edit(plugin, old, new)
    edit(file, 'source = "stripe"', 'source = "limited"')
    file.write_text(file.read_text() + '\n[accounts.second]\nsource = "limited"\n')
    found = [each for each in problems_of(file) if ".source: " in each]
    assert [each.split(": ")[0] for each in found] == ["accounts.acme.source", "accounts.second.source"]
    assert all(f'the limits of the source "limited" cannot be used: {problem}' in each for each in found)


def test_a_source_may_have_one_limit_by_itself(file: Path, plugin: Path) -> None:
    edit(plugin, 'bucket=["25/second"]', 'bucket="25/second"')
    edit(file, 'source = "stripe"', 'source = "limited"')
    edit(file, 'streams = ["customers", "invoices", "customers"]', 'streams = ["things"]')
    assert load(file).limits["acme"].bucket_limits == ("25/second",)


@pytest.mark.parametrize("path", ["var/frontier.db", "x/../var/./frontier.db", "{}/frontier.db"])
def test_no_sink_may_be_the_frontier(file: Path, path: str) -> None:
    """However it is written."""
    (file.parent / "x").mkdir()
    (file.parent / "var").mkdir()
    (file.parent / "link").symlink_to("var")
    edit(file, 'path = "var/warehouse.db"', f'path = "{path.format(file.parent / "link")}"')
    assert problems_of(file) == ["sinks.warehouse.path: is the frontier's own database; take another file"]


OWN = "would write among the frontier's own files; take another path"
SAME_PATH = "is the path of sinks.first as well; use one for both"
SAME_FILE = "keeps its records in the same file as sinks.first; take another path"


@pytest.mark.parametrize(
    ("first", "second", "problem"),
    [
        *(
            (("sqlite", "first.db"), ("sqlite", f"var/{name}"), OWN)
            for name in ("frontier.id", "frontier.db-wal", "frontier.db.replaced", "lock", "x/../crawlerd.sock")
        ),
        (("sqlite", "first.db"), ("jsonl", "var"), OWN),
        (("sqlite", "first.db"), ("persist-queue", "link/../var/"), OWN),
        (("jsonl", "a"), ("jsonl", "a"), SAME_PATH),
        (("jsonl", "a"), ("persist-queue", "./x/../a/"), SAME_PATH),
        (("sqlite", "a"), ("jsonl", "a"), SAME_PATH),
        (("jsonl", "a"), ("sqlite", "a/.crawlerd.db"), SAME_FILE),
        (("persist-queue", "a"), ("sqlite", "./a/data.db"), SAME_FILE),
        (("sqlite", "a/data.db"), ("persist-queue", "a"), SAME_FILE),
        (("sqlite", "a.db"), ("sqlite", "x/../a.db"), None),
        (("jsonl", "a"), ("sqlite", "a/other.db"), None),
        (("jsonl", "var/files"), ("sqlite", "var/data.db"), None),
        (("jsonl", "a"), ("persist-queue", "b"), None),
    ],
)
def test_no_sink_writes_into_the_files_of_others(
    file: Path, first: tuple[str, str], second: tuple[str, str], problem: str | None
) -> None:
    """However their paths are written."""
    (file.parent / "x").mkdir()
    (file.parent / "var").mkdir()
    (file.parent / "link").symlink_to("x")
    with file.open("a") as added:
        for name, (kind, path) in {"first": first, "second": second}.items():
            added.write(f'\n[sinks.{name}]\ntype = "{kind}"\npath = "{path}"\n')
    if problem:
        assert problems_of(file) == [f"sinks.second.path: {problem}"]
    else:
        assert load(file).sinks.keys() == {"warehouse", "first", "second"}


@pytest.mark.parametrize(
    ("tables", "problems"),
    [
        ('[inbox]\npath = "in"\nimport = "acme"\n[dead_letters]\nspool = "out"', []),
        ("[inbox]\n[dead_letters]", []),
        (
            '[inbox]\npath = "in"',
            ["inbox: import is missing: an inbox has a path, and the import that its tasks belong to"],
        ),
        (
            '[inbox]\nimport = "acme"',
            ["inbox: path is missing: an inbox has a path, and the import that its tasks belong to"],
        ),
        ('[inbox]\npath = "in"\nimport = "acm"', ['inbox.import: there is no [imports.acm]; did you mean "acme"?']),
        ('[inbox]\npath = "in"\nimport_name = "acme"', ['inbox.import_name: unknown key; did you mean "import"?']),
        (
            '[inbox]\npath = "in"\nimport = "acme"\nmode = 660',
            ['inbox.mode: must be the rights of a file in quotes, such as "0640", "0600" or "0660"'],
        ),
        (
            '[inbox]\npath = "in"\nimport = "acme"\n[dead_letters]\nspool = "x/../in/"',
            ["inbox.path: is dead_letters.spool; a queue needs a directory of its own"],
        ),
        (
            '[dead_letters]\nspool = "link"',
            ["dead_letters.spool: is the state directory; a queue needs a directory of its own"],
        ),
        (
            '[dead_letters]\nspool = "q"\n[sinks.q]\ntype = "persist-queue"\npath = "q"',
            ["dead_letters.spool: is the path of sinks.q; a queue needs a directory of its own"],
        ),
        (
            '[dead_letters]\nspool = "q"\n[sinks.q]\ntype = "sqlite"\npath = "q/data.db"',
            ["dead_letters.spool: is the directory of sinks.q; a queue needs a directory of its own"],
        ),
    ],
)
def test_the_queues_of_other_programs(file: Path, tables: str, problems: list[str]) -> None:
    for name in ("x", "var"):
        (file.parent / name).mkdir()
    (file.parent / "link").symlink_to("var")
    with file.open("a") as added:
        added.write(f"\n{tables}\n")
    if problems:
        assert problems_of(file) == problems
        return
    settings = load(file)
    if "spool" in tables:
        assert settings.inbox == InboxSpec(file.parent / "in", "acme", 0o600)
        assert settings.spool == SpoolSpec(file.parent / "out", 0o600)
    else:
        assert settings.inbox is settings.spool is None


def test_a_source_that_is_not_installed(file: Path) -> None:
    assert problems_of(edit(file, '"stripe"', '"strype"')) == [
        'accounts.acme.source: there is no source "strype"; did you mean "stripe"?'
    ]


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_a_secret_comes_from_a_file_beside_the_configuration(file: Path, ending: str) -> None:
    (file.parent / "acme.key").write_bytes((SECRET + ending).encode())
    assert secret_of(load(with_key(file, '{ file = "acme.key" }'))) == SECRET


def test_a_secret_comes_from_a_credential(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_key(file, '{ credential = "acme-stripe" }')
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert problems_of(file) == [
        "accounts.acme.api_key: credentials are only available under systemd ($CREDENTIALS_DIRECTORY is not set); "
        "use { env = … } or { file = … }"
    ]
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert problems_of(file) == [
        "accounts.acme.api_key: there is no such credential; LoadCredential=NAME:PATH in the unit puts it into "
        f"{tmp_path}"
    ]
    (tmp_path / "acme-stripe").write_text(SECRET + "\n")
    assert secret_of(load(file)) == SECRET


def test_a_secret_that_is_not_there(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CRAWLERD_TEST_KEY")
    variable = "accounts.acme.api_key: the environment variable CRAWLERD_TEST_KEY is"
    assert problems_of(file) == [f"{variable} not set"]
    monkeypatch.setenv("CRAWLERD_TEST_KEY", "")
    assert problems_of(file) == [f"{variable} empty"]
    with_key(file, '{ file = "elsewhere" }')
    assert problems_of(file) == [
        f"accounts.acme.api_key: {file.parent}/elsewhere cannot be read by user id {os.getuid()}: Is a directory"
    ]
    edit(file, '"elsewhere"', '"empty.key"')
    (file.parent / "empty.key").write_text("\n")
    assert problems_of(file) == ["accounts.acme.api_key: the file is empty"]


@pytest.mark.parametrize("name", [SECRET, f"{SECRET}/x", SECRET * 20])
def test_a_key_in_the_place_of_its_files_name_is_not_quoted(file: Path, name: str) -> None:
    assert problems_of(with_key(file, f'{{ file = "{name}" }}')) == [
        f"accounts.acme.api_key: there is no such file; relative paths start at {file.parent}"
    ]


@pytest.mark.parametrize("key", [f"{SECRET}\n\n", f" {SECRET}", f"{SECRET}\nX-Other: 1", f"{SECRET}é", f"{SECRET}\x00"])
def test_a_secret_that_no_header_can_carry_is_refused_unquoted(file: Path, key: str) -> None:
    (file.parent / "acme.key").write_text(key)
    assert problems_of(with_key(file, '{ file = "acme.key" }')) == [
        "accounts.acme.api_key: the file must contain only the key, on one line, without spaces, in ASCII"
    ]


def test_secrets_are_looked_up_only_when_they_are_needed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CRAWLERD_TEST_KEY")
    assert secret_of(load(file, secrets=False)) == ""


def test_no_secret_is_shown(file: Path) -> None:
    settings = load(file)
    assert secret_of(settings) == SECRET
    assert SECRET not in repr(settings)
    assert SECRET not in str(settings)


def test_missing_secrets_are_told_with_all_other_problems(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CRAWLERD_TEST_KEY")
    edit(file, '"customers", "invoices", "customers"', '"custmers"')
    assert problems_of(edit(file, 'type = "sqlite"', 'typ = "sqlite"')) == [
        "accounts.acme.api_key: the environment variable CRAWLERD_TEST_KEY is not set",
        'sinks.warehouse.type: is missing; write for example type = "sqlite"',
        'sinks.warehouse.typ: unknown key; did you mean "type"?',
        'imports.acme.streams: "custmers" is not a stream of stripe; did you mean "customers"?',
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (
            b"[daemon]\nstate_dir = var\n",
            ":2: is not valid TOML: invalid value; text must stand in quotes (column 13)",
        ),
        (b"[daemon]\n[daemon]\n", ":2: is not valid TOML: Cannot declare ('daemon',) twice (column 8)"),
        (b'state_dir = "\xff"', ": is not UTF-8 text (byte 13)"),
        (b"a = " + b"[" * 5000, ": is not valid TOML: TOML inline arrays/tables are nested more than the allowed"),
    ],
)
def test_a_file_that_is_not_toml(tmp_path: Path, content: bytes, problem: str) -> None:
    file = tmp_path / "crawlerd.toml"
    file.write_bytes(content)
    for read in (load, state_dir):
        with pytest.raises(ConfigurationError) as caught:
            read(file)
        assert len(caught.value.problems) == 1
        assert caught.value.problems[0].startswith(f"{file}{problem}")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for read in (load, state_dir):
        missing = f"No such file or directory (in {tmp_path}); name the configuration file with `crawlerd -c FILE`"
        for path, reason in ((tmp_path / "no.toml", missing), (tmp_path, "Is a directory")):
            with pytest.raises(ConfigurationError) as caught:
                read(path)
            assert caught.value.problems == [f"{path}: cannot be read: {reason}"]


def test_a_byte_order_mark_does_no_harm(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert load(file).daemon.state_dir == state_dir(file) == file.parent / "var"


@pytest.mark.parametrize(
    "content", ["", "daemon = 3", "[daemon]", "[daemon]\nstate_dir = 3", '[daemon]\nstate_dir = " "']
)
def test_the_state_directory_alone_is_checked_too(tmp_path: Path, content: str) -> None:
    file = tmp_path / "crawlerd.toml"
    file.write_text(content)
    with pytest.raises(ConfigurationError) as caught:
        state_dir(file)
    assert caught.value.problems == [f'{file}: daemon.state_dir: must be a path; write state_dir = "/var/lib/crawlerd"']


def test_the_state_directory_alone_is_cheap_and_needs_nothing_else_in_the_file_to_be_right(file: Path) -> None:
    edit(file, '"stripe"', '"no such source"')
    code = """
        import sys
        from pathlib import Path
        from crawlerd.config.load import state_dir

        print(state_dir(Path(sys.argv[1])))
        print(*sys.modules)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(file)], capture_output=True, text=True, check=True, timeout=60
    )
    folder, loaded = run.stdout.splitlines()
    assert folder == str(file.parent / "var")
    heavy = {"pydantic", "limits", "requests", "importlib.metadata", "crawlerd.sources", "crawlerd.config.file"}
    assert not heavy & set(loaded.split())


def test_the_example_is_valid_as_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_STRIPE_KEY", SECRET)
    settings = load(EXAMPLE)
    assert settings.daemon.state_dir == Path("/var/lib/crawlerd")
    assert settings.limits["acme"] == LimitSpec(
        limits=("25/second",), bucket_limits=("25/second",), by_bucket=FILES, concurrency=10
    )
    assert settings.imports["acme"].streams == ("customers", "payment_methods", "invoices")
    assert settings.imports["acme"].schedule == Schedule(text="1h")


def own_keys(kind: str) -> set[str]:
    """What the installed sources let accounts or imports have beside the usual keys; "token" is another name of one."""
    if kind not in ("accounts", "imports"):
        return set()
    options = [
        getattr(load_entry(name), "options" if kind == "accounts" else "import_options", None)
        for name in source_names()
    ]
    fields = [field for each in options if each is not None for field in msgspec.inspect.type_info(each).fields]
    return {"token"} | {field.encode_name for field in fields}


def test_the_example_shows_every_key_and_the_defaults_that_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is behind a "#" without a space is a setting: with all of them, the file is valid and nothing changes."""
    monkeypatch.setenv("ACME_STRIPE_KEY", SECRET)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "keys_globex-stripe").write_text(SECRET)
    monkeypatch.setenv("INITECH_GITHUB_TOKEN", SECRET)
    (tmp_path / "sources").symlink_to(EXAMPLE.with_name("sources"))
    monkeypatch.setenv("MC_KEY", f"{SECRET}-us21")
    monkeypatch.setenv("CRM_TOKEN", SECRET)
    monkeypatch.setenv("REDIS_PASSWORD", SECRET)
    for name in ("HASH_KEY", "ADMIN_TOKEN", "READ_TOKEN", "METRICS_TOKEN"):
        monkeypatch.setenv(name, SECRET)
    monkeypatch.setenv("FRONTIER_URL", f"postgresql://crawlerd:{SECRET}@db.example.com/frontier")
    monkeypatch.setenv("WAREHOUSE_URL", f"postgresql://crawlerd:{SECRET}@db.example.com/warehouse")
    file = tmp_path / "crawlerd.toml"
    file.write_text(re.sub(r"^#(?=\S)", "", EXAMPLE.read_text(), flags=re.MULTILINE))
    shown, plain = load(file), load(EXAMPLE)
    assert shown.daemon == msgspec.structs.replace(
        plain.daemon,
        hash_key=SECRET,
        frontier=shown.daemon.frontier,
        admin_token=SECRET,
        read_token=SECRET,
        metrics_token=SECRET,
    )
    assert shown.accounts["acme"] == plain.accounts["acme"]
    assert shown.limits["acme"] == plain.limits["acme"]
    assert shown.imports["acme"] == plain.imports["acme"]
    assert shown.limits["globex"].by_bucket == {"customers": ("10/second", "10000/day"), **FILES}
    assert set(shown.imports["globex"].streams) == set(load_source("stripe").streams)
    document = tomllib.loads(file.read_text())
    for kind, table in TABLES.items():
        tables = [document[kind]] if kind in SINGLE else document[kind].values()
        shown_keys = set().union(*tables)
        assert shown_keys >= set(keys_of(table)), kind
        assert shown_keys <= set(keys_of(table)) | own_keys(kind), kind


def test_a_limit_that_never_lets_a_task_start_is_refused(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = load_source("stripe")
    kind = source.kinds["stripe.customers"]
    monkeypatch.setitem(source.kinds, "stripe.customers", dataclasses.replace(kind, cost=30))
    file.write_text(
        VALID.replace("[accounts.acme]", '[accounts.acme]\nlimits = ["40/second", "20/minute"]\nbucket_limits = []')
    )
    with pytest.raises(ConfigurationError, match=r'accounts\.acme\.limits: "20/minute" never permits') as caught:
        load(file)
    assert len(caught.value.problems) == 1


def test_a_command_is_started_once_for_all_accounts_also_when_it_fails(file: Path) -> None:
    """It may take half a minute to do so."""
    program, started = file.parent / "key.sh", file.parent / "started"
    program.write_text(f"#!/bin/sh\necho x >> {started}\nexit 3\n")
    program.chmod(0o700)
    reference = f'{{ command = ["{program}"] }}'
    with_key(file, f'{reference}\n[accounts.other]\nsource = "stripe"\napi_key = {reference}')
    wrong = f"the command {program} ended with 3; run it by hand, as this user, to see why"
    assert problems_of(file) == [f"accounts.acme.api_key: {wrong}", f"accounts.other.api_key: {wrong}"]
    assert started.read_text() == "x\n"


def test_a_large_file_is_read_like_a_small_one(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = load(file)
    monkeypatch.setattr(toml_batches, "LARGE", 0)
    assert load(file) == small
    assert state_dir(file) == small.daemon.state_dir


def test_thousands_of_accounts_take_little_memory(file: Path) -> None:
    """As long as they are read; as dictionaries and models, 3,000 of each took 13 MiB."""
    accounts = "".join(
        f'[accounts.a{n}]\nsource = "stripe"\napi_key = {{ env = "CRAWLERD_TEST_KEY" }}\n'
        f'limits = "{n % 7 + 1}/second"\n'
        f'[imports.i{n}]\naccount = "a{n}"\nsink = "warehouse"\nstreams = ["*"]\n'
        for n in range(3000)
    )
    file.write_text(file.read_text() + accounts)
    load(file)  # what is loaded once
    tracemalloc.start()
    try:
        settings = load(file)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(settings.accounts) == len(settings.imports) == 3001
    assert settings.limits["a6"] is settings.limits["a13"]
    assert peak < 6 * 1024 * 1024
