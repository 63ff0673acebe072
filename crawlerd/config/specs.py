"""From a checked configuration to what the engine is given: paths made absolute, defaults of the sources filled in."""

from __future__ import annotations

import os
from functools import cache
from sys import intern
from typing import TYPE_CHECKING
from urllib.parse import quote

from msgspec.structs import replace

from crawlerd.config.load import Renewal
from crawlerd.config.problems import key_path
from crawlerd.config.receivers import AND, own_sink, own_sinks, receiver
from crawlerd.config.references import Printed
from crawlerd.core import notation
from crawlerd.core.configuration import FRONTIER_FILE, AccountSpec, Daemon, ImportSpec, KeepRuns, LimitSpec, SinkSpec
from crawlerd.core.notation import UNIX
from crawlerd.core.outcome import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from crawlerd.config.file import AccountTable, Config, ImportTable, SinkTable
    from crawlerd.source import Source

MIB = 1024 * 1024
A_DAY = 86_400.0  # seconds
OWN_FILES = ("lock", "crawlerd.sock")  # of the state directory, beside those of the frontier


def daemon(config: Config, folder: Path) -> Daemon:
    """folder: where relative paths start."""
    table = config.daemon
    return Daemon(
        state_dir=folder / table.state_dir,
        listen=(str(folder / table.listen[0]), UNIX) if table.listen[1] == UNIX else table.listen,
        allow_remote=table.allow_remote,
        hosts=table.hosts,
        socket=folder / table.socket if table.socket else None,
        worker_processes=table.worker_processes or len(os.sched_getaffinity(0)),
        threads_per_process=table.threads_per_process,
        drain_seconds=table.drain_seconds,
        visibility_seconds=table.visibility_timeout,
        max_worker_memory_bytes=table.max_worker_memory_mb * MIB,
        log_level=table.log_level,
        limiter_storage=_with_password(table.limiter_storage, table.limiter_password.get_secret_value()),
    )


def _with_password(address: str, password: str) -> str:
    if not address or not password:
        return address
    scheme, _, rest = address.partition("://")
    user, at, hosts = rest.rpartition("@")
    return f"{scheme}://{user if at else ''}:{quote(password, safe='')}@{hosts}"


def renewals(config: Config, folder: Path) -> dict[str, Renewal]:
    """By account: how keys that expire are asked for again. folder: where their commands are started."""
    return {
        name: Renewal(key.command, key.ttl, folder, account.base_url)
        for name, account in config.accounts.items()
        if isinstance(key := account.api_key, Printed) and key.ttl is not None
    }


def accounts(config: Config, sources: Mapping[str, Source], problems: list[str]) -> dict[str, AccountSpec]:
    """sources: by account. problems: gets accounts for which the source knows no address."""
    specs = {}
    for name, account in config.accounts.items():
        try:
            specs[name] = _account(name, account, sources[name])
        except ValueError as error:
            own = account.base_url != sources[name].base_url and "{" in account.base_url
            where = "variables" if sources[name].sending and not own else "base_url"
            problems.append(f"accounts.{name}.{where}: {error}")
    return specs


def _account(name: str, account: AccountTable, source: Source) -> AccountSpec:
    """ValueError when the source knows no base URL for it, or its options do not fit."""
    secret = intern(account.api_key.get_secret_value())
    url = source.address(account.base_url, secret) if source.address and secret else intern(account.base_url)
    if source.sending:
        url = source.sending(url, account.options).base_url
    return AccountSpec(
        name=name,
        source=source.name,
        base_url=url,
        secret=secret,
        request_seconds=account.request_timeout,
        max_body_bytes=account.max_body_mb * MIB,
        retry=_retry(
            account.attempts,
            account.retry_base,
            account.retry_cap,
            account.give_up_after,
            _longest_wait(account, source),
        ),
        options=account.options,
    )


@cache
def _retry(attempts: int, base: float, cap: float, give_up_after: float, max_wait: float) -> RetryPolicy:
    return RetryPolicy(attempts, base, cap, give_up_after, max_wait)


def _longest_wait(account: AccountTable, source: Source) -> float:
    """Seconds that an API may ask for, at most: as long as the account says, or as the longest of its quotas is, up to
    a day."""
    texts = [*(source.limits.account if account.limits is None else account.limits), *source.limits.bucket]
    for each in (account.bucket_limits or source.limits.by_bucket).values():
        texts += each
    return max(account.max_wait, min(A_DAY, _longest_window(tuple(texts))))


@cache
def _longest_window(limits: tuple[str, ...]) -> float:
    """In seconds."""
    return max((notation.limit(text).get_expiry() for text in limits if text != "auto"), default=0.0)


