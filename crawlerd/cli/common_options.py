"""The options that every command has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typer.core import TyperOption

from crawlerd.cli.modes import modes
from crawlerd.cli.outputs import OUTPUTS

if TYPE_CHECKING:
    from collections.abc import Iterator


def commands_of(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Each command that does something by itself, with its words; the root is "".

    command: as `typer.main.get_command` makes it.
    """
    children = getattr(command, "commands", None)
    if children is None or getattr(command, "invoke_without_command", False) or not words:
        yield " ".join(words), command
    for name, child in (children or {}).items():
        yield from commands_of(child, (*words, name))


def add_common_options(command: Any, words: tuple[str, ...]) -> None:
    """To the root as to all that is below it, so that they can stand wherever people write them. A mere group takes
    them, and leaves them to the help of its commands."""
    path, children = " ".join(words), getattr(command, "commands", {})
    output = OUTPUTS.get(path)
    own = {name for each in command.params for name in each.opts}
    added = [each for each in _options(lists=output is not None and output.is_list) if each.opts[0] not in own]
    for each in added:
        each.hidden = bool(children) and path not in OUTPUTS
    command.params += added


def _options(*, lists: bool) -> Iterator[TyperOption]:
    yield _flag("--json", "json", "Print JSON, also for an error.")
    if lists:
        yield _flag("--jsonl", "jsonl", "Print JSON, one item a line.")
    yield _flag("--quiet", "quiet", "Print nothing but what was asked for, and errors.")
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
        is_eager=True,  # before another option is found to be wrong
        callback=given,
        help=text,
    )
