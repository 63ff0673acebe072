"""`crawlerd sources` and `crawlerd streams`: what is installed, and what it can read."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from crawlerd.cli.exits import ExitCode, exit_codes, fail
from crawlerd.cli.terminal import say, say_json


def sources(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
) -> None:
    """List the installed sources. One that cannot be used is listed with the reason."""
    import msgspec

    from crawlerd.sources.registry import source_names

    found = [_about(name) for name in source_names()]
    if as_json:
        say_json(msgspec.json.encode(found))
        return
    width = max((len(each["name"]) for each in found), default=0)
    for each in found:
        say(f"{each['name']:{width}}  {each['text']}")


def streams(
    name: Annotated[str, typer.Argument(metavar="SOURCE", help="An installed source.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
) -> None:
    """List the streams of a source, as `streams` of an import names them."""
    import msgspec

    from crawlerd.config.problems import instead
    from crawlerd.source import SourceFamily
    from crawlerd.sources.registry import load, source_names

    with exit_codes():
        if name not in (known := source_names()):
            fail(f'there is no source "{name}"; {instead(name, known)}', ExitCode.USAGE)
        source = load(name)
        if isinstance(source, SourceFamily):
            fail(f"the streams of {name} are those that each account's description names", ExitCode.USAGE)
        found = [{"name": each, "by_default": True} for each in source.streams]
        found += [{"name": each, "by_default": False} for each in source.optional if each not in source.streams]
        if as_json:
            say_json(msgspec.json.encode(found))
            return
        for stream in found:
            say(f"{stream['name']}" + ("" if stream["by_default"] else '  (only when named: "*" leaves it out)'))


def _about(name: str) -> dict[str, Any]:
    """A source's line, and whether it can be used."""
    from crawlerd.core.errors import ConfigurationError
    from crawlerd.source import SourceFamily
    from crawlerd.sources.registry import load

    try:
        source = load(name)
    except ConfigurationError as error:
        return {"name": name, "usable": False, "text": f"cannot be used: {'; '.join(error.problems)}"}
    if isinstance(source, SourceFamily):
        return {"name": name, "usable": True, "text": "made of a description that each account names"}
    count = len(source.streams) + len(set(source.optional) - set(source.streams))
    where = f" of {source.base_url}" if source.base_url else ""
    return {"name": name, "usable": True, "text": f"{count} stream{'s' * (count != 1)}{where}"}
