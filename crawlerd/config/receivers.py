"""The keys of a sink of the type `http`: who receives its deliveries, and what is sent."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec.structs import replace
from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from crawlerd.config.problems import Table, instead
from crawlerd.core import notation, template
from crawlerd.core.configuration import Receiver, SinkSpec
from crawlerd.core.durations import parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from crawlerd.config.validation import Checked
    from crawlerd.core.configuration import AccountSpec

MOST_IN_BATCH = 1000
KEEPING = ("sqlite", "postgresql")  # types of sinks that can be combined with one that delivers
_KEEPING = " or ".join(f'"{each}"' for each in KEEPING)
AND = " + "  # joins two names of sinks
OF_A_TOMBSTONE = ("key", "stream", "account")
Duration = Annotated[float, BeforeValidator(notation.duration, json_schema_input_type=str)]
Method = Literal["POST", "PUT", "PATCH", "DELETE"]


class TombstonesTable(Table):
    """`tombstones` of `[sinks.NAME]`: the request that reports a deleted record."""

    path: str = Field(examples=["/contacts/{key}"])
    method: Method = "DELETE"

    @field_validator("path")
    @classmethod
    def _below(cls, path: str) -> str:
        template.check_path(path, (*OF_A_TOMBSTONE, *(f"${name}" for name in OF_A_TOMBSTONE)))
        if not template.has_fields(path):
            raise ValueError("must say which record was deleted, as {key}")
        return path


class ReceiverTable(Table):
    """The additional keys of a sink of the type `http`. None: missing."""

    account: str | None = Field(default=None, examples=["crm"])
    method: Method = "POST"
    batch: int = Field(default=500, ge=1, le=MOST_IN_BATCH)
    records: str = ""
    fields: dict[str, Any] = Field(default={})
    accepted: str = ""
    attempts: int = Field(default=3, ge=1, le=1000)
    retry_delay: Duration = Field(default="5s", validate_default=True)
    expires: Duration = Field(default="1d", validate_default=True)
    tombstones: TombstonesTable | None = None
    database: Annotated[str, AfterValidator(notation.path_text)] | None = None

    @field_validator("account")
    @classmethod
    def _receives(cls, name: str | None, info: ValidationInfo[Any]) -> str | None:
        accounts = info.context.table("accounts")
        if name is not None and not _receives(accounts.get(name)):
            receivers = [key for key, each in accounts.items() if _receives(each)]
            what = "is not of the source http" if name in accounts else "does not exist"
            raise ValueError(f"[accounts.{name}] {what}; {instead(name, receivers)}")
        return name

    @field_validator("accepted")
    @classmethod
    def _dotted(cls, path: str) -> str:
        if path:
            template.check_dotted(path)
        return path

    @field_validator("fields")
    @classmethod
    def _template(cls, fields: dict[str, Any]) -> dict[str, Any]:
        template.check(fields)
        return fields


def _receives(account: object) -> bool:
    return isinstance(account, dict) and account.get("source") == "http"


def contradictions(path: str, sink: ReceiverTable) -> Iterator[tuple[str, str]]:
    """Problems of a sink of the type `http` that no single value shows: the key, and what is wrong."""
    if sink.account is None:
        yield "account", 'is missing; write for example account = "crm", of the source http'
    try:
        template.check_path(path)
    except ValueError as error:
        yield "path", str(error)
        return
    if template.has_fields(path):
        for key in sorted({"batch", "records"} & sink.model_fields_set):
            yield (
                key,
                "is only for a path without fields: with {…} in the path, each record is sent in a request of its own",
            )


def receiver(path: str, sink: ReceiverTable, accounts: Mapping[str, AccountSpec]) -> Receiver | None:
    """The receiver; None if its account cannot be used, which is reported elsewhere."""
    account = accounts.get(sink.account or "")
    gone = sink.tombstones
    if account is None:
        return None
    return Receiver(
        account=account.name,
        base_url=account.base_url,
        path=path,
        method=sink.method,
        batch=sink.batch,
        records=sink.records,
        fields=sink.fields,
        accepted=sink.accepted,
        attempts=sink.attempts,
        retry_seconds=sink.retry_delay,
        expires_seconds=sink.expires,
        gone_method=gone.method if gone else "",
        gone_path=gone.path if gone else "",
    )


def giving_up_in_time(accounts: Mapping[str, AccountSpec], sinks: Iterable[SinkSpec]) -> dict[str, AccountSpec]:
    """The accounts, with an outage limit for receivers: deliveries to a receiver must not wait longer than they may.
    With single probes, one batch at a time would give up."""
    found = dict(accounts)
    for sink in sinks:
        if (to := sink.receiver) is None:
            continue
        account = found[to.account]
        if to.expires_seconds < account.retry.give_up_after:
            retry = replace(account.retry, give_up_after=to.expires_seconds)
            found[to.account] = replace(account, retry=retry)
    return found


def own_sinks(config: Checked) -> dict[str, str]:
    """The implied sinks of imports whose options have `deliver` (`crawlerd.sources.http.Delivery`), by import. Imports
    that deliver the same to one path, together with the same sink or with none, share one."""
    names: dict[str, str] = {}
    usual: dict[str, object] = {}
    for name, each in config.imports.items():
        if (deliver := getattr(each.options, "deliver", None)) is not None:
            own = f"{deliver.account}{deliver.path}" + (f" beside {each.usual.sink}" if each.usual.sink else "")
            names[name] = own if usual.setdefault(own, deliver) == deliver else f"{own} from {name}"
    return names


def own_sink(name: str, deliver: Any, account: AccountSpec, state_dir: Path) -> SinkSpec:
    """The sink that `deliver` implies.

    deliver: a `crawlerd.sources.http.Delivery`.
    """
    digest = blake2b(name.encode(), digest_size=8).hexdigest()
    return SinkSpec(
        name=name,
        type="http",
        path=state_dir / f"outbox-{account.name}-{digest}.db",
        receiver=Receiver(
            account=account.name,
            base_url=account.base_url,
            path=deliver.path,
            batch=deliver.batch,
            records=deliver.records,
            fields=deliver.fields,
            accepted=deliver.accepted,
            attempts=deliver.attempts,
            retry_seconds=parse_duration(deliver.retry_delay),
            expires_seconds=parse_duration(deliver.expires),
            streams=("members",),
        ),
    )


def wrong_deliveries(config: Checked) -> Iterator[tuple[str, str]]:
    """Imports whose `deliver` is not possible, and why."""
    for name, each in config.imports.items():
        if (deliver := getattr(each.options, "deliver", None)) is None:
            continue
        sink = each.usual.sink
        if config.accounts[deliver.account].usual.source != "http":
            yield name, f"[accounts.{deliver.account}] is not of the source http"
        elif sink is None and (others := sorted({*each.usual.streams} - {"members", "lists", "*"})):
            yield name, f"delivers only members; {', '.join(others)} need a sink: name one in the import"
        elif sink is not None and (AND in sink or config.sinks[sink].type not in KEEPING):
            yield (
                name,
                f"can be used with one sink of the type {_KEEPING}; or list two sinks in `sink`, and remove `deliver`",
            )


def joined(value: object) -> object:
    """Two names of sinks joined into one that no configured sink can have."""
    if not isinstance(value, list):
        return value
    if len(value) != 2 or not all(isinstance(each, str) for each in value):
        raise ValueError(
            'must be one name, or two: a sink that keeps records and one that delivers them, as ["warehouse", "crm"]'
        )
    return AND.join(value)


def wrong_pairs(types: Mapping[str, str], sinks: Iterable[tuple[str, str | None]]) -> Iterator[tuple[str, str]]:
    """Imports whose two sinks cannot be used together, and why.

    types: the type of each sink.
    sinks: the sinks of each import.
    """
    used: dict[str, str] = {}
    for name, sink in sinks:
        if sink is None:
            continue
        *keeping, last = sink.split(AND)
        if keeping and not (len(keeping) == 1 and types[keeping[0]] in KEEPING and types[last] == "http"):
            yield name, f'two sinks must be one of the type {_KEEPING} and one of the type "http", in this order'
        elif types[last] == "http" and (other := used.setdefault(last, sink)) != sink:
            how = f"with {other.split(AND)[0]}" if AND in other else "alone"
            yield (
                name,
                f"another import uses {last} {how}, and all imports must use it the same way; configure another sink",
            )
