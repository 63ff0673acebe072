"""The sources that are installed, found by the entry points of the group `crawlerd.sources`.

What extends them is found by those of the group `crawlerd.extensions`, each named as the source that it extends.
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


_places: dict[str, Place] = {}  # of what was loaded: a search takes as long as an import


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
    place = Place(f"{found[0].module}:{found[0].attr}", _extensions(name))
    entry = imported(name, *place)
    _places[name] = place
    return entry


def _extensions(name: str) -> list[str]:
    return sorted({each.value for each in entry_points(group=EXTENSIONS, name=name)})


def place_of(name: str) -> Place | None:
    """Where `crawlerd.sources.importing` finds what this process has loaded."""
    return _places.get(name)


def load_source(name: str, description: dict[str, Any] | None = None) -> Source:
    """Imports one source. description: of one of a family, see `SourceFamily`. ConfigurationError as of `load`."""
    return made(name, load(name), description)
