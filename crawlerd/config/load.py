"""From the configuration file to what the daemon runs on: sources found, secrets looked up, paths made absolute."""

from __future__ import annotations

import errno
import gc
import os
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from sys import intern
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

from crawlerd.core.account import FRONTIER_FILE, AccountSpec, Daemon, ImportSpec, LimitSpec, SinkSpec
from crawlerd.core.errors import ConfigurationError
from crawlerd.core.outcome import RetryPolicy

if TYPE_CHECKING:  # at run time only `load` imports these, since `status` has no use for them
    from collections.abc import Iterator, Mapping

    from crawlerd.config.facts import SourceFacts
    from crawlerd.config.file import Account, Config
    from crawlerd.source import Source, SourceFamily

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Settings:
    """A valid configuration. All but the daemon by name; sources: those that an account uses. descriptions: of those
    that were made from one, with the entry point that made them."""

    daemon: Daemon
    accounts: dict[str, AccountSpec]
    limits: dict[str, LimitSpec]
    sources: dict[str, Source]
    descriptions: dict[str, tuple[str, dict[str, Any]]]
    sinks: dict[str, SinkSpec]
    imports: dict[str, ImportSpec]


class Registry(Protocol):
    """Where sources are found, as `crawlerd.sources.registry` finds them."""

    def source_names(self) -> list[str]:
        """All that there are; imports none of them."""
        ...

    def load(self, name: str) -> Source | SourceFamily:
        """ConfigurationError when it cannot be used."""
        ...


def load(path: Path, *, registry: Registry, secrets: bool = True) -> Settings:
    """Reads and checks the configuration file. Relative paths in it start at its own directory.

    secrets: False leaves every account's secret empty, for commands that send no request. Raises ConfigurationError
    with all problems at once.
    """
    from crawlerd.config.csv_tables import with_rows

    machine = _Machine(path.absolute().parent, registry, secrets=secrets)
    gc.disable()  # it finds nothing here, and takes a quarter of the time with many accounts
    try:
        document, places = with_rows(_document(path), str(path), machine)
        try:
            return _load(document, path, machine)
        except ConfigurationError as error:
            raise ConfigurationError(places.placed(error.problems)) from None
    finally:
        gc.enable()


def _load(document: dict[str, Any], path: Path, machine: _Machine) -> Settings:
    from crawlerd.config.file import parse

    folder = path.absolute().parent
    config = parse(document, str(path), machine)
    sources = {name: machine.source_of(account) for name, account in config.accounts.items()}
    limits, problems = {}, []
    shared: dict[tuple[object, ...], tuple[LimitSpec, list[tuple[str, str]]]] = {}  # 100,000 accounts may have the same
    for name, account in config.accounts.items():
        source, buckets = sources[name], (account.bucket_limits or {}).items()
        key = (source.name, account.limits, account.concurrency, account.smooth, account.weight, *buckets)
        if key not in shared:
            spec = _limits(account, source)
            shared[key] = spec, list(_too_costly(spec, source))
        limits[name], costly = shared[key]
        problems += [f"{path}: accounts.{name}.{where}: {problem}" for where, problem in costly]
    accounts = {}
    for name, account in config.accounts.items():
        try:
            accounts[name] = _account(name, account, sources[name])
        except ValueError as error:
            own = account.base_url != sources[name].base_url and "{" in account.base_url
            where = "variables" if sources[name].sending and not own else "base_url"
            problems.append(f"{path}: accounts.{name}.{where}: {error}")
    frontier = os.path.realpath(folder / config.daemon.state_dir / FRONTIER_FILE)
    problems += [
        f"{path}: sinks.{name}.path: is the frontier's own database; take another file"
        for name, sink in config.sinks.items()
        if os.path.realpath(folder / sink.path) == frontier
    ]
    if problems:
        raise ConfigurationError(problems)
    return Settings(
        daemon=_daemon(config, folder),
        accounts=accounts,
        limits=limits,
        sources=machine.sources,
        descriptions=machine.descriptions,
        sinks={
            name: SinkSpec(
                name=name,
                type=sink.type,
                path=folder / sink.path,
                rotate_bytes=sink.rotate_mb * MIB,
                rotate_seconds=sink.rotate_every,
                compress=sink.gzip,
            )
            for name, sink in config.sinks.items()
        },
        imports=_imports(config, sources),
    )


def state_dir(path: Path) -> Path:
    """The state directory alone, absolute: 30 times faster than `load`. Checks nothing else in the file."""
    daemon = _document(path).get("daemon")
    value = daemon.get("state_dir") if isinstance(daemon, dict) else None
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ConfigurationError([f'{path}: daemon.state_dir: must be a path; write state_dir = "/var/lib/crawlerd"'])
    return path.absolute().parent / value


