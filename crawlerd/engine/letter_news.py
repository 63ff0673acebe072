"""Logs the first dead letter of each kind in a run, up to a number of kinds."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from crawlerd.core.log_events import Event, tell
from crawlerd.core.wording import plain_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from crawlerd.frontier.letter_contract import FirstLetter

MOST_KINDS = 50  # most kinds of a run that are logged: an API may word each failure differently


class LetterNews:
    """Logs the first dead letter of each kind in a run. Used by the store's thread."""

    def __init__(self, import_of: Callable[[int], str]) -> None:
        """import_of: the name of a run's import."""
        self._import_of = import_of
        self._told: Counter[int] = Counter()  # how many kinds were logged, by run

    def tell(self, letters: Iterable[FirstLetter]) -> None:
        """Logs letters that are on disk."""
        for letter in letters:
            self._told[letter.run] += 1
            if self._told[letter.run] <= MOST_KINDS:
                self._tell(letter, last=self._told[letter.run] == MOST_KINDS)

    def forget(self, runs: Iterable[int]) -> None:
        """These runs have ended."""
        for run in runs:
            del self._told[run]

    def _tell(self, letter: FirstLetter, *, last: bool) -> None:
        name = self._import_of(letter.run)
        more = "; `crawlerd dead groups` has the kinds that come after this one" if last else ""
        tell(
            Event.DEAD_LETTER,
            "import %s: run %d: task %d (%s) of account %s is a dead letter, the first of its kind: %s%s",
            *(name, letter.run, letter.seq, letter.kind, letter.account, plain_error(letter.error), more),
            run=letter.run,
            import_name=name,
            group=letter.fingerprint,
            account=letter.account,
            kind=letter.kind,
            task=letter.seq,
            stream=letter.stream,
            error=letter.error,
        )
