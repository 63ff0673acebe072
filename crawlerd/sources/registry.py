"""The installed sources, found by the entry points of the group `crawlerd.sources`.

Extensions are found by the entry points of the group `crawlerd.extensions`, each with the name of the source that it
extends.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, NamedTuple

from crawlerd.core.errors import ConfigurationError
from crawlerd.sources.importing import imported, made

if TYPE_CHECKING:
    from crawlerd.source import Source, SourceFamily

GROUP, EXTENSIONS = "crawlerd.sources", "crawlerd.extensions"


class Place(NamedTuple):
    """Where a source is found: "module:object", and the modules that extend it."""

    source: str
    extensions: list[str]


_places: dict[str, Place] = {}  # of loaded sources: searching takes as long as importing


def source_names() -> list[str]:
    """The names of the installed sources, sorted, without importing them."""
    return sorted(entry_points(group=GROUP).names)


def load(name: str) -> Source | SourceFamily:
    """Imports one entry point. Raises ConfigurationError if there is none with that name, or it cannot be used."""
    found = list(entry_points(group=GROUP, name=name))
    if not found:
        known = ", ".join(source_names()) or "none"
        raise ConfigurationError([f'there is no source "{name}"; installed: {known}'])
    if len(found) > 1:
        raise ConfigurationError([f'source "{name}" is installed twice: {", ".join(each.value for each in found)}'])
    place = Place(f"{found[0].module}:{found[0].attr}", _extensions(name))
    entry = imported(name, *place)
    _places[name] = place
    return entry


def _extensions(name: str) -> list[str]:
    return sorted({each.value for each in entry_points(group=EXTENSIONS, name=name)})


def place_of(name: str) -> Place | None:
    """Where `crawlerd.sources.importing` finds a source that this process has loaded."""
    return _places.get(name)


def load_source(name: str, description: dict[str, Any] | None = None) -> Source:
    """Imports one source. Raises ConfigurationError as `load` does.

    description: for a source of a family, see `SourceFamily`.
    """
    return made(name, load(name), description)
