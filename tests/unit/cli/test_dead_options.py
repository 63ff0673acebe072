"""Commands that take a filter: each of its options leads to its field."""

from __future__ import annotations

import pytest
import typer
from typer.testing import CliRunner

from crawlerd.cli import dead_options
from crawlerd.cli.dead_acts import All  # noqa: TC001 - typer reads the hint
from crawlerd.frontier.letter_filter import LetterFilter

OPTIONS = ["--import", "i", "--account", "a", "--kind", "k", "--stream", "s", "--group", "g", "--error", "e"]
TIMES = ["--since", "2026-01-01T00:00", "--until", "2026-01-02T00:00", "--run", "7"]
JANUARY = 1_767_225_600.0  # 2026-01-01, UTC
FIELDS = {"import_name": "i", "account": "a", "kind": "k", "stream": "s", "group": "g", "error": "e"}
ALL_FIELDS = LetterFilter(**FIELDS, since=JANUARY, until=JANUARY + 86_400, run=7)


def given(*words: str, acts: bool) -> LetterFilter | None:
    """The filter that a command gets; None when it refuses the words."""
    app = typer.Typer()
    found: list[LetterFilter] = []

    @app.command()
    @dead_options.takes_filter
    def look(which: LetterFilter, limit: int = 1) -> None:
        found.append(which)

    @app.command()
    @dead_options.takes_filter
    def act(which: LetterFilter, everything: All = False) -> None:
        found.append(which)

    done = CliRunner().invoke(app, ["act" if acts else "look", *words])
    assert (done.exit_code == 0) == bool(found)
    return found[0] if found else None


@pytest.mark.parametrize("acts", [False, True])
def test_each_option_leads_to_its_field(acts: bool) -> None:
    assert given(acts=acts) == LetterFilter()
    assert given(*OPTIONS, *TIMES, acts=acts) == ALL_FIELDS
    assert given("--since", "nonsense", acts=acts) is None


def test_ids_are_for_commands_that_act() -> None:
    assert given("5", "3", "5", "--all", acts=True) == LetterFilter(ids=[3, 5])
    assert given("5", acts=False) is None
