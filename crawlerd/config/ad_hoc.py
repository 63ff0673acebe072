"""What a command changes of imports for one run: from when on it reads, and other values of their settings."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from crawlerd.config.csv_tables import with_cells
from crawlerd.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from crawlerd.config.csv_tables import Files
    from crawlerd.config.load import Settings
    from crawlerd.core.configuration import ImportSpec
    from crawlerd.source import Source

# What the runs before and after it have in common with it: without that, it could not be resumed, or would change what
# is believed of them.
FIXED = ("account", "sink", "schedule", "deliver")


@dataclass(frozen=True, slots=True)
class AdHoc:
    """
    names: of the imports, None for all.
    since: Unix seconds, see `RunPlan.since`.
    settings: of the imports, as text, by key.
    """

    names: Sequence[str] | None
    since: float | None = None
    settings: Mapping[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """For people."""
        since = [] if self.since is None else [f"since {datetime.fromtimestamp(self.since, UTC):%Y-%m-%dT%H:%M:%SZ}"]
        return ", ".join([*since, *(f"{key}={value}" for key, value in self.settings.items())])


def since_of(text: str, now: float) -> float:
    """Unix seconds of a date or time in ISO 8601, in UTC where it does not say otherwise. ValueError for what is none,
    is not over, or is before 1970, where Unix time begins. now: Unix seconds."""
    try:
        at = datetime.fromisoformat(text)
        seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(f'"{text}" is no date or time; write 2026-01-31 or 2026-01-31T09:30:00Z') from None
    if seconds > now:
        raise ValueError(f'"{text}" is not over yet')
    if seconds < 0:
        raise ValueError(f'"{text}" is before 1970; --full reads all there is')
    return seconds


def settings_of(texts: Sequence[str]) -> dict[str, str]:
    """Settings by key, from "KEY=VALUE". ValueError for what is none, or cannot be set for one run."""
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        key = key.strip()
        if not key or not equals:
            raise ValueError(f'"{text}" is no setting; write KEY=VALUE, such as streams=customers,invoices')
        if not value.strip():
            raise ValueError(f"{key} is given no value; leave it out to keep the configured one")
        if key.partition(".")[0] in FIXED:
            raise ValueError(f"{key} cannot be set for one run; change it in the configuration")
        if key in found:
            raise ValueError(f"{key} is set twice")
        found[key] = value.strip()
    return found


def changed(document: Mapping[str, Any], ad_hoc: AdHoc, files: Files) -> dict[str, Any]:
    """The document with the imports' settings as they are to be."""
    tables = document.get("imports")
    if not ad_hoc.settings or not isinstance(tables, dict):
        return dict(document)
    others = {
        name: with_cells("imports", table, ad_hoc.settings, files, document)
        for name, table in tables.items()
        if isinstance(table, dict) and (ad_hoc.names is None or name in ad_hoc.names)
    }
    return {**document, "imports": {**tables, **others}}


def marked(settings: Settings, ad_hoc: AdHoc) -> Settings:
    """The settings in which the imports know that they are run ad hoc. ConfigurationError for one that cannot be."""
    names = [name for name in settings.imports if ad_hoc.names is None or name in ad_hoc.names]
    problems = []
    if ad_hoc.since is not None:
        for name in names:
            spec = settings.imports[name]
            source = settings.sources[settings.accounts[spec.account].source]
            if problem := _cannot(spec, source):
                problems.append(f"import {name}: --since: {problem}")
    if problems:
        raise ConfigurationError(problems)
    told = {
        name: msgspec.structs.replace(settings.imports[name], ad_hoc=ad_hoc.text(), since=ad_hoc.since)
        for name in names
    }
    return replace(settings, imports={**settings.imports, **told})


def _cannot(spec: ImportSpec, source: Source) -> str | None:
    """Why an import cannot read what has changed since a time."""
    if not source.since:
        return f"the source {source.name} cannot ask for what has changed since a time"
    if missing := [stream for stream in spec.streams if stream not in source.since and stream not in source.added]:
        can = [stream for stream in spec.streams if stream in source.since] or source.since
        return (
            f"{source.name} cannot ask for what has changed since a time in {', '.join(missing)}; "
            f"name others: --set streams={','.join(can)}"
        )
    return None