def _document(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8 text (byte {error.start})"
    except (ValueError, RecursionError) as error:  # also integers of 5,000 digits and 1,000 nested lists
        problem = f"is not valid TOML: {error}".replace("Invalid value", "invalid value; text must stand in quotes")
    raise ConfigurationError([f"{path}: {problem}"])


class _Machine:
    """Answers the checks' questions, see `crawlerd.config.file.Machine`. sources: those asked for so far, by name;
    descriptions: as of `Settings`."""

    def __init__(self, folder: Path, registry: Registry, *, secrets: bool) -> None:
        self.sources: dict[str, Source] = {}
        self.descriptions: dict[str, tuple[str, dict[str, Any]]] = {}
        self._entries: dict[str, Source | SourceFamily] = {}
        self._facts: dict[str, SourceFacts] = {}
        self._registry = registry
        self._installed = registry.source_names()
        self._folder = folder
        self._secrets = secrets

    def source(self, name: str) -> SourceFacts:
        if name in self._entries:  # a hundred thousand accounts may ask
            return self._facts[name]
        from crawlerd.config.facts import SourceFacts
        from crawlerd.config.problems import instead
        from crawlerd.source import SourceFamily

        if name not in self._installed:
            raise ValueError(f'there is no source "{name}"; {instead(name, self._installed)}')
        try:
            entry = self._registry.load(name)
        except ConfigurationError as error:
            raise ValueError("; ".join(error.problems)) from None
        if isinstance(entry, SourceFamily):
            self._facts[name] = SourceFacts(options=entry.options, family=True)
        else:
            self.sources[name], self._facts[name] = entry, _facts(entry)
        self._entries[name] = entry
        return self._facts[name]

    def described(self, name: str, options: Any) -> SourceFacts:
        source = self._made(name, options)
        if source.name not in self._facts:
            self._facts[source.name] = _facts(source)
        return self._facts[source.name]

    def _made(self, name: str, options: Any) -> Source:
        from crawlerd.source import SourceFamily

        family = self._entries[name]
        assert isinstance(family, SourceFamily)  # noqa: S101 - the checks ask for those that `source` calls so only
        description = family.read(options, self._folder)
        known = description["name"]
        if known in self._installed:
            raise ValueError(f'its description calls itself "{known}", which is the name of an installed source')
        if self.descriptions.setdefault(known, (name, description)) != (name, description):
            raise ValueError(f'another description that accounts use calls itself "{known}" too; rename one')
        if known not in self.sources:
            self.sources[known] = family.make(description)
        return self.sources[known]

    def source_of(self, account: Account) -> Source:
        """The source of a checked account."""
        from crawlerd.source import Source

        entry = self._entries[account.source]
        if isinstance(entry, Source):
            return entry
        return self._made(account.source, msgspec.convert(account.options, entry.options))

    def text(self, file: str) -> str:
        try:
            return (self._folder / file).read_bytes().decode("utf-8-sig")
        except OSError as error:
            raise ValueError(f"cannot be read: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise ValueError(f"is not UTF-8 text (byte {error.start})") from None

    def options(
        self, kind: Literal["accounts", "imports"], table: Mapping[str, Any], document: Mapping[str, Any]
    ) -> type | None:
        account = table if kind == "accounts" else document.get("accounts", {}).get(table.get("account"), {})
        try:
            facts = self.source(account["source"])
        except (KeyError, TypeError, ValueError):
            return None
        return facts.options if kind == "accounts" else facts.import_options

    def secret(self, kind: Literal["env", "file", "credential"], name: str) -> str:
        if not self._secrets:
            return ""
        if kind == "env":
            what, secret = f"the environment variable {name}", os.environ.get(name)
            if secret is None:
                raise ValueError(f"{what} is not set")
        else:
            what, secret = f"the {kind}", self._read(kind, name)
        secret = secret.removesuffix("\n").removesuffix("\r")
        if not secret:
            raise ValueError(f"{what} is empty")
        if not re.fullmatch("[!-~]+", secret):
            raise ValueError(f"{what} must hold the key alone, on one line, without spaces and in ASCII")
        return secret

    def _read(self, kind: Literal["file", "credential"], name: str) -> str:
        folder = self._folder if kind == "file" else Path(os.environ.get("CREDENTIALS_DIRECTORY", ""))
        if kind == "credential" and not folder.is_absolute():
            raise ValueError(
                "only systemd gives credentials ($CREDENTIALS_DIRECTORY is not set); use { env = … } or { file = … }"
            )
        try:
            return (folder / name).read_bytes().decode("latin-1")  # any bytes: what is no key is told by its caller
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
                raise ValueError(f"{folder / name} cannot be read by user id {os.getuid()}: {error.strerror}") from None
        # A path that does not exist is not quoted: it could be the key itself, written in the wrong place.
        hint = "relative paths start at" if kind == "file" else "LoadCredential=NAME:PATH in the unit puts it into"
        raise ValueError(f"there is no such {kind}; {hint} {folder}")


def _facts(source: Source) -> SourceFacts:
    """ValueError when the source's own limits are none."""
    from crawlerd.config.facts import SourceFacts
    from crawlerd.core import notation

    try:
        for texts in (source.limits, source.bucket_limits, *source.by_bucket.values()):
            notation.limits(texts)
    except ValueError as error:
        raise ValueError(f'the limits of the source "{source.name}" cannot be used: {error}') from None
    buckets = [kind.bucket for kind in source.kinds.values()]
    fixed = {bucket for bucket in buckets if isinstance(bucket, str)}
    return SourceFacts(
        streams=(*source.streams, *source.optional),
        base_url=source.base_url,
        needs_key=source.auth is not None and not source.key_optional,
        buckets=fixed | source.by_bucket.keys() if all(isinstance(bucket, str) for bucket in buckets) else None,
        options=source.options,
        import_options=source.import_options,
    )


def _daemon(config: Config, folder: Path) -> Daemon:
    daemon = config.daemon
    return Daemon(
        state_dir=folder / daemon.state_dir,
        listen=daemon.listen,
        worker_processes=daemon.worker_processes or len(os.sched_getaffinity(0)),
        threads_per_process=daemon.threads_per_process,
        drain_seconds=daemon.drain_seconds,
        visibility_seconds=daemon.visibility_timeout,
        max_worker_memory_bytes=daemon.max_worker_memory_mb * MIB,
        log_level=daemon.log_level,
        limiter_storage=daemon.limiter_storage,
    )


def _account(name: str, account: Account, source: Source) -> AccountSpec:
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
        retry=_retry(account.attempts, account.retry_base, account.retry_cap),
        options=account.options,
    )


@cache
def _retry(attempts: int, base: float, cap: float) -> RetryPolicy:
    return RetryPolicy(attempts, base, cap)


def _limits(account: Account, source: Source) -> LimitSpec:
    """The account's own limits, else the source's. A bucket that the source names and the account does not keeps the
    source's limits beside the account's default, so that neither is exceeded."""
    from crawlerd.core import notation

    named = dict(account.bucket_limits or {})
    default = named.pop("default", None)
    theirs = {bucket: notation.limits([*limits, *(default or ())]) for bucket, limits in source.by_bucket.items()}
    return LimitSpec(
        limits=source.limits if account.limits is None else account.limits,
        bucket_limits=source.bucket_limits if default is None else default,
        by_bucket=theirs | named,
        concurrency=source.concurrency if account.concurrency is None else account.concurrency,
        bucket_concurrency=source.bucket_concurrency,
        smooth=account.smooth,
        weight=account.weight,
    )


def _too_costly(limits: LimitSpec, source: Source) -> Iterator[tuple[str, str]]:
    """Kinds of task that a limit would never let start."""
    from crawlerd.core.notation import BurstLimit, limit

    for name, kind in source.kinds.items():
        if kind.cost <= 1:
            continue
        of_bucket = limits.by_bucket.get(kind.bucket) if isinstance(kind.bucket, str) else None
        for key, texts in (("limits", limits.limits), ("bucket_limits", of_bucket or limits.bucket_limits)):
            for text in texts:
                if text == "auto":
                    continue
                item = limit(text)
                if (item.burst if isinstance(item, BurstLimit) else item.amount) < kind.cost:
                    yield key, f'"{text}" never permits a task of {name}, which counts as {kind.cost} requests'


def _imports(config: Config, sources: dict[str, Source]) -> dict[str, ImportSpec]:
    specs = {}
    shared: dict[tuple[str, tuple[str, ...]], tuple[str, ...]] = {}
    for name, each in config.imports.items():
        source = sources[each.account]
        streams = shared.get((source.name, each.streams))
        if streams is None:
            named = [stream for stream in each.streams if stream != "*"]
            streams = tuple(dict.fromkeys([*source.streams, *named] if "*" in each.streams else named))
            shared[source.name, each.streams] = streams
        specs[name] = ImportSpec(
            name=name,
            account=intern(each.account),
            sink=each.sink and intern(each.sink),
            streams=streams,
            every=each.schedule,
            priority=each.priority,
            options=each.options,
        )
    return specs
