"""The configuration file as its author writes it: every key, its default, and what can be wrong with it."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple, Protocol

import msgspec
from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
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

from crawlerd.core import notation
from crawlerd.core.account import SinkType
from crawlerd.core.errors import ConfigurationError

REFERENCE = 'api_key = { env = "ACME_STRIPE_KEY" } or { file = "/a/path" } or { credential = "name" }'
SHOWN = 50  # names in one problem; a source has some thirty streams


class SourceFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the checks need to know of a source. needs_key: its requests carry credentials. buckets: the names that
    `bucket_limits` may use, None when they depend on the data. options, import_options: see `Source`."""

    streams: Collection[str] = ()
    base_url: str | None = None
    needs_key: bool = True
    buckets: Collection[str] | None = None
    options: type | None = None
    import_options: type | None = None


class Machine(Protocol):
    """What the checks ask of the machine; a ValueError says in plain words what is wrong."""

    def source(self, name: str) -> SourceFacts: ...

    def secret(self, kind: Literal["env", "file", "credential"], name: str) -> str:
        """The secret itself."""
        ...


def parse(document: Mapping[str, Any], file: str, machine: Machine) -> Config:
    """The configuration in a parsed TOML document, with every secret looked up.

    Raises ConfigurationError with all problems at once, each `file: key: what is wrong and what to write`. No
    problem quotes a value that could be a secret.
    """
    asked = _Asked(document, machine)
    try:
        config = Config.model_validate(document, context=asked)
        problems = list(_contradictions(config))
    except ValidationError as error:
        found = error.errors(include_url=False)
        problems = [f"{_path(each['loc'])}: {_in_plain_words(each, asked)}" for each in found]
    if problems:
        raise ConfigurationError([_one_line(f"{file}: {problem}") for problem in problems])
    return config


def instead(word: str, names: Collection[str]) -> str:
    """What to write instead of `word`: the name it resembles, else those there are."""
    near = difflib.get_close_matches(word, names, n=1)
    if near:
        return f'did you mean "{near[0]}"?'
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"known: {', '.join(sorted(names)[:SHOWN]) or 'none'}{more}"


class _Asked(NamedTuple):
    """The validation context: what a check looks at besides its own value."""

    document: Mapping[str, Any]
    machine: Machine

    def import_facts(self, table: object) -> SourceFacts | None:
        """Of the source of an import table's account."""
        name = table.get("account") if isinstance(table, dict) else None
        return self.facts(self.table("accounts").get(name)) if isinstance(name, str) else None

    def facts(self, account: object) -> SourceFacts | None:
        """Of an account table's source; None when that is wrong, which is reported where it stands."""
        name = account.get("source") if isinstance(account, dict) else None
        try:
            return self.machine.source(name) if isinstance(name, str) else None
        except ValueError:
            return None

    def table(self, kind: str) -> Mapping[str, Any]:
        """The tables of a kind by name, valid or not: accounts, sinks or imports."""
        tables = self.document.get(kind)
        return tables if isinstance(tables, dict) else {}


