"""A source, imported from where its entry point says: without a search through all that is installed."""

from __future__ import annotations

from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from crawlerd.core.errors import ConfigurationError
from crawlerd.source import Source, SourceFamily

if TYPE_CHECKING:
    from collections.abc import Sequence


def imported(name: str, place: str, extensions: Sequence[str] = ()) -> Source | SourceFamily:
    """What the entry point of that name stands for, extended. place: "module:object". extensions: modules that extend
    it when they are imported. ConfigurationError when one cannot be used."""
    where = f'source "{name}" ({place})'
    source = _resolved(where, place)
    if isinstance(source, SourceFamily):
        return source
    if not isinstance(source, Source):
        raise ConfigurationError([f"{where} is not a crawlerd.source.Source but a {type(source).__name__}"])
    if source.name != name:
        raise ConfigurationError([f'{where} calls itself "{source.name}"'])
    for each in extensions:
        _resolved(f'the extension of source "{name}" ({each})', each)
    return source


def _resolved(what: str, place: str) -> Any:
    try:
        return resolve_name(place)
    except (Exception, SystemExit) as error:  # a plugin is anyone's code, and importing it runs it
        raise ConfigurationError([f"{what} cannot be imported: {type(error).__name__}: {error}"]) from error


def made(name: str, entry: Source | SourceFamily, description: dict[str, Any] | None) -> Source:
    """The source itself. description: of one of a family, see `SourceFamily`."""
    if isinstance(entry, Source):
        return entry
    if description is None:
        raise ConfigurationError([f'source "{name}" is a family of sources: an account describes the one it means'])
    return entry.make(description)
