"""Makes the engine's settings from a checked configuration: paths become absolute, and defaults of the sources are
filled in."""

from __future__ import annotations

import os
from functools import cache
from sys import intern
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from msgspec.structs import replace

from crawlerd.config.problems import key_path
from crawlerd.config.receivers import AND, own_sink, own_sinks, receiver
from crawlerd.config.references import Printed
from crawlerd.core import notation
from crawlerd.core.configuration import (
    FRONTIER_FILE,
    AccountSpec,
    Daemon,
    ImportSpec,
    KeepRuns,
    LimitSpec,
    Renewal,
    SinkSpec,
)
from crawlerd.core.notation import UNIX
from crawlerd.core.outcome import RetryPolicy
from crawlerd.core.private_fields import FieldRules
from crawlerd.core.schedule_rules import Schedule, jitter_problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from crawlerd.config.checked_rows import Account
    from crawlerd.config.file import AccountTable, ImportTable, SinkTable
    from crawlerd.config.validation import Checked
    from crawlerd.source import Source

MIB = 1024 * 1024
A_DAY = 86_400.0  # seconds
# files of crawlerd in the state directory, apart from the frontier's
OWN_FILES = ("lock", "crawlerd.sock", "notify.json")


def daemon(config: Checked, folder: Path) -> Daemon:
    """folder: where relative paths start."""
    table = config.daemon
    return Daemon(
        state_dir=folder / table.state_dir,
        listen=(str(folder / table.listen[0]), UNIX) if table.listen[1] == UNIX else table.listen,
        allow_remote=table.allow_remote,
        allowed_hosts=table.allowed_hosts,
        admin_token=table.admin_token.get_secret_value(),
        read_token=table.read_token.get_secret_value(),
        metrics_token=table.metrics_token.get_secret_value(),
        page=table.page,
        read_only=table.read_only,
        root_path=table.root_path,
        trusted_proxies=table.trusted_proxies,
        socket=folder / table.socket if table.socket else None,
        worker_processes=table.worker_processes or len(os.sched_getaffinity(0)),
        threads_per_process=table.threads_per_process,
        drain_seconds=table.drain_seconds,
        visibility_seconds=table.visibility_timeout,
        max_worker_memory_bytes=table.max_worker_memory_mb * MIB,
        log_level=table.log_level,
        log_format=table.log_format,
        catch_up_seconds=table.catch_up_spread,
        hash_key=table.hash_key.get_secret_value(),
        frontier=table.frontier.get_secret_value(),
        metrics_imports=table.metrics_imports,
        limiter_storage=_with_password(table.limiter_storage, table.limiter_password.get_secret_value()),
    )


def _with_password(address: str, password: str) -> str:
    if not address or not password:
        return address
    scheme, _, rest = address.partition("://")
    user, at, hosts = rest.rpartition("@")
    return f"{scheme}://{user if at else ''}:{quote(password, safe='')}@{hosts}"


def renewals(config: Checked, folder: Path) -> dict[str, Renewal]:
    """How expiring keys are renewed, by account.

    folder: where their commands are started.
    """
    return {
        name: Renewal(key.command, key.ttl, folder, account.base_url)
        for name, account in config.accounts.items()
        if isinstance(key := account.api_key, Printed) and key.ttl is not None
    }


class Usual(NamedTuple):
    """What accounts of one source with the same settings share.

    costly: limits that would never let a task start: where they are set, and why.
    """

    retry: RetryPolicy
    limits: LimitSpec
    costly: list[tuple[str, str]]


class AccountSpecs:
    """The accounts of a checked configuration. They are removed from it as they are made: both together would take 40
    MiB for 100,000 accounts.

    specs, limits: by account.
    problems: accounts for which their source has no address.
    costly: limits that would never let a task start.
    """

    def __init__(self, config: Checked, source_of: Callable[[Account], Source]) -> None:
        self.specs: dict[str, AccountSpec] = {}
        self.limits: dict[str, LimitSpec] = {}
        self.problems: list[str] = []
        self.costly: list[str] = []
        usual: dict[tuple[str, int], Usual] = {}  # by source and model, which many accounts share
        models: list[AccountTable] = []  # kept, so that no other model gets their ids
        for name in list(config.accounts):
            account = config.accounts.pop(name)
            source = source_of(account)
            key = source.name, id(account.usual)
            if (common := usual.get(key)) is None:
                models.append(account.usual)
                common = usual[key] = _usual(account.usual, source)
            self.limits[name] = common.limits
            self.costly += [f"accounts.{name}.{where}: {problem}" for where, problem in common.costly]
            try:
                self.specs[name] = _account(name, account, source, common.retry)
            except ValueError as error:
                own = account.base_url != source.base_url and "{" in account.base_url
                where = "variables" if source.sending and not own else "base_url"
                self.problems.append(f"accounts.{name}.{where}: {error}")


