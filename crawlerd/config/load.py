"""Reads the configuration file: all of it as `Settings`, or only the state directory."""

from __future__ import annotations

import gc
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import tomli

from crawlerd.config import overrides
from crawlerd.config.parts import with_parts
from crawlerd.core.errors import ConfigurationError
from crawlerd.files.bounded_reading import read_whole
from crawlerd.files.owners import reading_failure

if TYPE_CHECKING:  # at run time, only `load` imports these, since `status` does not need them
    from collections.abc import Callable
    from pathlib import Path

    from crawlerd.config.ad_hoc import AdHoc
    from crawlerd.config.compact_tables import Packer
    from crawlerd.config.csv_tables import Places
    from crawlerd.config.environment import LocalEnvironment
    from crawlerd.config.validation import Checked
    from crawlerd.core.configuration import (
        AccountSpec,
        Daemon,
        ImportSpec,
        InboxSpec,
        LimitSpec,
        Renewal,
        SinkSpec,
        SpoolSpec,
    )
    from crawlerd.core.notify_spec import NotifySpec
    from crawlerd.source import Source, SourceFamily

T = TypeVar("T")


@dataclass(slots=True)
class Settings:
    """A valid configuration. Everything but the daemon and `notify` is by name. A reload changes it in place, on the
    store's thread."""

    daemon: Daemon
    accounts: dict[str, AccountSpec]
    limits: dict[str, LimitSpec]  # by account
    sources: dict[str, Source]  # those that an account uses
    # of sources made from a description: the entry point, the description
    descriptions: dict[str, tuple[str, dict[str, Any]]]
    sinks: dict[str, SinkSpec]
    imports: dict[str, ImportSpec]
    renewals: dict[str, Renewal] = field(default_factory=dict)  # by account
    spool: SpoolSpec | None = None
    inbox: InboxSpec | None = None
    warnings: tuple[str, ...] = ()  # what is allowed but should not be done
    notify: NotifySpec | None = None
    file: Path | None = None  # absolute; None if the settings were made without a file


class Registry(Protocol):
    """Finds sources; `crawlerd.sources.registry` is one."""

    def source_names(self) -> list[str]:
        """The names of all installed sources, without importing them."""
        ...

    def load(self, name: str) -> Source | SourceFamily:
        """The source. Raises ConfigurationError if it cannot be used."""
        ...


def load(path: Path, *, registry: Registry, secrets: bool = True, ad_hoc: AdHoc | None = None) -> Settings:
    """Reads and checks the configuration file. Relative paths in it start at its own directory.

    Raises ConfigurationError with all problems at once.

    secrets: if False, every account's secret is empty, for commands that send no request.
    ad_hoc: what a command changes for one run.
    """
    from crawlerd.config.ad_hoc import changed, marked
    from crawlerd.config.compact_tables import Packer
    from crawlerd.config.csv_tables import with_rows
    from crawlerd.config.environment import LocalEnvironment
    from crawlerd.config.key_places import KeyPlaces
    from crawlerd.config.validation import parse

    environment = LocalEnvironment(path.absolute().parent, registry, with_secrets=secrets)
    gc.disable()  # there is no garbage here, and with many accounts collections take a quarter of the time
    try:
        packer = Packer()
        document = _document(path, packer)
        try:
            document, places = with_rows(document, str(path), environment, packer)
        except ConfigurationError as error:
            raise ConfigurationError(KeyPlaces(path).placed(error.problems)) from None
        packer.forget()
        try:
            if ad_hoc is not None:
                document = changed(document, ad_hoc, environment)
            config = parse(document, str(path), environment)
            del document  # with 100,000 accounts it takes 30 MiB
            settings = _settings(config, path, environment)
            return settings if ad_hoc is None else marked(settings, ad_hoc)
        except ConfigurationError as error:
            problems = overrides.named(error.problems, str(path), os.environ)
            raise ConfigurationError(KeyPlaces(path).placed(places.placed(problems))) from None
    finally:
        gc.enable()


def document_of(path: Path, registry: Registry) -> tuple[dict[str, Any], Places]:
    """The whole document with the rows of its CSV files, unchecked, and the places of those rows."""
    from crawlerd.config.compact_tables import Packer
    from crawlerd.config.csv_tables import with_rows
    from crawlerd.config.environment import LocalEnvironment

    packer = Packer()
    written = _document(path, packer)
    environment = LocalEnvironment(path.absolute().parent, registry, with_secrets=False)
    document, places = with_rows(written, str(path), environment, packer)
    return {**written, **document}, places


