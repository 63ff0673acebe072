"""`crawlerd why`: why an import, an account, a run or a task waits, and until when."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, get_args
from urllib.parse import quote

import typer

from crawlerd.cli.context import reader_of, socket_path, state_directory
from crawlerd.cli.exits import ExitCode, exit_codes, fail
from crawlerd.cli.terminal import say, say_json
from crawlerd.core.reasons import Subject
from crawlerd.core.redaction import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from crawlerd.core.reasons import Waiting
    from crawlerd.operations.why import Why


def why(
    context: typer.Context,
    words: Annotated[
        list[str], typer.Argument(metavar="NAME", help="An import or account; or `run ID`, `task ID`, `account NAME`.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say why something waits, and until when, whether the daemon runs or not."""
    import msgspec

    with exit_codes():
        told = _told(state_directory(context), socket_path(context), words)
        if as_json:
            say_json(msgspec.json.encode(told))
            return
        for sentence in told.sentences:
            say(shown(sentence))


def _told(folder: Path, configured: Path | None, words: Sequence[str]) -> Why:
    from crawlerd.frontier.lock import lock_holder
    from crawlerd.operations.problem import Unknown
    from crawlerd.operations.why import Why, why
    from crawlerd.service.control import Asked, ask

    with reader_of(folder) as reader:
        if reader is None:
            fail("nothing has been imported yet", ExitCode.FAILED)
        problem: Exception | None = None
        for subject, name in _subjects(words):
            try:
                running = lock_holder(folder) is not None
                place = f"why/{subject}/{quote(name, safe='')}"
                asked = ask(Asked(folder, configured), "GET", place, Why) if running else None
                return asked or why(reader, _Unheard() if running else None, subject, name, time.time())
            except Unknown as error:
                problem = problem or error
        raise problem or Unknown("name an import or account")


def _subjects(words: Sequence[str]) -> list[tuple[Subject, str]]:
    """What the words may be about; the first that there is counts."""
    subjects: dict[str, Subject] = {each: each for each in get_args(Subject)}
    if len(words) == 1:
        return [("import", words[0]), ("account", words[0])]
    if len(words) != 2 or words[0] not in subjects:
        fail("name an import or account; or write `run ID`, `task ID` or `account NAME`", ExitCode.USAGE)
    return [(subjects[words[0]], words[1])]


class _Unheard:
    """A crawlerd that works on the frontier and cannot be asked: an import in the foreground."""

    otherwise = (
        "an import in the foreground works on it, and only the daemon can say more; "
        "it may wait for a limit, a used-up quota or its turn"
    )

    def holds(self, run: int, import_name: str) -> None:
        return None

    def limits_of(self, account: str) -> None:
        return None

    def explain(self, accounts: Sequence[str]) -> Mapping[str, Waiting]:
        return {}