def _usual(account: AccountTable, source: Source) -> Usual:
    wait = _longest_wait(account, source)
    retry = RetryPolicy(account.attempts, account.retry_base, account.retry_cap, account.give_up_after, wait)
    limits = _limits(account, source)
    return Usual(retry, limits, list(_too_costly(limits, source)))


def _account(name: str, account: Account, source: Source, retry: RetryPolicy) -> AccountSpec:
    """An account. Raises ValueError if the source has no base URL for it, or its options do not fit."""
    usual, url, secret = account.usual, account.base_url, account.api_key.get_secret_value()
    if source.address and secret:
        url = source.address(url, secret)
    if source.sending:
        url = source.sending(url, account.options).base_url
    return AccountSpec(
        name=name,
        source=source.name,
        base_url=intern(url),
        secret=secret,
        request_seconds=usual.request_timeout,
        max_body_bytes=usual.max_body_mb * MIB,
        retry=retry,
        options=account.options,
    )


def _longest_wait(account: AccountTable, source: Source) -> float:
    """The longest wait in seconds that an API may ask for: the account's setting, otherwise the length of its longest
    quota, up to a day."""
    texts = [*(source.limits.account if account.limits is None else account.limits), *source.limits.bucket]
    for each in (account.bucket_limits or source.limits.by_bucket).values():
        texts += each
    return max(account.max_wait, min(A_DAY, _longest_window(tuple(texts))))


@cache
def _longest_window(limits: tuple[str, ...]) -> float:
    """The longest window of some limits, in seconds."""
    return max((notation.limit(text).get_expiry() for text in limits if text != "auto"), default=0.0)


def _limits(account: AccountTable, source: Source) -> LimitSpec:
    """The account's own limits, otherwise the source's. A bucket that only the source names keeps the source's limits
    and also gets the account's default, so that neither is exceeded."""
    usual, named = source.limits, dict(account.bucket_limits or {})
    default = named.pop("default", None)
    theirs = {bucket: notation.limits([*limits, *(default or ())]) for bucket, limits in usual.by_bucket.items()}
    return LimitSpec(
        limits=usual.account if account.limits is None else account.limits,
        bucket_limits=usual.bucket if default is None else default,
        by_bucket=theirs | named,
        concurrency=usual.concurrency if account.concurrency is None else account.concurrency,
        bucket_concurrency=usual.bucket_concurrency,
        smooth=account.smooth,
        weight=account.weight,
    )


def _too_costly(limits: LimitSpec, source: Source) -> Iterator[tuple[str, str]]:
    """Kinds of tasks that a limit would never let start."""
    for name, kind in source.kinds.items():
        if kind.cost <= 1:
            continue
        of_bucket = limits.by_bucket.get(kind.bucket) if isinstance(kind.bucket, str) else None
        for key, texts in (("limits", limits.limits), ("bucket_limits", of_bucket or limits.bucket_limits)):
            for text in texts:
                if text == "auto":
                    continue
                item = notation.limit(text)
                if (item.burst if isinstance(item, notation.BurstLimit) else item.amount) < kind.cost:
                    yield key, f'"{text}" never permits a task of {name}, which counts as {kind.cost} requests'


def sinks(
    config: Checked, folder: Path, accounts: Mapping[str, AccountSpec], problems: list[str]
) -> dict[str, SinkSpec]:
    """The sinks.

    folder: where relative paths start.
    problems: gets an entry for each sink that would write into files of something else.
    """
    found = {
        name: SinkSpec(
            name=name,
            type=sink.type,
            path=folder / _path(name, sink, config.daemon.state_dir),
            mode=sink.mode,
            rotate_bytes=sink.rotate_mb * MIB,
            rotate_seconds=sink.rotate_every,
            compress=sink.gzip,
            retain_tombstones=sink.retain_tombstones,
            retain_files=sink.retain_files,
            receiver=receiver(sink.path, sink, accounts) if sink.type == "http" else None,
            url=sink.url.get_secret_value() if sink.url else "",
            schema=sink.schema_name if sink.type == "postgresql" else "",
            columns=sink.columns,
        )
        for name, sink in config.sinks.items()
    }
    state = os.path.realpath(folder / config.daemon.state_dir)
    problems += [
        f"{key_path(('sinks', name, 'database' if found[name].type == 'http' else 'path'))}: {why}"
        for name, why in _in_each_others_way(found, state)
    ]
    own = own_sinks(config)
    for name, sink in own.items():
        deliver = config.imports[name].options.deliver
        if sink not in found and deliver.account in accounts:
            found[sink] = own_sink(sink, deliver, accounts[deliver.account], folder / config.daemon.state_dir)
    for pair in dict.fromkeys(_sink(each.usual, own.get(name)) for name, each in config.imports.items()):
        keeping, *delivering = (pair or "").split(AND)
        if pair and delivering and delivering[0] in found:
            found[pair] = replace(found[keeping], name=pair, beside=found[delivering[0]])
    return found