def limits(config: Config, sources: Mapping[str, Source], problems: list[str]) -> dict[str, LimitSpec]:
    """By account. sources: by account. problems: gets limits that would never let a task start."""
    specs = {}
    shared: dict[tuple[object, ...], tuple[LimitSpec, list[tuple[str, str]]]] = {}  # 100,000 accounts may have the same
    for name, account in config.accounts.items():
        source, buckets = sources[name], (account.bucket_limits or {}).items()
        key = (source.name, account.limits, account.concurrency, account.smooth, account.weight, *buckets)
        if key not in shared:
            spec = _limits(account, source)
            shared[key] = spec, list(_too_costly(spec, source))
        specs[name], costly = shared[key]
        problems += [f"accounts.{name}.{where}: {problem}" for where, problem in costly]
    return specs


def _limits(account: AccountTable, source: Source) -> LimitSpec:
    """The account's own limits, else the source's. A bucket that only the source names keeps the source's limits and
    gets the account's default too, so that neither is exceeded."""
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
    """Kinds of task that a limit would never let start."""
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
    config: Config, folder: Path, accounts: Mapping[str, AccountSpec], problems: list[str]
) -> dict[str, SinkSpec]:
    """folder: where relative paths start. problems: gets sinks that would write into files of others."""
    found = {
        name: SinkSpec(
            name=name,
            type=sink.type,
            path=folder / _path(name, sink, config.daemon.state_dir),
            mode=sink.mode,
            rotate_bytes=sink.rotate_mb * MIB,
            rotate_seconds=sink.rotate_every,
            compress=sink.gzip,
            receiver=receiver(sink.path, sink, accounts) if sink.type == "http" else None,
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
    for pair in dict.fromkeys(_sink(each, own.get(name)) for name, each in config.imports.items()):
        keeping, *delivering = (pair or "").split(AND)
        if pair and delivering and delivering[0] in found:
            found[pair] = replace(found[keeping], name=pair, beside=found[delivering[0]])
    return found


def _sink(table: ImportTable, own: str | None) -> str | None:
    """An import's sink, or the names of its two. own: that of its deliveries, if it has any."""
    if own is None:
        return table.sink
    return f"{table.sink}{AND}{own}" if table.sink else own


def _path(name: str, sink: SinkTable, state_dir: str) -> str:
    """Where a sink's files are; some have them in the state directory by default."""
    if sink.type == "http":
        return sink.database or f"{state_dir}/outbox-{name}.db"
    return f"{state_dir}/stdout-{name}" if sink.type == "stdout" else sink.path


def _in_each_others_way(sinks: Mapping[str, SinkSpec], state: str) -> Iterator[tuple[str, str]]:
    """Sinks that cannot be where they are, by name, and why. state: the state directory's real path."""
    paths: dict[str, SinkSpec] = {}
    databases: dict[str, SinkSpec] = {}
    for name in sorted(sinks):
        sink = sinks[name]
        path, database = os.path.realpath(sink.path), os.path.realpath(sink.database)
        folder, file = os.path.split(database)
        if database == os.path.join(state, FRONTIER_FILE):
            yield name, "is the frontier's own database; take another file"
        elif folder == state and (
            sink.type not in ("sqlite", "http") or file.startswith("frontier.") or file in OWN_FILES
        ):
            yield name, "would write among the frontier's own files; take another path"
        elif (other := paths.get(path)) and {other.type, sink.type} != {"sqlite"}:
            yield name, f"is the path of sinks.{other.name} as well; use one for both"
        elif (other := databases.get(database)) and {other.type, sink.type} != {"sqlite"}:
            yield name, f"keeps its records in the same file as sinks.{other.name}; take another path"
        paths.setdefault(path, sink)
        databases.setdefault(database, sink)


def _streams(table: ImportTable, source: Source) -> tuple[str, ...]:
    """All that an import reads, each once."""
    named = [stream for stream in table.streams if stream != "*"]
    if "*" not in table.streams:
        return tuple(dict.fromkeys(named))
    streams = [*source.streams, *named]
    for stream in named:  # what an extension adds may be made of one that "*" leaves out
        needed = [each.stream for each in source.subscriptions if stream in each.streams]
        if needed and set(needed).isdisjoint(streams):
            streams += needed
    return tuple(dict.fromkeys(streams))


def imports(config: Config, sources: Mapping[str, Source]) -> dict[str, ImportSpec]:
    """sources: by account."""
    specs = {}
    own = own_sinks(config)
    shared: dict[tuple[str, tuple[str, ...]], tuple[str, ...]] = {}
    for name, each in config.imports.items():
        source = sources[each.account]
        streams = shared.get((source.name, each.streams))
        if streams is None:
            streams = _streams(each, source)
            shared[source.name, each.streams] = streams
        specs[name] = ImportSpec(
            name=name,
            account=intern(each.account),
            sink=(sink := _sink(each, own.get(name))) and intern(sink),
            streams=streams,
            every=each.schedule,
            priority=each.priority,
            options=each.options,
            keep_runs=_keep(each.keep_runs.count, each.keep_runs.days),
        )
    return specs


@cache
def _keep(count: int, days: float) -> KeepRuns:
    return KeepRuns(count, days * 86_400)