def _bucket_limits(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {"default": notation.limits(value)}


def _bucket(name: str, info: ValidationInfo[Any]) -> str:
    facts = info.context.facts(info.data)
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
Duration = Annotated[float, BeforeValidator(notation.duration)]
PathText = Annotated[str, AfterValidator(notation.path_text)]
Limits = Annotated[tuple[str, ...], BeforeValidator(notation.limits)]
Name = Annotated[str, AfterValidator(notation.name)]


class Table(BaseModel):
    """A table of the file: keys that are not its own are errors, and no type is guessed into another."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class Daemon(Table):
    """`[daemon]`. Durations in seconds."""

    state_dir: PathText = Field(examples=["/var/lib/crawlerd"])
    listen: Annotated[tuple[str, int], BeforeValidator(notation.listen)] = Field(
        default="127.0.0.1:9464", validate_default=True
    )
    worker_processes: int = Field(default=0, ge=0, le=256)
    threads_per_process: int = Field(default=16, ge=1, le=1000)
    drain_seconds: float = Field(default=30.0, ge=0)
    visibility_timeout: Duration = Field(default="5m", validate_default=True)
    max_worker_memory_mb: int = Field(default=1024, ge=64, le=1_048_576)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    limiter_storage: Annotated[str, Field(pattern=r"^(rediss?|redis\+(cluster|sentinel|unix))://\S+$|^$")] = ""


class Account(Table):
    """`[accounts.NAME]`. None: as the source has it."""

    source: str = Field(examples=["stripe"])
    base_url: str = Field(default=None, validate_default=True)
    api_key: SecretStr = Field(default=None, validate_default=True, validation_alias=AliasChoices("api_key", "token"))
    limits: Limits | None = None
    bucket_limits: Annotated[dict[Bucket, Limits], BeforeValidator(_bucket_limits)] | None = None
    concurrency: int | None = Field(default=None, ge=1, le=10_000)
    smooth: bool = True
    weight: float = Field(default=1.0, gt=0)
    request_timeout: Duration = Field(default="60s", validate_default=True)
    max_body_mb: int = Field(default=64, ge=1, le=1024)
    attempts: int = Field(default=8, ge=1, le=1000)
    retry_base: Duration = Field(default="500ms", validate_default=True)
    retry_cap: Duration = Field(default="5m", validate_default=True)
    _options: dict[str, Any] = PrivateAttr(default_factory=dict)

    @property
    def options(self) -> dict[str, Any]:
        """The keys that the source declares, beside those above."""
        return self._options

    @model_validator(mode="wrap")
    @classmethod
    def _set_options_apart(
        cls, table: Any, validate: ModelWrapValidatorHandler[Account], info: ValidationInfo[Any]
    ) -> Account:
        facts = info.context.facts(table)
        if facts is None or facts.options is None:
            return validate(table)
        options, usual = _apart(table, facts.options)
        account = validate(usual)
        _decoded(options, facts.options, account.source)
        account._options.update(options)
        return account

    @field_validator("source")
    @classmethod
    def _known(cls, name: str, info: ValidationInfo[Any]) -> str:
        info.context.machine.source(name)
        return name

    @field_validator("base_url", mode="before")
    @classmethod
    def _address(cls, value: object, info: ValidationInfo[Any]) -> object:
        if isinstance(value, str):
            return notation.base_url(value)
        facts = info.context.facts(info.data)
        if value is not None or facts is None:
            return value if value is not None else ""
        if facts.base_url is None:
            raise ValueError(f'is missing, and {info.data["source"]} has no default; write base_url = "https://…"')
        return facts.base_url

    @field_validator("api_key", mode="before")
    @classmethod
    def _secret(cls, value: object, info: ValidationInfo[Any]) -> SecretStr:
        facts = info.context.facts(info.data)
        if value is None:
            if facts and facts.needs_key:
                raise ValueError(f"is missing; write {REFERENCE}")
            return SecretStr("")
        if isinstance(value, str):
            raise ValueError(f"must not be the key itself, which would lie open in this file; write {REFERENCE}")
        match value:
            case {"env": str(name), **rest} if not rest:
                # Upper case only: a key put here by mistake must not be quoted as the name of a variable.
                if not re.fullmatch("[A-Z_][A-Z0-9_]*", name):
                    raise ValueError('env must name an environment variable in upper case, such as "ACME_STRIPE_KEY"')
                return SecretStr(info.context.machine.secret("env", name))
            case {"file": str(name), **rest} if not rest:
                return SecretStr(info.context.machine.secret("file", notation.path_text(name)))
            case {"credential": str(name), **rest} if not rest:
                if not re.fullmatch("[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
                    raise ValueError("credential must be a name as in LoadCredential=NAME:PATH of the systemd unit")
                return SecretStr(info.context.machine.secret("credential", name))
        raise ValueError(f"must name exactly one place to take the key from; write {REFERENCE}")


class Sink(Table):
    """`[sinks.NAME]`. The keys below `path` are for `jsonl` alone."""

    type: SinkType = Field(examples=["sqlite"])
    path: PathText = Field(examples=["/var/lib/crawlerd/warehouse.db"])
    rotate_mb: int = Field(default=64, ge=1, le=10_240)
    rotate_every: Duration = Field(default="10m", validate_default=True)
    gzip: bool = False


class Import(Table):
    """`[imports.NAME]`. schedule: seconds, None for on demand. priority: None for auto."""

    account: str = Field(examples=["acme"])
    sink: str | None = Field(examples=["warehouse"])
    streams: tuple[Annotated[str, AfterValidator(_stream)], ...] = Field(examples=[["*"]])
    schedule: Duration | None = None
    priority: Annotated[int | None, BeforeValidator(notation.priority)] = Field(default="auto", validate_default=True)
    _options: Any = PrivateAttr(default=None)

    @property
    def options(self) -> Any:
        """The keys that the source declares, beside those above, as its `import_options`."""
        return self._options

    @model_validator(mode="wrap")
    @classmethod
    def _set_options_apart(
        cls, table: Any, validate: ModelWrapValidatorHandler[Import], info: ValidationInfo[Any]
    ) -> Import:
        facts = info.context.import_facts(table)
        if facts is None or facts.import_options is None:
            return validate(table)
        accounts = info.context.table("accounts")
        given, usual = _apart(table, facts.import_options)
        options: Any = None
        problem = None
        try:
            options = _decoded(given, facts.import_options, accounts[table["account"]]["source"])
        except ValueError as error:
            problem = error
        if problem or (hasattr(options, "needs_sink") and not options.needs_sink()):
            usual.setdefault("sink", None)
        checked = validate(usual)
        if problem:
            raise problem
        unknown = [name for name in options.accounts() if name not in accounts] if hasattr(options, "accounts") else []
        if unknown:
            raise ValidationError.from_exception_data(
                "Import", [_no_account(name, given, accounts) for name in dict.fromkeys(unknown)]
            )
        checked._options = options
        return checked

    @field_validator("account", "sink")
    @classmethod
    def _configured(cls, name: str | None, info: ValidationInfo[Any]) -> str | None:
        tables = info.context.table(f"{info.field_name}s")
        if name is not None and name not in tables:
            raise ValueError(f"there is no [{info.field_name}s.{name}]; {instead(name, tables)}")
        return name

    @field_validator("streams", mode="before")
    @classmethod
    def _list(cls, value: object) -> tuple[Any, ...]:
        if not isinstance(value, list) or not value:
            raise ValueError('must be a list of stream names, such as ["customers"], or ["*"] for all')
        return tuple(value)


class Config(Table):
    """The whole file."""

    daemon: Daemon = Field(default_factory=dict, validate_default=True)
    accounts: dict[Name, Account] = {}
    sinks: dict[Name, Sink] = {}
    imports: dict[Name, Import] = {}


TABLES: Mapping[str, type[Table]] = {"daemon": Daemon, "accounts": Account, "sinks": Sink, "imports": Import}


@cache  # reading a class takes a millisecond, and there may be thousands of tables
def _keys(options: type | None) -> list[str]:
    if options is None:
        return []
    shape = msgspec.inspect.type_info(options)
    if not isinstance(shape, msgspec.inspect.StructType | msgspec.inspect.DataclassType):
        raise TypeError(f"a source's options must be a msgspec.Struct or a dataclass, not {options}")
    return [field.encode_name for field in shape.fields]


def _apart(table: Mapping[str, Any], options: type) -> tuple[dict[str, Any], dict[str, Any]]:
    """A table's keys that the source declares, and the others."""
    keys = _keys(options)
    return {key: table[key] for key in keys if key in table}, {k: v for k, v in table.items() if k not in keys}


def _decoded(given: Mapping[str, Any], options: type, source: str) -> Any:
    try:
        return msgspec.convert(given, options)
    except msgspec.ValidationError as error:
        problem = f"an option of the source {source} is wrong: {error}"
        raise ValueError(problem.replace("`", '"').replace("$.", "")) from None


def _no_account(name: str, given: Mapping[str, Any], accounts: Collection[str]) -> InitErrorDetails:
    """A problem of the option that names an account which is not configured."""
    key = [key for key, value in given.items() if json.dumps(name) in json.dumps(value, default=str)]
    problem = ValueError(f"there is no [accounts.{name}]; {instead(name, accounts)}")
    return InitErrorDetails(type="value_error", loc=tuple(key[:1]), input=name, ctx={"error": problem})


def _contradictions(config: Config) -> Iterator[str]:
    """What no single value shows."""
    for name, sink in config.sinks.items():
        for key in sorted(sink.model_fields_set - {"type", "path"} if sink.type != "jsonl" else ()):
            yield f'{_path(("sinks", name, key))}: is for sinks of the type "jsonl"; this one is "{sink.type}"'
        for other, its in config.sinks.items():
            if other < name and its.path == sink.path and {its.type, sink.type} != {"sqlite"}:
                yield f"{_path(('sinks', name, 'path'))}: is the path of sinks.{other} as well; use one for both"
    for name, account in config.accounts.items():
        if account.request_timeout >= config.daemon.visibility_timeout:
            yield (
                f"{_path(('accounts', name, 'request_timeout'))}: must be shorter than daemon.visibility_timeout, or a "
                "slow request is given to a second worker"
            )
        if account.retry_base > account.retry_cap:
            yield f"{_path(('accounts', name, 'retry_base'))}: must not be longer than retry_cap"


def _path(parts: tuple[int | str, ...]) -> str:
    """accounts."a b".source, as the file would have it."""
    keys = [part for part in parts if isinstance(part, str) and part != "[key]"]
    return ".".join(key if re.fullmatch("[A-Za-z0-9_-]+", key) else f'"{key}"' for key in keys)


def _one_line(text: str) -> str:
    """Names and values of the file may hold line breaks and terminal codes."""
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)


