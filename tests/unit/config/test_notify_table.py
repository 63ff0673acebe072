"""`[notify]`: what may stand there, what is refused; a secret that is not there keeps nothing from running."""

from __future__ import annotations

import re
import tomllib
from functools import partial
from pathlib import Path

import pytest

from crawlerd.config.load import load as load_with
from crawlerd.config.notify_table import HOOKS, NotifyTable
from crawlerd.config.value_origins import origins
from crawlerd.core.errors import ConfigurationError
from crawlerd.core.notify_spec import USUAL, NotifySpec
from crawlerd.sources import registry

load = partial(load_with, registry=registry)
ROOT = Path(__file__).parents[3]
START = '[daemon]\nstate_dir = "var"\n'
TOKEN = "tok_4eC39HqLyjWDarjt"
SLACK = f"https://hooks.slack.com/services/T0/B0/{TOKEN}"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLACK", SLACK)
    monkeypatch.setenv("TOKEN", TOKEN)
    return tmp_path / "crawlerd.toml"


def spec(file: Path, text: str) -> NotifySpec:
    file.write_text(START + text)
    found = load(file).notify
    assert found is not None
    return found


def problem(file: Path, text: str) -> str:
    file.write_text(START + text)
    with pytest.raises(ConfigurationError) as caught:
        load(file)
    (found,) = caught.value.problems
    assert TOKEN not in found
    return found.partition(": ")[2]


def test_without_a_table_nobody_is_told(file: Path) -> None:
    file.write_text(START)
    assert load(file).notify is None


def test_what_holds_by_default(file: Path) -> None:
    found = spec(file, '[notify.webhook]\nurl = { env = "SLACK" }')
    assert found.on == USUAL
    assert (found.failed_runs, found.stale_seconds, found.wait_seconds, found.every_seconds) == (3, None, 10, 60)
    assert found.webhook is not None
    assert (found.webhook.url, found.webhook.seconds, found.webhook.problem) == (SLACK, 10, "")
    assert found.hooks == ["webhook"]


def test_a_secret_is_not_shown(file: Path) -> None:
    found = spec(file, '[notify.webhook]\nurl = { env = "SLACK" }\ntoken = { env = "TOKEN" }')
    assert TOKEN not in repr(found)
    for each in origins(file, registry):
        assert TOKEN not in str(each)
    shown = {each.key: each.value for each in origins(file, registry, "notify")}
    assert shown["notify.webhook.url"] == {"env": "SLACK"}
    assert shown["notify.every"] == "1m"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('on = ["failled"]', 'notify.on: "failled" is not an event; did you mean "failed"?'),
        ("on = []", 'notify.on: must be a list of events, such as ["failed", "stale"]'),
        ("failed_runs = 0", "notify.failed_runs: must be 1 or more"),
        ('webhok = { url = "x" }', 'notify.webhok: unknown key; did you mean "webhook"?'),
        ("command = { run = [] }", "notify.command.run: must be a program and its arguments"),
        ('command = { run = "mail" }', "notify.command.run: must be a program and its arguments"),
        ('command = { run = ["x"], gets = "xml" }', 'notify.command.gets: must be "text" or "json"'),
        ("webhook = {}", "notify.webhook.url: is missing"),
        ('webhook = { url = "ftp://x/y" }', "notify.webhook.url: must be an address such as"),
        ('webhook = { url = "https://u:p@x.example/y" }', "notify.webhook.url: must not carry a user or password"),
        ("webhook = { url = { env = 3 } }", "notify.webhook.url: must name exactly one place"),
        ('webhook = { url = { command = ["x"], ttl = "1h" } }', "notify.webhook.url: ttl is only for api_key"),
        (f'webhook = {{ url = "{SLACK}" }}', "notify.webhook.url: seems to contain a secret"),
        ('webhook = { url = "https://discord.com/api/webhooks/a/b" }', "notify.webhook.url: seems to contain a secret"),
        (f'webhook = {{ url = "https://x.example/?key={TOKEN}" }}', "notify.webhook.url: seems to contain a secret"),
        (f'webhook = {{ url = "https://x.example/", token = "{TOKEN}" }}', "notify.webhook.token: must not be the key"),
        (
            f'webhook = {{ url = "https://x.example/", headers = {{ Authorization = "Bearer {TOKEN}" }} }}',
            "notify.webhook.headers: Authorization: must not hold the secret itself",
        ),
        ('webhook = { url = "https://x.example/{token}" }', "notify.webhook: contains {token}, but there is no"),
        (
            'webhook = { url = "https://x.example/", body = { text = "{txt}" } }',
            'notify.webhook.body: "txt" is not a field; did you mean "text"?',
        ),
        (
            'webhook = { url = "https://x.example/", body = { channel = "ops" } }',
            "for literal text, write \"'ops'\"",
        ),
    ],
)
def test_what_is_wrong_is_told_in_plain_words(file: Path, line: str, told: str) -> None:
    hook = "" if re.match("webhook|command", line) else '[notify.command]\nrun = ["true"]\n'
    assert told in problem(file, f"[notify]\n{line}\n{hook}")


