"""`crawlerd why`: why an import, an account, a run or a task waits, and until when."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, get_args
from urllib.parse import quote

import typer

from crawlerd.cli import completion
from crawlerd.cli.answers import lines, tell
from crawlerd.cli.context import config_path, daemon_of, reader_of, running_pid
from crawlerd.cli.exits import ExitCode, exit_codes, fail
from crawlerd.core.reasons import Subject
from crawlerd.core.redaction import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crawlerd.operations.why import Why


def why(
    context: typer.Context,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME",
            help="An import or account; or `run ID`, `task ID`, `account NAME`.",
            autocompletion=completion.subjects,
        ),
    ],
) -> None:
    """Explain why something waits, and until when, whether the daemon runs or not."""
    with exit_codes():
        told = _told(context, words)
        tell(told, lines(map(shown, told.sentences)))


def _told(context: typer.Context, words: Sequence[str]) -> Why:
    from crawlerd.config.outline import outline
    from crawlerd.operations.live_facts import Unheard
    from crawlerd.operations.problem import Unknown
    from crawlerd.operations.unused import unused
    from crawlerd.operations.why import Why, why
    from crawlerd.service.control import ask

    daemon = daemon_of(context)
    with reader_of(daemon.state_dir) as reader:
        problem: Exception | None = None
        running = running_pid(daemon.state_dir) is not None
        live = Unheard() if running else None
        for subject, name in _subjects(words):
            try:
                place = f"why/{subject}/{quote(name, safe='')}"
                asked = ask(daemon, "GET", place, Why) if running else None
                if asked:
                    return asked
                if reader:
                    return why(reader, live, subject, name, time.time())
            except Unknown as error:
                problem = problem or error
        file = config_path(context)
        for subject, name in _subjects(words):
            if found := unused(reader, live, outline(file), subject, name, file=file.name):
                return found
        if reader is None:
            raise Unknown("nothing has been imported yet")
        raise problem or Unknown("name an import or account")


def _subjects(words: Sequence[str]) -> list[tuple[Subject, str]]:
    """What the words may mean, in order of preference."""
    subjects: dict[str, Subject] = {each: each for each in get_args(Subject)}
    if len(words) == 1:
        return [("import", words[0]), ("account", words[0])]
    if len(words) != 2 or words[0] not in subjects:
        fail("name an import or account; or write `run ID`, `task ID` or `account NAME`", ExitCode.USAGE)
    return [(subjects[words[0]], words[1])]
