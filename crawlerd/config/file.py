"""The configuration file as people write it: every key, its default, and its checks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails

from crawlerd.config.daemon_table import DaemonTable, Duration, PathText
from crawlerd.config.facts import decoded_options, split_options
from crawlerd.config.field_problems import FieldsTable, field_problems
from crawlerd.config.notify_table import NotifyTable
from crawlerd.config.problems import Table, instead
from crawlerd.config.receivers import AND, ReceiverTable, joined
from crawlerd.config.references import REFERENCE, Reference, secret
from crawlerd.config.warehouses import WarehouseTable
from crawlerd.core import notation
from crawlerd.core.configuration import SinkType
from crawlerd.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crawlerd.config.facts import Context


def _bucket_limits(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {"default": notation.limits(value)}


def _bucket(name: str, info: ValidationInfo[Any]) -> str:
    facts = info.context.current
    if facts and facts.buckets is not None and name not in (known := [*facts.buckets, "default"]):
        raise ValueError(f"is not a bucket of {info.data['source']}; {instead(name, known)}")
    return name


def _stream(name: str, info: ValidationInfo[Any]) -> str:
    account = info.context.table("accounts").get(info.data.get("account"))
    facts = info.context.facts(account)
    if account and facts and name not in (known := [*facts.streams, "*"]):
        raise ValueError(f'"{name}" is not a stream of {account["source"]}; {instead(name, known)}')
    return name


Bucket = Annotated[str, AfterValidator(_bucket)]
Limits = Annotated[tuple[str, ...], BeforeValidator(notation.limits, json_schema_input_type=str | list[str])]
FileMode = Annotated[int, BeforeValidator(notation.file_mode, json_schema_input_type=str)]
Sinks = Annotated[str | None, BeforeValidator(joined, json_schema_input_type=str | list[str])]
OrAuto = int | Literal["auto"]
Name = Annotated[str, AfterValidator(notation.name)]


class AccountTable(Table):
    """`[accounts.NAME]`. None: the source's own value."""

    source: str = Field(examples=["stripe"])
    base_url: str = Field(default=None, validate_default=True)
    api_key: SecretStr = Field(default=None, validate_default=True, validation_alias=AliasChoices("api_key", "token"))
    limits: Limits | None = None
    bucket_limits: (
        Annotated[
            dict[Bucket, Limits],
            BeforeValidator(_bucket_limits, json_schema_input_type=str | list[str] | dict[str, str | list[str]]),
        ]
        | None
    ) = None
    concurrency: Annotated[OrAuto | None, BeforeValidator(notation.concurrency, json_schema_input_type=OrAuto)] = None
    smooth: bool = True
    weight: float = Field(default=1.0, ge=0.001, le=1000)
    request_timeout: Duration = Field(default="60s", validate_default=True)
    max_body_mb: int = Field(default=64, ge=1, le=1024)
    attempts: int = Field(default=8, ge=1, le=1000)
    retry_base: Duration = Field(default="500ms", validate_default=True)
    retry_cap: Duration = Field(default="5m", validate_default=True)
    max_wait: Duration = Field(default="1h", validate_default=True, ge=1, le=86_400)
    give_up_after: Duration = Field(default="1d", validate_default=True)
    _options: dict[str, Any] = PrivateAttr(default_factory=dict)

    @property
    def options(self) -> dict[str, Any]:
        """The additional keys that the source declares."""
        return self._options

    @model_validator(mode="wrap")
    @classmethod
    def _set_options(
        cls, table: Any, validate: ModelWrapValidatorHandler[AccountTable], info: ValidationInfo[Any]
    ) -> AccountTable:
        context = info.context
        context.current = entry = context.entry(table)
        if entry is None or entry.options is None:
            return validate(table)
        options, usual = split_options(table, entry.options)
        if entry.family:
            context.current = None  # until it is known, it requires nothing
        problem = None
        try:
            decoded = decoded_options(options, entry.options, table["source"])
            if entry.family:
                context.current = context.described(table["source"], decoded)
        except ConfigurationError as error:
            context.elsewhere.update(dict.fromkeys(error.problems))
        except ValueError as error:
            problem = error
        account = validate(usual)
        if problem is not None:
            raise problem
        account._options.update(options)
        return account

    @field_validator("source")
    @classmethod
    def _known(cls, name: str, info: ValidationInfo[Any]) -> str:
        info.context.environment.source(name)
        return name

    @field_validator("base_url", mode="before")
    @classmethod
    def _address(cls, value: object, info: ValidationInfo[Any]) -> object:
        facts = info.context.current
        if facts is not None and facts.base_url == "" and value is not None:
            raise ValueError(f"is not used by {info.data['source']}; write endpoint_url")
        if isinstance(value, str):
            return notation.base_url(value)
        if value is not None or facts is None:
            return value if value is not None else ""
        if facts.base_url is None:
            raise ValueError(f'is missing, and {info.data["source"]} has no default; write base_url = "https://…"')
        return facts.base_url

    @field_validator("api_key", mode="plain", json_schema_input_type=Reference)
    @classmethod
    def _secret(cls, value: object, info: ValidationInfo[Any]) -> SecretStr:
        facts = info.context.current
        if value is None:
            if facts and facts.needs_key:
                raise ValueError(f"is missing; write {REFERENCE}")
            return SecretStr("")
        return secret(value, info.context.environment)