def test_a_table_that_tells_nobody_is_refused(file: Path) -> None:
    assert "notify: has no hook" in problem(file, "[notify]\nfailed_runs = 2")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ('{ env = "NOT_SET" }', "url: the environment variable NOT_SET is not set"),
        ('{ file = "gone" }', "url: there is no such file"),
        ('{ env = "TOKEN" }', "url: the referenced value must be an address"),
        ('{ env = "PLAIN" }', "url: must begin with https://"),
    ],
)
def test_a_hook_that_cannot_be_used_is_a_warning(
    file: Path, monkeypatch: pytest.MonkeyPatch, url: str, told: str
) -> None:
    monkeypatch.setenv("PLAIN", f"http://chat.example/{TOKEN}")
    found = spec(file, f"[notify.webhook]\nurl = {url}")
    assert found.webhook is not None
    assert found.webhook.problem.startswith(told)
    (warning,) = load(file).warnings
    assert warning.startswith(f"notify.webhook.{told}")
    assert TOKEN not in warning


def test_where_no_secrets_are_looked_up_none_is_missed(file: Path) -> None:
    file.write_text(f'{START}[notify.webhook]\nurl = {{ env = "NOT_SET" }}')
    found = load(file, secrets=False)
    assert found.warnings == ()


def test_every_key_is_documented_and_in_the_example() -> None:
    page = (ROOT / "docs/reference.md").read_text()
    rows = dict(re.findall(r"^\| `(notify\.\S+)` \| [^|]+ \| ([^|]+) \|", page, re.MULTILINE))
    example = (ROOT / "config/crawlerd.example.toml").read_text()
    shown = tomllib.loads(re.sub(r"^#(?=\S)", "", example[example.index("#[notify]") :], flags=re.MULTILINE))["notify"]
    keys = {f"notify.{key}": field for key, field in NotifyTable.model_fields.items() if key not in HOOKS}
    assert set(keys) == {f"notify.{key}" for key in shown if key not in HOOKS}
    for name, model in HOOKS.items():
        keys |= {f"notify.{name}.{key}": field for key, field in model.model_fields.items()}
        assert set(shown[name]) == set(model.model_fields)
    assert set(rows) == set(keys)
    for key, field in keys.items():
        if field.is_required():
            assert rows[key] == "required"
        elif field.default is None:
            assert rows[key] == "none"
        else:
            assert tomllib.loads(f"value = {rows[key].strip('`')}")["value"] == field.default, key


def test_the_tables_of_the_how_to_are_valid(file: Path) -> None:
    page = (ROOT / "docs/how-to/notifications.md").read_text()
    tables = re.findall(r"^ *```toml\n(.*?)^ *```", page, re.MULTILINE | re.DOTALL)
    assert len(tables) >= 6
    for each in tables:
        file.write_text(START + re.sub(r"^ +", "", each, flags=re.MULTILINE))
        assert load(file, secrets=False).notify is not None
