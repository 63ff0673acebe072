"""Writes the pages that are made of the code: `python docs/generate.py` writes docs/commands.md and docs/errors.md."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from crawlerd.cli.examples import EXAMPLES
from crawlerd.cli.exits import exit_codes
from crawlerd.cli.main import command as root_command
from crawlerd.core import errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typer.core import TyperCommand, TyperGroup

HERE = Path(__file__).parent


def pages() -> dict[str, str]:
    """The text of each page, by its file name."""
    return {"commands.md": "\n".join(_commands()) + "\n", "errors.md": "\n".join(_errors()) + "\n"}


def _commands() -> Iterator[str]:
    yield "# Commands"
    yield ""
    yield "This page is made from the commands: `python docs/generate.py`."
    yield "[The reference](reference.md#commands) says more about each, and has the exit codes."
    yield ""
    yield "`crawlerd -c FILE COMMAND` names the configuration; else `CRAWLERD_CONFIG` does; else it is `crawlerd.toml`."
    yield "Every command takes `--json`, `--quiet`, `--no-progress` and `--help`."
    yield ""
    every = list(_each(root_command(), ()))
    yield "| command | what it does |"
    yield "|---|---|"
    for names, command in every:
        words = " ".join(names)
        yield f"| [`{words}`](#crawlerd-{words.replace(' ', '-')}) | {_text(_first(command))} |"
    for names, command in every:
        yield from _command(names, command)


def _each(group: TyperGroup, names: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], TyperCommand | TyperGroup]]:
    for name, command in getattr(group, "commands", {}).items():
        here = (*names, name)
        if getattr(command, "commands", None) is None or getattr(command, "invoke_without_command", False):
            yield here, command
        yield from _each(command, here)


def _first(command: TyperCommand | TyperGroup) -> str:
    return (command.help or "").strip().partition("\n\n")[0]


def _command(names: tuple[str, ...], command: TyperCommand | TyperGroup) -> Iterator[str]:
    context = command.context_class(command, info_name=" ".join(names))
    usage = " ".join(piece for piece in command.collect_usage_pieces(context) if piece != "COMMAND [ARGS]...")
    yield from (
        "",
        f"## crawlerd {' '.join(names)}",
        "",
        f"`crawlerd {' '.join(names)} {usage}`".replace(" `", "`"),
        "",
    )
    for paragraph in (command.help or "").strip().split("\n\n"):
        yield from (_text(paragraph), "")
    rows = list(_options(command))
    if rows:
        yield from ("| option | meaning |", "|---|---|", *rows, "")
    if examples := EXAMPLES.get(" ".join(names)):
        width = max(len(line) for line, _ in examples)
        yield from ("```sh", *(f"{line:{width}}  # {what}" for line, what in examples), "```")


def _options(command: TyperCommand | TyperGroup) -> Iterator[str]:
    for each in command.params:
        if (each.name or "").startswith("mode_") and each.opts != ["--jsonl"]:
            continue
        record = each.get_help_record(command.context_class(command))
        if record is not None and "--help" not in each.opts and record[1]:
            name = re.sub("<([a-z ]+)>", lambda found: found[1].upper(), record[0])
            yield f"| `{name}` | {_text(record[1])} |"


def _errors() -> Iterator[str]:
    yield "# Errors"
    yield ""
    yield "This page is made from `crawlerd.core.errors`: `python docs/generate.py`."
    yield "A handler raises `Transient`, `Throttled`, `Permanent`, what is below them, and `Unauthorized`."
    yield "[A source in Python](write-a-source.md) says what becomes of the task then."
    yield "Commands end with the others, and [`crawlerd.run_import`](reference.md#from-python) raises them."
    yield ""
    yield "```text"
    yield from _tree(errors.CrawlerdError, 0)
    yield "```"
    yield ""
    yield "| error | meaning | exit code |"
    yield "|---|---|---|"
    for error in sorted(_all(errors.CrawlerdError), key=lambda each: inspect.getsourcelines(each)[1]):
        meaning = _text((inspect.getdoc(error) or "").partition("\n\n")[0])
        yield f"| `{error.__name__}` | {meaning} | {_exit_code(error)} |"


def _exit_code(error: type[Exception]) -> int:
    """That of a command which the error ends."""
    try:
        with exit_codes(tell=lambda line: None):
            raise error.__new__(error, "")
    except typer.Exit as end:
        return end.exit_code


def _all(error: type[Exception]) -> set[type[Exception]]:
    return {error}.union(*map(_all, _below(error)))


def _below(error: type[Exception]) -> list[type[Exception]]:
    found = [each for each in error.__subclasses__() if each.__module__ == errors.__name__]
    return sorted(found, key=lambda each: inspect.getsourcelines(each)[1])


def _tree(error: type[Exception], depth: int) -> Iterator[str]:
    """A class with two parents stands below both."""
    yield "    " * depth + error.__name__
    for each in _below(error):
        yield from _tree(each, depth + 1)


def _text(text: str) -> str:
    """On one line, as a table takes it."""
    return re.sub(r"\s+", " ", text).strip().replace("|", "\\|").replace("<", "&lt;")


if __name__ == "__main__":
    for name, text in pages().items():
        (HERE / name).write_text(text)