class SinkTable(ReceiverTable, WarehouseTable):
    """`[sinks.NAME]`. The keys below `mode` are for `jsonl`, the inherited ones for `http` and `postgresql`.

    path: of a file or directory; for `http`, below the receiver's base URL.
    """

    type: SinkType = Field(examples=["sqlite"])
    path: PathText = Field(examples=["/var/lib/crawlerd/warehouse.db"])
    mode: FileMode = Field(default="0640", validate_default=True)
    rotate_mb: int = Field(default=64, ge=1, le=10_240)
    rotate_every: Duration = Field(default="10m", validate_default=True)
    gzip: bool = False
    retain_tombstones: Annotated[Duration, Field(gt=0)] | None = None
    retain_files: Annotated[Duration, Field(gt=0)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _without_path(cls, table: Any) -> Any:
        if isinstance(table, dict) and table.get("type") == "stdout":
            if extra := [key for key in ("path", "mode", "retain_tombstones") if key in table]:
                raise ValueError(f'{extra[0]} is not for sinks of the type "stdout", which write no file')
            return {**table, "path": "stdout"}
        if isinstance(table, dict) and table.get("type") == "postgresql":
            if extra := [key for key in ("path", "mode") if key in table]:
                raise ValueError(f'{extra[0]} is not for sinks of the type "postgresql", which write no file')
            return {**table, "path": "postgresql"}
        return table


class KeepTable(Table):
    """`keep_runs` of an import."""

    count: int = Field(default=100, ge=1, le=1_000_000)
    days: float = Field(default=90, gt=0, le=36_500)


class ImportTable(Table):
    """`[imports.NAME]`."""

    account: str = Field(examples=["acme"])
    sink: Sinks = Field(examples=["warehouse"])
    streams: tuple[Annotated[str, AfterValidator(_stream)], ...] = Field(examples=[["*"]])
    schedule: Annotated[str | None, BeforeValidator(notation.schedule)] = None  # None: on demand
    time_zone: Annotated[str | None, AfterValidator(notation.time_zone)] = None  # None: the daemon's
    jitter: Duration | None = None
    catch_up: Literal["once", "skip"] = "once"
    full_every: Duration | None = None
    deadline: Duration | None = None
    # None: auto
    priority: Annotated[int | None, BeforeValidator(notation.priority, json_schema_input_type=OrAuto)] = Field(
        default="auto", validate_default=True
    )
    keep_runs: KeepTable = Field(default={"count": 100, "days": 90}, validate_default=True)
    fields: dict[str, FieldsTable] = Field(default={}, validate_default=True)
    _options: Any = PrivateAttr(default=None)

    @property
    def options(self) -> Any:
        """The additional keys that the source declares, as its `import_options`."""
        return self._options

    @model_validator(mode="wrap")
    @classmethod
    def _set_options(
        cls, table: Any, validate: ModelWrapValidatorHandler[ImportTable], info: ValidationInfo[Any]
    ) -> ImportTable:
        facts = info.context.import_facts(table)
        if facts is None or facts.import_options is None:
            return validate(table)
        accounts = info.context.table("accounts")
        given, usual = split_options(table, facts.import_options)
        options: Any = None
        problem = None
        try:
            options = decoded_options(given, facts.import_options, accounts[table["account"]]["source"])
        except ValueError as error:
            problem = error
        if problem or (hasattr(options, "needs_sink") and not options.needs_sink()):
            usual.setdefault("sink", None)
        if not facts.streams and not facts.family:
            usual.setdefault("streams", ["*"])
        checked = validate(usual)
        if problem:
            raise problem
        unknown = [name for name in options.accounts() if name not in accounts] if hasattr(options, "accounts") else []
        if unknown:
            raise ValidationError.from_exception_data(
                "ImportTable", [_no_account(name, given, info.context) for name in dict.fromkeys(unknown)]
            )
        checked._options = options
        return checked

    @field_validator("account", "sink")
    @classmethod
    def _configured(cls, name: str | None, info: ValidationInfo[Any]) -> str | None:
        tables = info.context.table(f"{info.field_name}s")
        for each in name.split(AND) if name is not None else ():
            if each not in tables:
                raise ValueError(f"there is no [{info.field_name}s.{each}]; {info.context.instead(each, tables)}")
        return name

    @field_validator("streams", mode="before")
    @classmethod
    def _list(cls, value: object) -> tuple[Any, ...]:
        if not isinstance(value, list) or not value:
            raise ValueError('must be a list of stream names, such as ["customers"], or ["*"] for all')
        return tuple(value)

    @field_validator("fields")
    @classmethod
    def _can_be_private(cls, tables: dict[str, FieldsTable], info: ValidationInfo[Any]) -> dict[str, FieldsTable]:
        """Fields from which keys, sync points and tasks are made must stay unchanged."""
        facts = info.context.facts(info.context.table("accounts").get(info.data.get("account")))
        problems = list(field_problems({name: each.rules for name, each in tables.items()}, facts))
        if problems:
            raise ValidationError.from_exception_data("ImportTable", problems)
        return tables

    @field_validator("streams")
    @classmethod
    def _can_be_told(cls, streams: tuple[str, ...], info: ValidationInfo[Any]) -> tuple[str, ...]:
        """A stream of an extension is made from another stream, which must be named too."""
        account = info.context.table("accounts").get(info.data.get("account"))
        facts = info.context.facts(account) if account else None
        for stream in streams:
            needed = facts.comes_of.get(stream, []) if facts else []
            if needed and "*" not in streams and not set(needed) & set(streams):
                raise ValueError(f'"{stream}" is made from the stream {" or ".join(needed)}: name that as well')
        return streams


class DeadLettersTable(Table):
    """`[dead_letters]`."""

    spool: PathText | None = None
    mode: FileMode = Field(default="0600", validate_default=True)


class InboxTable(Table):
    """`[inbox]`. None: there is no inbox."""

    path: PathText | None = None
    import_name: str | None = Field(default=None, alias="import")
    mode: FileMode = Field(default="0600", validate_default=True)

    @field_validator("import_name")
    @classmethod
    def _configured(cls, name: str | None, info: ValidationInfo[Any]) -> str | None:
        tables = info.context.table("imports")
        if name is not None and name not in tables:
            raise ValueError(f"there is no [imports.{name}]; {info.context.instead(name, tables)}")
        return name

    @model_validator(mode="after")
    def _whole(self) -> InboxTable:
        for key, given, other in (("path", self.path, self.import_name), ("import", self.import_name, self.path)):
            if given is None and other is not None:
                raise ValueError(f"{key} is missing: an inbox has a path, and the import that its tasks belong to")
        return self


class Config(Table):
    """The whole file."""

    daemon: DaemonTable = Field(default_factory=dict, validate_default=True)
    accounts: dict[Name, AccountTable] = Field(default_factory=dict)
    sinks: dict[Name, SinkTable] = Field(default_factory=dict)
    imports: dict[Name, ImportTable] = Field(default_factory=dict)
    notify: NotifyTable | None = None
    dead_letters: DeadLettersTable = Field(default_factory=dict, validate_default=True)
    inbox: InboxTable = Field(default_factory=dict, validate_default=True)


TABLES: Mapping[str, type[Table]] = {
    "daemon": DaemonTable,
    "accounts": AccountTable,
    "sinks": SinkTable,
    "imports": ImportTable,
    "dead_letters": DeadLettersTable,
    "inbox": InboxTable,
}
SINGLE = ("daemon", "dead_letters", "inbox")  # tables of which there is only one


def _no_account(name: str, given: Mapping[str, Any], context: Context) -> InitErrorDetails:
    """The problem that an option names an account which is not configured."""
    key = [key for key, value in given.items() if json.dumps(name) in json.dumps(value, default=str)]
    problem = ValueError(f"there is no [accounts.{name}]; {context.instead(name, context.table('accounts'))}")
    return InitErrorDetails(type="value_error", loc=tuple(key[:1]), input=name, ctx={"error": problem})
