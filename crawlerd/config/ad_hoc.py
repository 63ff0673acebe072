"""Changes of imports that a command makes for one run: the time from which it reads, and other values of settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from crawlerd.config.compact_tables import CompactTables, Packer
from crawlerd.config.csv_tables import with_cells
from crawlerd.config.problems import instead
from crawlerd.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crawlerd.config.csv_tables import Files
    from crawlerd.config.load import Settings
    from crawlerd.core.configuration import ImportSpec
    from crawlerd.source import Source

# An ad hoc run shares these with the runs before and after it. With other values it could not be resumed, or would
# change what is known about deleted records.
FIXED = ("account", "sink", "schedule", "deliver", "fields")


@dataclass(frozen=True, slots=True)
class AdHoc:
    """What a command changes.

    names: the imports; None for all.
    settings: the imports' settings by key, as text.
    """

    names: Sequence[str] | None
    settings: Mapping[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """The settings as text for people."""
        return ", ".join(f"{key}={value}" for key, value in self.settings.items())


def since_of(text: str, now: float) -> float:
    """Unix seconds of a date or time in ISO 8601; it is in UTC unless a zone is given.

    Raises ValueError if it is invalid, in the future, or before 1970, where Unix time begins.

    now: Unix seconds.
    """
    try:
        at = datetime.fromisoformat(text)
        seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(f'"{text}" is not a date or time; write 2026-01-31 or 2026-01-31T09:30:00Z') from None
    if seconds > now:
        raise ValueError(f'"{text}" is in the future')
    if seconds < 0:
        raise ValueError(f'"{text}" is before 1970; use --full to read everything')
    return seconds


def settings_of(texts: Sequence[str]) -> dict[str, str]:
    """Settings by key, from texts "KEY=VALUE". Raises ValueError for anything else, and for settings that cannot be set
    for one run."""
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        key = key.strip()
        if not key or not equals:
            raise ValueError(f'"{text}" is not a setting; write KEY=VALUE, such as streams=customers,invoices')
        if not value.strip():
            raise ValueError(f"{key} has no value; leave it out to keep the configured one")
        if key.partition(".")[0] in FIXED:
            raise ValueError(f"{key} cannot be set for one run; change it in the configuration")
        if key in found:
            raise ValueError(f"{key} is set twice")
        found[key] = value.strip()
    return found


def changed(document: Mapping[str, Any], ad_hoc: AdHoc, files: Files) -> dict[str, Any]:
    """The document with the changed settings."""
    tables = document.get("imports")
    if not ad_hoc.settings or not isinstance(tables, Mapping):
        return dict(document)
    imports = CompactTables(Packer(), tables)
    for name in imports if ad_hoc.names is None else imports.keys() & set(ad_hoc.names):
        if isinstance(table := imports[name], dict):
            imports[name] = with_cells("imports", table, ad_hoc.settings, files, document)
    return {**document, "imports": imports}


def marked(settings: Settings, ad_hoc: AdHoc) -> Settings:
    """The settings, with the imports marked as ad hoc."""
    told = {
        name: msgspec.structs.replace(spec, ad_hoc=ad_hoc.text())
        for name, spec in settings.imports.items()
        if ad_hoc.names is None or name in ad_hoc.names
    }
    return replace(settings, imports={**settings.imports, **told})


def for_run(
    settings: Settings, name: str, *, streams: Sequence[str] = (), since: float | None = None, sample: int | None = None
) -> ImportSpec:
    """An import as it is for one run. Raises ConfigurationError if that is not possible.

    streams: read only these of the import's streams; empty for all. Such a run counts as any other unless it is ad hoc.
    since, sample: see `ImportSpec`; they make it an ad hoc run.
    """
    spec = settings.imports[name]
    source = settings.sources[settings.accounts[spec.account].source]
    problems = [
        f"import {name} does not read the stream {stream[:80]}; {instead(stream, spec.streams)}"
        for stream in streams
        if stream not in spec.streams
    ]
    for stream in streams:
        needed = [each.stream for each in source.subscriptions if stream in each.streams]
        if needed and set(needed).isdisjoint(streams):
            problems.append(f"{stream} is made of the records of {', '.join(needed)}: name one of these as well")
    if streams:
        spec = msgspec.structs.replace(spec, streams=tuple(dict.fromkeys(streams)))
    if since is not None and not problems and (problem := _cannot(spec, source)):
        problems.append(f"import {name}: --since: {problem}")
    if problems:
        raise ConfigurationError(problems)
    named = ", ".join(spec.streams) if streams else ""
    if since is None and sample is None:
        return msgspec.structs.replace(spec, part=named)
    start = "" if since is None else f"since {datetime.fromtimestamp(since, UTC):%Y-%m-%dT%H:%M:%SZ}"
    told = [start, spec.ad_hoc, named and f"streams {named}"]
    told += [f"the first {sample:,} records of each stream"] if sample else []
    return msgspec.structs.replace(spec, ad_hoc=", ".join(filter(None, told)), since=since, sample=sample)


def _cannot(spec: ImportSpec, source: Source) -> str | None:
    """Why an import cannot read what has changed since a time; None if it can."""
    if not source.since:
        return f"the source {source.name} cannot ask for what has changed since a time"
    if missing := [stream for stream in spec.streams if stream not in source.since and stream not in source.added]:
        can = [stream for stream in spec.streams if stream in source.since] or source.since
        return (
            f"{source.name} cannot ask for what has changed since a time in {', '.join(missing)}; "
            f"use only others: {' '.join(f'--stream {each}' for each in can)}"
        )
    return None
