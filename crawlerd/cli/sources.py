"""`crawlerd sources` and `crawlerd streams`: what is installed, and what it can read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from crawlerd.cli import completion
from crawlerd.cli.answers import tell_list
from crawlerd.cli.exits import ExitCode, exit_codes, fail
from crawlerd.cli.terminal import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crawlerd.cli.results import SourceLine, StreamName


def sources() -> None:
    """List the installed sources. If one cannot be used, the reason is shown."""
    from crawlerd.sources.registry import source_names

    found = [_about(name) for name in source_names()]
    tell_list(found, found, _print)


def _print(found: Sequence[SourceLine]) -> None:
    width = max((len(each.name) for each in found), default=0)
    for each in found:
        say(f"{each.name:{width}}  {each.text}")


def streams(
    name: Annotated[
        str, typer.Argument(metavar="SOURCE", help="An installed source.", autocompletion=completion.sources)
    ],
) -> None:
    """List the streams of a source, as `streams` of an import names them."""
    from crawlerd.cli.results import StreamName
    from crawlerd.config.problems import instead
    from crawlerd.source import SourceFamily
    from crawlerd.sources.registry import load, source_names

    with exit_codes():
        if name not in (known := source_names()):
            fail(f'there is no source "{name}"; {instead(name, known)}', ExitCode.USAGE)
        source = load(name)
        if isinstance(source, SourceFamily):
            fail(f"the streams of {name} are in each account's description", ExitCode.USAGE)
        found = [StreamName(name=each, by_default=True) for each in source.streams]
        found += [StreamName(name=each, by_default=False) for each in source.optional if each not in source.streams]
        tell_list(found, found, _print_streams)


def _print_streams(found: Sequence[StreamName]) -> None:
    for stream in found:
        say(stream.name + ("" if stream.by_default else '  (only when named: "*" leaves it out)'))


def _about(name: str) -> SourceLine:
    from crawlerd.cli.results import SourceLine
    from crawlerd.core.errors import ConfigurationError
    from crawlerd.source import SourceFamily
    from crawlerd.sources.registry import load

    try:
        source = load(name)
    except ConfigurationError as error:
        return SourceLine(name=name, usable=False, text=f"cannot be used: {'; '.join(error.problems)}")
    if isinstance(source, SourceFamily):
        return SourceLine(name=name, usable=True, text="made of a description that each account names")
    count = len(source.streams) + len(set(source.optional) - set(source.streams))
    where = f" of {source.base_url}" if source.base_url else ""
    return SourceLine(name=name, usable=True, text=f"{count} stream{'s' * (count != 1)}{where}")
