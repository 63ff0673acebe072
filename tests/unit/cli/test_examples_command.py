"""The examples of each command's help are command lines that can be typed."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

import pytest

from crawlerd.cli.common_options import commands_of
from crawlerd.cli.examples import EXAMPLES
from crawlerd.cli.main import command, run_command

if TYPE_CHECKING:
    from pathlib import Path

LINES = [(words, line) for words, examples in EXAMPLES.items() for line, _ in examples]


def parsed(arguments: list[str]) -> str:
    """The words of the command that they are for. Fails as the command would, without running it."""
    at, words = command(), list[str]()
    context = at.make_context("crawlerd", arguments)
    while hasattr(at, "commands"):
        rest = [*context._protected_args, *context.args]
        if not rest:
            break
        name, found, rest = at.resolve_command(context, rest)
        assert found is not None, arguments
        at, words = found, [*words, name]
        context = found.make_context(name, rest, parent=context)
    return " ".join(words)


@pytest.mark.parametrize(("words", "line"), LINES)
def test_each_example_is_a_command_line(words: str, line: str) -> None:
    program, *arguments = shlex.split(re.split(r" [|>] ", line)[0])
    assert program == "crawlerd"
    assert parsed(arguments) == words if words else parsed(arguments)


def test_a_line_that_cannot_be_typed_would_be_found() -> None:
    for line in ("dead show seven", "import shop --fulll", "nothing", "run show"):
        with pytest.raises(Exception, match=r".") as error:
            parsed(line.split())
        assert "Usage" in type(error.value).__name__ or error.value.exit_code == 2


def test_every_command_has_two_examples() -> None:
    assert EXAMPLES.keys() == {words for words, _ in commands_of(command())}
    for words, examples in EXAMPLES.items():
        assert len({line for line, _ in examples}) == 2, words


def groups(at: Any, words: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    children = getattr(at, "commands", {})
    return [words, *(each for name, child in children.items() for each in groups(child, (*words, name)))]


@pytest.mark.parametrize("words", groups(command()))
def test_the_help_of_each_command_shows_two_in_80_columns(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    assert run_command([*words, "--help"]) == 0
    told = capsys.readouterr().out
    examples = told.split("Examples:\n")[1]
    assert len(re.findall(r"^ +crawlerd ", examples, re.MULTILINE)) == min(2, max(1, _children(words)))
    assert max(map(len, told.splitlines())) <= 80


def _children(words: tuple[str, ...]) -> int:
    """How many commands a group has that does nothing by itself; else 2."""
    if " ".join(words) in EXAMPLES:
        return 2
    return sum(path.startswith(" ".join(words) + " ") for path in EXAMPLES)
