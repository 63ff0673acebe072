"""What `crawlerd init` writes: a commented first configuration with one account, one import and one sink."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from crawlerd.config.csv_tables import with_cells
from crawlerd.config.environment import LocalEnvironment
from crawlerd.config.facts import Context, option_names
from crawlerd.config.file import TABLES
from crawlerd.config.load import load
from crawlerd.config.problems import instead
from crawlerd.config.toml_text import toml_key, toml_value
from crawlerd.core import notation
from crawlerd.core.errors import CrawlerdError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from crawlerd.config.facts import SourceFacts
    from crawlerd.config.load import Registry

WITH_KEY, WITHOUT_KEY = 0o600, 0o644  # permissions of the file
USUAL = {"streams": ["*"], "schedule": "1h"}

START = """\
# What crawlerd imports, and where to. Relative paths start at this file's folder. `crawlerd config check` finds errors
# in it, and `crawlerd config schema` prints its JSON Schema for editors. Lines that begin with "#" and no space are
# settings with their defaults, or examples.

[daemon]
state_dir = "state"                     # the queue on disk; crawlerd makes this folder
#listen = "127.0.0.1:9464"              # /metrics, /healthz, /readyz
#log_level = "info"                     # debug, info, warning, error
#log_format = "text"                    # or "json": an object a line

# An owner of credentials and limits at an API. There may be any number of accounts, each with its imports.
"""
OF_ACCOUNT = """\
#limits = {limits}
#concurrency = 10                       # requests at once, at most
#request_timeout = "60s"                # for one whole request
"""
SINK = """
[sinks.warehouse]
type = "sqlite"                         # or postgresql, jsonl, persist-queue, http: see docs/reference.md
path = "warehouse.db"
"""
COMMENTS = {
    "api_key": "where the key is; never the key itself",
    "streams": "all of them; `crawlerd streams SOURCE` lists them",
    "schedule": "from one start to the next; without it, on demand",
}


class Written(NamedTuple):
    """The file that was written.

    mode: its permissions.
    key_env: the variable that must hold the key, "" if the file does not name one.
    """

    mode: int
    key_env: str


def write_first(
    path: Path, *, source: str, name: str, key: Mapping[str, str], given: Mapping[str, str], registry: Registry
) -> Written:
    """Writes a configuration that is complete and checked, except for its secrets.

    Raises ValueError for a name or a setting that cannot be used, ConfigurationError with everything that is missing or
    wrong, and CrawlerdError if the file exists already or cannot be written. After an error, no file is left.

    path: of a file that must not exist.
    name: of the account and of the import.
    key: where the key is, in the form of `api_key`; empty for the environment variable NAME_KEY.
    given: settings of the account or of the import, as text, by key.
    registry: finds sources.
    """
    try:
        notation.name(name)
    except ValueError as error:
        raise ValueError(f'the name "{name}" {error}') from None
    environment = LocalEnvironment(path.absolute().parent, registry, with_secrets=False)
    facts = environment.source(source)
    if not (facts.family or facts.streams or facts.import_options):
        raise ValueError(f"the source {source} reads nothing: it receives the deliveries of a sink of the type http")
    of_account, of_import = _split(given, facts)
    account = with_cells("accounts", {"source": source}, of_account, environment, {})
    whole = Context({}, environment).facts(account)  # None: a description is wrong, which the check below reports
    reference = dict(key)
    if not reference and whole is not None and whole.needs_key:
        reference = {"env": _variable(name)}
    if reference:
        account["api_key"] = reference
    job = {"account": name, **({"sink": "warehouse"} | USUAL)}
    if of_import.get("sink"):
        raise ValueError("sink cannot be set: records go to sinks.warehouse; change it in the file")
    job = with_cells("imports", job, of_import, environment, {"accounts": {name: account}})
    made = next(iter(environment.sources.values()), None)  # None: as above
    limits = list(made.limits.account) if made else []
    text = START + _table("accounts", name, account) + OF_ACCOUNT.format(limits=toml_value(limits)) + SINK
    text += "\n# What is read of the account, and when.\n" + _table("imports", name, job)
    mode = WITH_KEY if reference else WITHOUT_KEY
    _write(path, text, mode, registry)
    return Written(mode, reference.get("env", ""))


def _split(given: Mapping[str, str], facts: SourceFacts) -> tuple[dict[str, str], dict[str, str]]:
    """Settings of the account, and of the import. Raises ValueError for a setting that is neither, and for missing
    ones."""
    of_account = [*TABLES["accounts"].model_fields, *option_names(facts.options)]
    of_import = [*TABLES["imports"].model_fields, *option_names(facts.import_options)]
    account: dict[str, str] = {}
    job: dict[str, str] = {}
    for key, text in given.items():
        first = key.partition(".")[0]
        if first in ("source", "account", "sink", "api_key", "token"):
            raise ValueError(f"{first} cannot be set here; change it in the file when it is written")
        if first not in (*of_account, *of_import):
            raise ValueError(
                f"{key} is not a setting of the account or the import; {instead(first, [*of_account, *of_import])}"
            )
        (account if first in of_account else job)[key] = text
    named = {key.partition(".")[0] for key in given}
    if lacking := [key for key in (*_required(facts.options), *_required(facts.import_options)) if key not in named]:
        raise ValueError(f"these settings are needed: {' '.join(f'--set {key}=…' for key in lacking)}")
    return account, job


def _required(options: type | None) -> list[str]:
    """The options without a default."""
    if options is None:
        return []
    shape = msgspec.inspect.type_info(options)
    return [field.encode_name for field in shape.fields if field.required]  # type: ignore[attr-defined] # see `option_names`


def _variable(name: str) -> str:
    """The environment variable for an account's key."""
    text = "".join(char if char.isascii() and char.isalnum() else "_" for char in name).upper() + "_KEY"
    return text if not text[0].isdigit() else f"KEY_{text}"


def _table(kind: str, name: str, table: Mapping[str, Any]) -> str:
    header = f"[{kind}.{toml_key(name)}]"
    return "\n".join([header, *(_line(key, value) for key, value in table.items())]) + "\n"


def _line(key: str, value: Any) -> str:
    text = f"{toml_key(key)} = {toml_value(value)}"
    return f"{text:39} # {COMMENTS[key]}" if key in COMMENTS else text


def _write(path: Path, text: str, mode: int, registry: Registry) -> None:
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except FileExistsError:
        raise CrawlerdError(f"{path} exists already, and is not overwritten; name another file: -c FILE") from None
    except OSError as error:
        raise CrawlerdError(f"cannot write {path}: {error.strerror}") from None
    try:
        with open(number, "w", encoding="utf-8") as file:
            file.write(text)
        load(path, registry=registry, secrets=False)
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise CrawlerdError(f"cannot write {path}: {error.strerror}") from None
        raise