def _sink(table: ImportTable, own: str | None) -> str | None:
    """An import's sink, or the joined names of its two.

    own: the sink that its deliveries imply, if any.
    """
    if own is None:
        return table.sink
    return f"{table.sink}{AND}{own}" if table.sink else own


def _path(name: str, sink: SinkTable, state_dir: str) -> str:
    """Where a sink's files are; for some sinks, by default in the state directory."""
    if sink.type == "http":
        return sink.database or f"{state_dir}/outbox-{name}.db"
    return f"{state_dir}/{sink.type}-{name}" if sink.type in ("stdout", "postgresql") else sink.path


def _in_each_others_way(sinks: Mapping[str, SinkSpec], state: str) -> Iterator[tuple[str, str]]:
    """Sinks whose paths conflict, by name, and why.

    state: the state directory's real path.
    """
    paths: dict[str, SinkSpec] = {}
    databases: dict[str, SinkSpec] = {}
    for name in sorted(sinks):
        sink = sinks[name]
        path, database = os.path.realpath(sink.path), os.path.realpath(sink.database)
        folder, file = os.path.split(database)
        if database == os.path.join(state, FRONTIER_FILE):
            yield name, "is the frontier's own database; take another file"
        elif folder == state and (
            sink.type not in ("sqlite", "http", "postgresql") or file.startswith("frontier.") or file in OWN_FILES
        ):
            yield name, "would write among the frontier's own files; take another path"
        elif (other := paths.get(path)) and {other.type, sink.type} != {"sqlite"}:
            yield name, f"is the path of sinks.{other.name} as well; use one for both"
        elif (other := databases.get(database)) and {other.type, sink.type} != {"sqlite"}:
            yield name, f"keeps its records in the same file as sinks.{other.name}; take another path"
        paths.setdefault(path, sink)
        databases.setdefault(database, sink)


def _streams(table: ImportTable, source: Source) -> tuple[str, ...]:
    """All streams that an import reads, each once."""
    named = [stream for stream in table.streams if stream != "*"]
    if "*" not in table.streams:
        return tuple(dict.fromkeys(named))
    streams = [*source.streams, *named]
    for stream in named:  # a stream of an extension may be made from one that "*" leaves out
        needed = [each.stream for each in source.subscriptions if stream in each.streams]
        if needed and set(needed).isdisjoint(streams):
            streams += needed
    return tuple(dict.fromkeys(streams))


# settings that imports share
Common = tuple[tuple[str, ...], KeepRuns, Schedule | None, dict[str, FieldRules], "ImportTable"]


def imports(
    config: Checked, accounts: Mapping[str, AccountSpec], sources: Mapping[str, Source], problems: list[str]
) -> dict[str, ImportSpec]:
    """The imports of a checked configuration. They are removed from it as they are made.

    problems: gets an entry for each schedule that cannot work.
    """
    specs = {}
    own, zone = own_sinks(config), config.daemon.time_zone
    # by source and model
    shared: dict[tuple[str, int], Common] = {}
    for name in list(config.imports):
        each = config.imports.pop(name)
        if each.account not in accounts:
            continue  # something is wrong with it, which was reported
        usual, source = each.usual, sources[accounts[each.account].source]
        key = source.name, id(usual)
        if (common := shared.get(key)) is None:
            keep_runs, schedule = _keep(usual.keep_runs.count, usual.keep_runs.days), _schedule(usual, zone)
            fields = {stream: each.rules for stream, each in usual.fields.items()}
            # the model is kept, so that no other gets its id
            common = shared[key] = _streams(usual, source), keep_runs, schedule, fields, usual
        streams, keep_runs, schedule, fields, _ = common
        if schedule is not None and schedule.jitter and (why := jitter_problem(schedule)):
            problems.append(f"{key_path(('imports', name, 'jitter'))}: {why}")
        specs[name] = ImportSpec(
            name=name,
            account=intern(each.account),
            sink=(sink := _sink(usual, own.get(name))) and intern(sink),
            streams=streams,
            schedule=schedule,
            full_every=usual.full_every,
            deadline=usual.deadline,
            priority=usual.priority,
            options=each.options,
            keep_runs=keep_runs,
            fields=fields,
        )
    return specs


def _schedule(table: ImportTable, zone: str) -> Schedule | None:
    """The schedule of an import; None for on demand.

    zone: the time zone, if the import names none.
    """
    if table.schedule is None:
        return None
    return Schedule(
        text=table.schedule, zone=table.time_zone or zone, jitter=table.jitter or 0.0, catch_up=table.catch_up
    )


@cache
def _keep(count: int, days: float) -> KeepRuns:
    return KeepRuns(count, days * 86_400)
