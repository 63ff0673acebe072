"""The sources that are installed, found by the entry points of the group `crawlerd.sources`."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

from crawlerd.core.errors import ConfigurationError
from crawlerd.source import Source, SourceFamily

GROUP = "crawlerd.sources"


def source_names() -> list[str]:
    """The names of the installed sources, sorted; imports none of them."""
    return sorted(entry_points(group=GROUP).names)


def load(name: str) -> Source | SourceFamily:
    """Imports one entry point. ConfigurationError when there is none of that name, or it cannot be used."""
    found = list(entry_points(group=GROUP, name=name))
    if not found:
        known = ", ".join(source_names()) or "none"
        raise ConfigurationError([f'there is no source "{name}"; installed: {known}'])
    if len(found) > 1:
        raise ConfigurationError([f'source "{name}" is installed twice: {", ".join(each.value for each in found)}'])
    where = f'source "{name}" ({found[0].value})'
    try:
        source = found[0].load()
    except (Exception, SystemExit) as error:  # a plugin is anyone's code, and importing it runs it
        raise ConfigurationError([f"{where} cannot be imported: {type(error).__name__}: {error}"]) from error
    if isinstance(source, SourceFamily):
        return source
    if not isinstance(source, Source):
        raise ConfigurationError([f"{where} is not a crawlerd.source.Source but a {type(source).__name__}"])
    if source.name != name:
        raise ConfigurationError([f'{where} calls itself "{source.name}"'])
    return source


def load_source(name: str, description: dict[str, Any] | None = None) -> Source:
    """Imports one source. description: of one of a family, see `SourceFamily`. ConfigurationError as of `load`."""
    found = load(name)
    if isinstance(found, Source):
        return found
    if description is None:
        raise ConfigurationError([f'source "{name}" is a family of sources: an account describes the one it means'])
    return found.make(description)
