"""A configuration in several files: `config.d/*.toml` next to the main one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from crawlerd.core.errors import ConfigurationError
from crawlerd.files.owners import reading_failure

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FOLDER = "config.d"
MERGED = ("daemon", "accounts", "sinks", "imports", "dead_letters", "inbox")
LISTED = ("accounts_csv", "imports_csv")


def part_paths(main: Path) -> list[Path]:
    """The further files of a configuration, sorted by name. Raises ConfigurationError if the folder cannot be read."""
    folder = main.parent / FOLDER
    try:
        found = sorted(path for path in folder.iterdir() if path.suffix == ".toml" and not path.name.startswith("."))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigurationError([f"{folder}: {reading_failure(folder, error)}"]) from None
    return found


def with_parts(document: Mapping[str, Any], main: Path, parse: Callable[[Path], Mapping[str, Any]]) -> dict[str, Any]:
    """The main file's document with what further files add: accounts, sinks, imports, and keys of `[daemon]`. Each of
    these may be in only one file.

    Raises ConfigurationError with everything that is defined twice or cannot be read.

    parse: reads a file's document; raises ConfigurationError like `load`.
    """
    whole = dict(document)
    problems: list[str] = []
    twice: list[tuple[Path, tuple[str, ...]]] = []
    for path in part_paths(main):
        try:
            part = parse(path)
        except ConfigurationError as error:
            problems += error.problems
            continue
        for kind, added in part.items():
            if kind in LISTED:
                known = whole.get(kind, [])
                whole[kind] = [*_listed(known), *_listed(added)]
            elif kind not in whole:
                whole[kind] = added
            elif kind in MERGED and isinstance(whole[kind], Mapping) and isinstance(added, Mapping):
                tables = _copy(whole[kind])
                twice += [(path, (kind, name)) for name in added if name in tables]
                # the main file may have many tables in compact form
                if type(tables) is dict and type(added) is not dict:
                    tables, added = added, tables
                whole[kind] = tables
                for name, table in added.items():
                    tables.setdefault(name, table)
            else:
                twice.append((path, (kind,)))
    if twice:
        from crawlerd.config.key_places import KeyPlaces
        from crawlerd.config.problems import key_path

        places = KeyPlaces(main)
        for path, key in twice:
            problems.append(f"{places.in_file(path, key)}: {key_path(key)}: is also in {places.of(key)}; keep one")
    if problems:
        raise ConfigurationError(problems)
    return whole


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _copy(tables: Mapping[str, Any]) -> Any:
    """A copy of tables that may be changed."""
    return dict(tables) if type(tables) is dict else tables