_EXPECTED = {
    "string_type": "text in quotes",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "dict_type": "a table",
    "model_type": "a table",
}
_BOUNDS = {
    "greater_than_equal": "{ge:g} or more",
    "less_than_equal": "{le:g} or less",
    "greater_than": "more than {gt:g}",
    "finite_number": "a finite number",
}
_GIVEN = {str: "text", bool: "true or false", dict: "a table", list: "a list", int: "a number", float: "a number"}


def _in_plain_words(error: Mapping[str, Any], asked: _Asked) -> str:
    """One of pydantic's errors, without its jargon and without the value."""
    kind, location, context = error["type"], error["loc"], error.get("ctx", {})
    key = str(location[-1])
    table = Config if len(location) == 1 else TABLES[location[0]]
    field = table.model_fields.get(key)
    if kind == "value_error":
        return str(context["error"])
    if kind == "extra_forbidden":
        options = None
        if table is Account and (facts := asked.facts(asked.table("accounts").get(location[1]))):
            options = facts.options
        elif table is Import and (facts := asked.import_facts(asked.table("imports").get(location[1]))):
            options = facts.import_options
        return f"unknown key; {instead(key, [*table.model_fields, *_keys(options)])}"
    if kind == "missing" and field and field.examples:
        return f"is missing; write for example {key} = {json.dumps(field.examples[0])}"
    if kind == "literal_error":
        return f"must be {context['expected']}".replace("'", '"')
    if kind in _EXPECTED:
        given = _GIVEN.get(type(error["input"]), "a date or time")
        return f"must be {_EXPECTED[kind]}, not {given}"
    if kind in _BOUNDS:
        return "must be " + _BOUNDS[kind].format(**context)
    return str(error["msg"])
