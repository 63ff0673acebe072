"""Where each value of the configuration comes from: a line of a file, the environment, the source, or the default."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from crawlerd.config.file import SINGLE, TABLES
from crawlerd.config.key_places import KeyPlaces
from crawlerd.config.load import document_of, load
from crawlerd.config.notify_table import HOOKS, NotifyTable
from crawlerd.config.overrides import variable_of
from crawlerd.config.problems import key_path, keys_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from crawlerd.config.csv_tables import Places
    from crawlerd.config.load import Registry, Settings
    from crawlerd.config.problems import Table

SECRETS = (
    "api_key",
    "token",
    "limiter_password",
    "hash_key",
    "frontier",
    "admin_token",
    "read_token",
    "metrics_token",
    "url",
)
NAMED = ("accounts", "sinks", "imports")
FOR_ALL = "default"


class Origin(NamedTuple):
    """A setting that has a value.

    key: the full key.
    value: the TOML value. For a secret, the place that has it.
    origin: FILE:LINE, "environment variable NAME", "source NAME", or "default".
    """

    key: str
    value: Any
    origin: str


def origins(path: Path, registry: Registry, under: str = "") -> Iterator[Origin]:
    """All settings, checked like `load` does, but without secrets.

    under: only of this table or setting.
    """
    settings = load(path, registry=registry, secrets=False)
    document, rows = document_of(path, registry)
    places = KeyPlaces(path)
    prefix = under + "."
    for each in _all(settings, document, rows, places):
        if not under or each.key == under or each.key.startswith(prefix):
            yield each
        elif prefix.startswith(f"{each.key}."):
            yield from _inside(each, under)


def _inside(table: Origin, under: str) -> Iterator[Origin]:
    """The part of a table at this place."""
    for name, value in table.value.items() if isinstance(table.value, dict) else ():
        found = table._replace(key=f"{table.key}.{key_path((name,))}", value=value)
        if found.key == under:
            yield found
        elif under.startswith(f"{found.key}."):
            yield from _inside(found, under)


def _all(settings: Settings, document: Mapping[str, Any], rows: Places, places: KeyPlaces) -> Iterator[Origin]:
    for table_name in SINGLE:
        yield from _single(table_name, document, places)
    yield from _of_notify(document.get("notify"), places)
    for kind in NAMED:
        for name, table in document.get(kind, {}).items():
            row = rows.row(kind, name)
            for key, value in table.items():
                where = places.of((kind, name, key))
                if row is not None:
                    file, line, number = row
                    listed = document[f"{kind}_csv"]
                    usual, at = (listed[number], (number,)) if isinstance(listed, list) else (listed, ())
                    where = f"{file}:{line}"
                    if usual.get(key) == value:
                        where = places.of((f"{kind}_csv", *at, key))
                yield Origin(key_path((kind, name, key)), _shown(key, value), where)
            for key, value, where in _others(settings, kind, name, table):
                yield Origin(key_path((kind, name, key)), value, where)


def _single(kind: str, document: Mapping[str, Any], places: KeyPlaces) -> Iterator[Origin]:
    """The settings of a table of which there is only one."""
    given = document.get(kind, {})
    for key, default in _defaults(kind):
        variable = variable_of(key, os.environ) if kind == "daemon" else None
        if variable:
            yield Origin(key_path((kind, key)), given[key], f"environment variable {variable}")
        elif key in given:
            yield Origin(key_path((kind, key)), _shown(key, given[key]), places.of((kind, key)))
        elif default is not None and (kind == "daemon" or given):
            yield Origin(key_path((kind, key)), default, FOR_ALL)


def _of_notify(table: Any, places: KeyPlaces) -> Iterator[Origin]:
    """The settings of `[notify]`, with each key of the hooks' own tables."""
    if table is None:
        return
    tables: list[tuple[tuple[str, ...], Mapping[str, Any], type[Table]]] = [(("notify",), table, NotifyTable)]
    tables += [(("notify", name), table[name], model) for name, model in HOOKS.items() if name in table]
    for path, given, model in tables:
        for key, field in model.model_fields.items():
            if key in HOOKS and len(path) == 1:
                continue
            if key in given:
                yield Origin(key_path((*path, key)), _shown(key, given[key]), places.of((*path, key)))
            elif (default := None if field.is_required() else field.get_default()) is not None:
                yield Origin(key_path((*path, key)), default, FOR_ALL)


def _others(settings: Settings, kind: str, name: str, table: Mapping[str, Any]) -> Iterator[tuple[str, Any, str]]:
    """The settings that a table leaves out, with their values in force."""
    if kind == "accounts":
        account, limits = settings.accounts[name], settings.limits[name]
        source = f"source {account.source}"
        if "base_url" not in table and account.base_url:
            yield "base_url", account.base_url, source
        buckets = {"default": list(limits.bucket_limits)} if limits.bucket_limits else {}
        buckets |= {bucket: list(each) for bucket, each in limits.by_bucket.items()}
        for key, value in (("limits", list(limits.limits)), ("bucket_limits", buckets)):
            if key not in table and value:
                yield key, value, source
        if "concurrency" not in table and limits.concurrency is not None:
            yield "concurrency", limits.concurrency, source
        yield from _of_options(settings.sources[account.source].options, table)
    if kind == "imports":
        source_of = settings.accounts[settings.imports[name].account].source
        yield from _of_options(settings.sources[source_of].import_options, table)
    belongs = _belonging(kind, table)
    for key, default in _defaults(kind):
        if key not in table and default is not None and (belongs is None or key in belongs):
            yield key, default, FOR_ALL


def _of_options(options: type | None, table: Mapping[str, Any]) -> Iterator[tuple[str, Any, str]]:
    """Defaults of the keys that a source declares."""
    shape = msgspec.inspect.type_info(options) if options else None
    for field in getattr(shape, "fields", ()):
        default = field.default
        if field.encode_name not in table and default is not msgspec.NODEFAULT and default is not None:
            yield field.encode_name, msgspec.to_builtins(default, enc_hook=str), FOR_ALL


def _belonging(kind: str, table: Mapping[str, Any]) -> set[str] | None:
    """The keys that a sink of this type has; None for all."""
    from crawlerd.config.validation import OF_TYPES

    if kind != "sinks":
        return None
    others = {key for type_, keys in OF_TYPES.items() if type_ != table.get("type") for key in keys}
    mode = {"mode"} if table.get("type") in ("stdout", "postgresql") else set()
    return set(TABLES["sinks"].model_fields) - (others - OF_TYPES.get(str(table.get("type")), set())) - mode


def _defaults(kind: str) -> Iterator[tuple[str, Any]]:
    for key, field in keys_of(TABLES[kind]).items():
        default = None if field.is_required() else field.get_default()
        yield key, list(default) if isinstance(default, tuple) else default


def _shown(key: str, value: Any) -> Any:
    """The reference to a secret, without what may be secret in it: the arguments of a command."""
    if key in SECRETS and isinstance(value, dict) and isinstance(words := value.get("command"), list):
        return {**value, "command": [*words[:1], *(["…"] if len(words) > 1 else [])]}
    return value
