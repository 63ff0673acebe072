"""Reads the configuration file: all of it as `Settings`, or the state directory alone."""

from __future__ import annotations

import gc
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import tomli

from crawlerd.config import overrides
from crawlerd.core.errors import ConfigurationError
from crawlerd.files.bounded_reading import read_whole
from crawlerd.files.owners import reading_failure

if TYPE_CHECKING:  # at run time only `load` imports the rest, since `status` has no use for it
    from collections.abc import Mapping
    from pathlib import Path

    from crawlerd.config.ad_hoc import AdHoc
    from crawlerd.config.environment import LocalEnvironment
    from crawlerd.core.configuration import AccountSpec, Daemon, ImportSpec, LimitSpec, SinkSpec
    from crawlerd.source import Source, SourceFamily


class Renewal(NamedTuple):
    """How a key that a command prints is asked for again.

    command: the program and its arguments, started in `folder`.
    seconds: how long a key is good.
    base_url: of the account, before its key says more about it.
    """

    command: tuple[str, ...]
    seconds: float
    folder: Path
    base_url: str


@dataclass(frozen=True, slots=True)
class Settings:
    """A valid configuration. All but the daemon by name."""

    daemon: Daemon
    accounts: dict[str, AccountSpec]
    limits: dict[str, LimitSpec]  # by account
    sources: dict[str, Source]  # those that an account uses
    descriptions: dict[str, tuple[str, dict[str, Any]]]  # of sources made from one: the entry point, the description
    sinks: dict[str, SinkSpec]
    imports: dict[str, ImportSpec]
    renewals: dict[str, Renewal] = field(default_factory=dict)  # by account
    warnings: tuple[str, ...] = ()  # what is allowed and should not be so


class Registry(Protocol):
    """Where sources are found, as `crawlerd.sources.registry` finds them."""

    def source_names(self) -> list[str]:
        """All that there are; imports none of them."""
        ...

    def load(self, name: str) -> Source | SourceFamily:
        """ConfigurationError when it cannot be used."""
        ...


def load(path: Path, *, registry: Registry, secrets: bool = True, ad_hoc: AdHoc | None = None) -> Settings:
    """Reads and checks the configuration file. Relative paths in it start at its own directory.

    secrets: False leaves every account's secret empty, for commands that send no request.
    ad_hoc: what a command changes of it, for one run.
    Raises ConfigurationError with all problems at once.
    """
    from crawlerd.config.ad_hoc import changed, marked
    from crawlerd.config.csv_tables import with_rows
    from crawlerd.config.environment import LocalEnvironment

    environment = LocalEnvironment(path.absolute().parent, registry, with_secrets=secrets)
    gc.disable()  # it finds nothing here, and takes a quarter of the time with many accounts
    try:
        document, places = with_rows(_document(path), str(path), environment)
        try:
            if ad_hoc is None:
                return _load(document, path, environment)
            return marked(_load(changed(document, ad_hoc, environment), path, environment), ad_hoc)
        except ConfigurationError as error:
            problems = overrides.named(error.problems, str(path), os.environ)
            raise ConfigurationError(places.placed(problems)) from None
    finally:
        gc.enable()


def _load(document: Mapping[str, Any], path: Path, environment: LocalEnvironment) -> Settings:
    from crawlerd.config import specs
    from crawlerd.config.file import parse
    from crawlerd.config.receivers import giving_up_in_time

    folder = path.absolute().parent
    config = parse(document, str(path), environment)
    sources = {name: environment.source_of(account) for name, account in config.accounts.items()}
    problems: list[str] = []
    accounts = specs.accounts(config, sources, problems)
    sinks = specs.sinks(config, folder, accounts, problems)
    settings = Settings(
        daemon=specs.daemon(config, folder),
        limits=specs.limits(config, sources, problems),
        accounts=giving_up_in_time(accounts, sinks.values()),
        sources=environment.sources,
        descriptions=environment.descriptions,
        sinks=sinks,
        imports=specs.imports(config, sources),
        renewals=specs.renewals(config, folder),
        warnings=tuple(environment.warnings),
    )
    if problems:
        raise ConfigurationError([f"{path}: {each}" for each in problems])
    return settings


def state_dir(path: Path) -> Path:
    """The state directory alone, absolute: 30 times faster than `load`. Checks nothing else in the file."""
    daemon = _document(path).get("daemon")
    value = daemon.get("state_dir") if isinstance(daemon, dict) else None
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ConfigurationError([f'{path}: daemon.state_dir: must be a path; write state_dir = "/var/lib/crawlerd"'])
    return path.absolute().parent / value


def socket_path(path: Path) -> Path | None:
    """The path of the daemon's socket alone, absolute; None when the file does not say."""
    daemon = _document(path).get("daemon")
    value = daemon.get("socket") if isinstance(daemon, dict) else None
    return path.absolute().parent / value if isinstance(value, str) and value.strip() else None


def _document(path: Path) -> dict[str, Any]:
    try:
        return overrides.overridden(tomli.loads(read_whole(path).decode("utf-8-sig")), os.environ)
    except OSError as error:
        problem = reading_failure(path, error)
        if isinstance(error, FileNotFoundError):
            problem += f" (in {path.absolute().parent}); name the configuration file with `crawlerd -c FILE`"
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8 text (byte {error.start})"
    except (ValueError, RecursionError) as error:  # also integers of 5,000 digits and 1,000 nested lists
        problem = f"is not valid TOML: {error}".replace("Invalid value", "invalid value; text must stand in quotes")
    raise ConfigurationError([f"{path}: {problem}"])
