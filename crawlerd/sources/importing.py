"""Imports a source from its entry point's place, without searching all installed packages."""

from __future__ import annotations

from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from crawlerd.core.errors import ConfigurationError
from crawlerd.source import Source, SourceFamily

if TYPE_CHECKING:
    from collections.abc import Sequence


def imported(name: str, place: str, extensions: Sequence[str] = ()) -> Source | SourceFamily:
    """Imports the object of an entry point, with its extensions. Raises ConfigurationError if it cannot be used.

    name: the name of the source.
    place: "module:object".
    extensions: modules that extend the source when they are imported.
    """
    where = f'source "{name}" ({place})'
    source = _resolved(where, place)
    if isinstance(source, SourceFamily):
        return source
    if not isinstance(source, Source):
        raise ConfigurationError([f"{where} is not a crawlerd.source.Source but a {type(source).__name__}"])
    if source.name != name:
        raise ConfigurationError([f'{where} has the name "{source.name}"'])
    for each in extensions:
        _resolved(f'the extension of source "{name}" ({each})', each)
    return source


def _resolved(what: str, place: str) -> Any:
    try:
        return resolve_name(place)
    except (Exception, SystemExit) as error:  # a plugin may contain any code, which runs when it is imported
        raise ConfigurationError([f"{what} cannot be imported: {type(error).__name__}: {error}"]) from error


def made(name: str, entry: Source | SourceFamily, description: dict[str, Any] | None) -> Source:
    """The source itself.

    description: for a source of a family, see `SourceFamily`.
    """
    if isinstance(entry, Source):
        return entry
    if description is None:
        raise ConfigurationError(
            [f'source "{name}" is a family of sources: the options of an account must describe one of them']
        )
    return entry.make(description)
