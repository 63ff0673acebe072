"""The options that every command has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typer.core import TyperOption

from crawlerd.cli.modes import modes
from crawlerd.cli.outputs import OUTPUTS

if TYPE_CHECKING:
    from collections.abc import Iterator


def commands_of(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command that does something by itself, with the words that call it ("" for the root).

    command: as `typer.main.get_command` makes it.
    """
    children = getattr(command, "commands", None)
    if children is None or getattr(command, "invoke_without_command", False) or not words:
        yield " ".join(words), command
    for name, child in (children or {}).items():
        yield from commands_of(child, (*words, name))


def add_common_options(command: Any, words: tuple[str, ...]) -> None:
    """Adds the common options to a command. The root and all commands below it have them, so that people can write them
    anywhere. A group that does nothing by itself accepts them, but shows them only in the help of its commands."""
    path, children = " ".join(words), getattr(command, "commands", {})
    output = OUTPUTS.get(path)
    own = {name for each in command.params for name in each.opts}
    added = [each for each in _options(lists=output is not None and output.is_list) if each.opts[0] not in own]
    for each in added:
        each.hidden = bool(children) and path not in OUTPUTS
    command.params += added


def _options(*, lists: bool) -> Iterator[TyperOption]:
    yield _flag("--json", "json", "Print JSON; errors too are printed as JSON.")
    if lists:
        yield _flag("--jsonl", "jsonl", "Print JSON, one item per line.")
    yield _flag("--quiet", "quiet", "Print only results and errors.")
    yield _flag("--no-progress", "progress", "Show no progress.", to=False)


def _flag(name: str, mode: str, text: str, *, to: bool = True) -> TyperOption:
    def given(context: Any, parameter: Any, value: Any) -> None:
        if value and not context.resilient_parsing:
            setattr(modes, mode, to)

    return TyperOption(
        param_decls=[name, f"mode_{mode}"],
        is_flag=True,
        default=False,
        expose_value=False,
        is_eager=True,  # so that other options' errors are printed in this mode
        callback=given,
        help=text,
    )
