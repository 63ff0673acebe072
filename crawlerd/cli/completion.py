"""Shell completion: names from the configuration, and numbers from the frontier.

Completion must not fail, print, or take long: if something cannot be read, there are no suggestions.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import typer  # noqa: TC002 - typer reads the annotations

from crawlerd.cli.context import config_path, read_settings, reader_of, state_directory
from crawlerd.core.pauses import Pausable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from crawlerd.frontier.reader_contract import FrontierReader

MOST = 200  # suggestions; with more than that, type another letter
SUBJECTS = ("run", "task", "account", "import")


def offered(find: Callable[[typer.Context], Iterable[object]]) -> Callable[..., list[str]]:
    """Makes a completion function from a function that gives all words. It suggests the words that begin with what was
    typed and are not yet in the command."""

    def complete(context: typer.Context, incomplete: str) -> list[str]:
        given = {str(word) for value in context.params.values() if isinstance(value, list | tuple) for word in value}
        words: list[str] = []
        try:
            root = context.find_root()
            root.params["config"] = Path(root.params.get("config") or "crawlerd.toml").expanduser()
            with redirect_stdout(sys.stderr):  # a source may print when it is imported
                found = list(map(str, find(context)))
            fitting = (word for word in found if word.startswith(incomplete) and word not in given)
            words = [word for word in fitting if word.isprintable()][:MOST]
        except Exception:
            logging.getLogger(__name__).debug("no completion", exc_info=True)
        return words

    complete.__doc__ = find.__doc__
    return complete


def files(incomplete: str) -> list[str]:
    """No words: the shell then suggests files."""
    return []


@offered
def imports(context: typer.Context) -> Iterable[str]:
    return _names(context, "imports")


@offered
def accounts(context: typer.Context) -> Iterable[str]:
    return _names(context, "accounts")


@offered
def sinks(context: typer.Context) -> Iterable[str]:
    return _table(_document(context), "sinks")


@offered
def sources(context: typer.Context) -> Iterable[str]:
    """The installed sources."""
    from crawlerd.sources.registry import source_names

    return source_names()


@offered
def streams(context: typer.Context) -> Iterable[str]:
    """The configured streams of the imports in the command, or of all imports."""
    given = [context.params.get(each) for each in ("names", "name", "import_name")]
    words = [word for each in given if each for word in ([each] if isinstance(each, str) else each)]
    wanted = {*words, *context.args}  # if an option has no value yet, click leaves arguments unparsed in `context.args`
    tables = _table(_document(context), "imports")
    for name, table in tables.items():
        if (
            (name in wanted or not wanted & tables.keys())
            and isinstance(table, Mapping)
            and isinstance(table.get("streams"), list)
        ):
            yield from (each for each in table["streams"] if isinstance(each, str))


@offered
def kinds(context: typer.Context) -> Iterable[str]:
    """The kinds of tasks of the import in the command, or of all imports."""
    from crawlerd.config.outline import outline

    path = config_path(context)
    if outline(path) is None:  # the description cannot be read, or reading takes too long
        return ()
    settings = read_settings(path, secrets=False)
    names = [name] if (name := context.params.get("name")) in settings.imports else list(settings.imports)
    sources = {settings.accounts[settings.imports[each].account].source for each in names}
    return sorted(kind for source in sources for kind in settings.sources[source].kinds)


@offered
def keys(context: typer.Context) -> Iterable[str]:
    """The tables and settings that the file has."""
    for key, value in _document(context).items():
        yield key
        if isinstance(value, Mapping):
            yield from (f"{key}.{name}" for name in value)


@offered
def pausable_kinds(context: typer.Context) -> Iterable[str]:
    return get_args(Pausable)


@offered
def pausable_names(context: typer.Context) -> Iterable[str]:
    """The names of the kind that the command gives before them."""
    match context.params.get("kind"):
        case "import":
            return _names(context, "imports")
        case "account":
            return _names(context, "accounts")
        case "bucket":
            return (f"{each}/" for each in _names(context, "accounts"))
        case "source":
            return _configured_sources(context)
    return ()


@offered
def subjects(context: typer.Context) -> Iterable[object]:
    """What `why` can explain: imports, accounts, runs and their keywords."""
    words = context.params.get("words") or ()
    match list(words):
        case []:
            return (*_names(context, "imports"), *_names(context, "accounts"), *SUBJECTS)
        case ["import"]:
            return _names(context, "imports")
        case ["account"]:
            return _names(context, "accounts")
        case ["run"]:
            return _runs(context)
    return ()


@offered
def run_states(context: typer.Context) -> Iterable[str]:
    from crawlerd.operations.run_history import State

    return (*get_args(State), "interrupted")


@offered
def runs(context: typer.Context) -> Iterable[int]:
    return _runs(context)


@offered
def left_imports(context: typer.Context) -> Iterable[str]:
    """Imports that have run and are no longer configured."""
    with _reader(context) as reader:
        return [each.name for each in reader.left_imports(list(_names(context, "imports")))]


@offered
def letters(context: typer.Context) -> Iterable[int]:
    with _reader(context) as reader:
        return [each.id for each in reader.dead_letters(limit=MOST, one_each=True)]


@offered
def letter_groups(context: typer.Context) -> Iterable[str]:
    with _reader(context) as reader:
        return [each.group for each in reader.dead_groups(limit=MOST)]


@offered
def letter_kinds(context: typer.Context) -> Iterable[str]:
    """The kinds of the tasks that are dead letters."""
    with _reader(context) as reader:
        return sorted({each.kind for each in reader.dead_groups(limit=MOST)})


@offered
def operations(context: typer.Context) -> Iterable[int]:
    """The operations under way."""
    with _reader(context) as reader:
        return [each.id for each in reader.operations(limit=MOST) if each.ended_at is None]


@offered
def trees(context: typer.Context) -> Iterable[str]:
    """The imports of AWS organizations."""
    from crawlerd.config.outline import outline

    found = outline(config_path(context))
    if found is None:
        return ()
    of = {name for name, each in found.accounts.items() if each.source == "aws_org"}
    return [name for name, each in found.imports.items() if each.account in of]


def _names(context: typer.Context, table: str) -> Iterable[str]:
    from crawlerd.config.outline import outline

    found = outline(config_path(context))
    return getattr(found, table) if found else ()


def _configured_sources(context: typer.Context) -> Iterable[str]:
    from crawlerd.config.outline import outline

    found = outline(config_path(context))
    return sorted({each.source for each in found.accounts.values()}) if found else ()


def _document(context: typer.Context) -> Mapping[str, Any]:
    from crawlerd.config.load import unchecked
    from crawlerd.config.outline import LARGEST

    path = config_path(context)
    return unchecked(path) if path.stat().st_size <= LARGEST else {}


def _table(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = document.get(name, {})
    return found if isinstance(found, Mapping) else {}


def _runs(context: typer.Context) -> list[int]:
    """The numbers of the newest runs."""
    from crawlerd.operations.run_history import RunsRequest
    from crawlerd.operations.run_history import runs as found_runs

    with _reader(context) as reader:
        return [each.id for each in found_runs(reader, RunsRequest(limit=50)).runs]


@contextmanager
def _reader(context: typer.Context) -> Iterator[FrontierReader]:
    with reader_of(state_directory(context)) as reader:
        if reader is None:
            raise LookupError("nothing has been imported yet")
        yield reader