def _settings(config: Checked, path: Path, environment: LocalEnvironment) -> Settings:
    from crawlerd.config import specs
    from crawlerd.config.notify_table import notify_spec, notify_warnings
    from crawlerd.config.queue_paths import queues
    from crawlerd.config.receivers import giving_up_in_time
    from crawlerd.config.shared_tables import exposed

    folder = path.absolute().parent
    renewals = specs.renewals(config, folder)
    accounts = specs.AccountSpecs(config, environment.source_of)
    problems = accounts.problems
    sinks = specs.sinks(config, folder, accounts.specs, problems)
    problems += accounts.costly
    imports = specs.imports(config, accounts.specs, environment.sources, problems)
    spool, inbox = queues(config, folder, sinks, problems)
    if problems:
        raise ConfigurationError([f"{path}: {each}" for each in problems])
    notify = notify_spec(config.notify, folder)
    warnings = (*environment.warnings, *notify_warnings(notify), *exposed(imports, accounts.specs, sinks))
    return Settings(
        daemon=specs.daemon(config, folder),
        limits=accounts.limits,
        accounts=giving_up_in_time(accounts.specs, sinks.values()),
        sources=environment.sources,
        descriptions=environment.descriptions,
        sinks=sinks,
        imports=imports,
        renewals=renewals,
        spool=spool,
        inbox=inbox,
        warnings=(*warnings, *overrides.misspelled(os.environ, environment.variables)),
        notify=notify,
        file=path.absolute(),
    )


def state_dir(path: Path) -> Path:
    """Only the state directory, as an absolute path: 30 times faster than `load`. Nothing else is checked."""
    daemon = _daemon_table(path)
    value = daemon.get("state_dir") if isinstance(daemon, dict) else None
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ConfigurationError([f'{path}: daemon.state_dir: must be a path; write state_dir = "/var/lib/crawlerd"'])
    return path.absolute().parent / value


def frontier_url(path: Path) -> str:
    """Only the URL of the frontier's database; "" for a file in the state directory. ConfigurationError if the place of
    the URL has none."""
    daemon = _daemon_table(path)
    value = daemon.get("frontier") if isinstance(daemon, dict) else None
    if value is None:
        return ""
    from crawlerd.config.environment import LocalEnvironment
    from crawlerd.config.references import database_url

    environment = LocalEnvironment(path.absolute().parent, _NoSources(), with_secrets=True)
    try:
        return database_url(value, environment, key="frontier").get_secret_value()
    except ValueError as error:
        raise ConfigurationError([f"{path}: daemon.frontier: {error}"]) from None


class _NoSources:
    def source_names(self) -> list[str]:
        return []

    def load(self, name: str) -> Source | SourceFamily:
        raise ConfigurationError([name])


def socket_path(path: Path) -> Path | None:
    """Only the path of the daemon's socket, as an absolute path; None if the file does not give one."""
    daemon = _daemon_table(path)
    value = daemon.get("socket") if isinstance(daemon, dict) else None
    return path.absolute().parent / value if isinstance(value, str) and value.strip() else None


def _document(path: Path, packer: Packer) -> dict[str, Any]:
    """The document of the main file and those next to it, with overrides from the environment."""
    from crawlerd.config.toml_batches import loads

    def parsed(path: Path) -> dict[str, Any]:
        return _parsed(path, lambda text: loads(text, packer))

    return overrides.overridden(with_parts(parsed(path), path, parsed), os.environ)


def _daemon_table(path: Path) -> object:
    from crawlerd.config.toml_batches import daemon_table

    def parsed(path: Path) -> dict[str, object]:
        table = _parsed(path, daemon_table)
        return {} if table is None else {"daemon": table}

    return overrides.overridden(with_parts(parsed(path), path, parsed), os.environ).get("daemon")


def _parsed(path: Path, parser: Callable[[str], T]) -> T:
    try:
        return parser(read_whole(path).decode("utf-8-sig"))
    except OSError as error:
        problem = reading_failure(path, error)
        if isinstance(error, FileNotFoundError):
            problem += f" (in {path.absolute().parent}); name the configuration file with `crawlerd -c FILE`"
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8 text (byte {error.start})"
    except tomli.TOMLDecodeError as error:
        said = error.msg.replace("Invalid value", "invalid value; text must stand in quotes")
        raise ConfigurationError([f"{path}:{error.lineno}: is not valid TOML: {said} (column {error.colno})"]) from None
    except (ValueError, RecursionError) as error:  # such as integers of 5,000 digits, or 1,000 nested lists
        problem = f"is not valid TOML: {error}"
    raise ConfigurationError([f"{path}: {problem}"])


def unchecked(path: Path) -> dict[str, Any]:
    """The tables of the file as they are written. Raises ConfigurationError if it cannot be read."""
    from crawlerd.config.compact_tables import Packer

    return _document(path, Packer())
