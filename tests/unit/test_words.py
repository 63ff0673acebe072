"""Texts for people are spelled as in American English, and avoid words that have to be read twice."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from crawlerd.cli.main import command as root

if TYPE_CHECKING:
    from collections.abc import Iterator

    import click

ROOT = Path(__file__).parents[2]
# Each with what to write instead.
BANNED = {
    r"anew\b": "again",
    r"for\s+ever\b": "forever, without end",
    r"amid\b": "in, during",
    r"of\s+which\b": "a sentence of its own",
    r"so\s+many\b": "that number, as many",
    r"(?<!there )(?-i:is\s+none)\b": "there is no, is not a",
    r"none's\b": "of no one, unknown",
    r"tells\s+of\b": "says, describes",
    r"that\s+is\s+to\b": "must, should, which will",
    r"beside\b": "next to, along with, while a daemon runs",
    r"behind\b(?! an? (?:TLS |reverse )*proxy)": "after, below",
}
# The state of a run, as it is stored and printed; names in code; examples of what is misspelled.
IGNORED = "cancelled,cancelling,catalogue,iif,inforce,prioritised,sinse,varaibles"


def found(text: str) -> list[str]:
    """The banned words in it, code left out, each with what to write instead."""
    prose = re.sub(r"```.*?```|`[^`]*`", " ", text, flags=re.DOTALL)
    return [
        f"{match[0]!r} ({better})"
        for word, better in BANNED.items()
        for match in re.finditer(rf"\b{word}", prose, re.IGNORECASE)
    ]


@cache
def pages() -> dict[str, Path]:
    """All texts that people read, by their path."""
    paths = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")]
    paths += [ROOT / "bench/RESULTS.md", ROOT / "config/crawlerd.example.toml"]
    return {str(path.relative_to(ROOT)): path for path in paths}


def commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    for key, child in getattr(command, "commands", {}).items():
        yield from commands(child, f"{name} {key}".strip())


def test_words_are_found_and_code_is_not_searched() -> None:
    assert found("A list\nof  which one is behind it.") == [
        "'of  which' (a sentence of its own)",
        "'behind' (after, below)",
    ]
    assert found("`beside` is code, and a server may be behind a reverse proxy: besides, anewer.") == []


def test_pages_avoid_these_words() -> None:
    wrong = {name: words for name, path in pages().items() if (words := found(path.read_text()))}
    assert wrong == {}


def test_help_texts_avoid_these_words() -> None:
    wrong = {}
    for name, command in commands(root(), ""):
        texts = [command.help or "", *(getattr(each, "help", None) or "" for each in command.params)]
        if words := found("\n".join(texts)):
            wrong[name] = words
    assert wrong == {}


@pytest.mark.parametrize("name", ["README.md", "crawlerd"])
def test_spelling(name: str) -> None:
    paths = [ROOT / "crawlerd"] if name == "crawlerd" else pages().values()
    command = [sys.executable, "-m", "codespell_lib", "--builtin", "clear,rare,en-GB_to_en-US", "-L", IGNORED]
    command += ["--skip", "*/vendor/*.js"]
    done = subprocess.run([*command, *map(str, paths)], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stdout == ""
