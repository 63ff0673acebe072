"""Copies of dead letters that wait for the spool. See `LetterFrontier`."""

from __future__ import annotations

from crawlerd.frontier.letter_contract import Copied
from crawlerd.frontier.sql.letter_work import LetterWork

# The attempts of a letter that was retried or dropped meanwhile are gone, too.
_NEXT = """SELECT number, json_set(letter, '$.letters', 1, '$.history', json((
    SELECT json_group_array(json_object('at', at, 'seconds', seconds, 'status', status, 'method', method, 'url', url,
        'error', error)) FROM (SELECT * FROM attempt WHERE seq = unspooled.letter->>'id' ORDER BY number)
))) FROM unspooled ORDER BY number LIMIT ?"""


class LetterCopies(LetterWork):
    """Copies dead letters for the spool. Part of a frontier."""

    def copy_letters(self, on: bool) -> int:
        ((before,),) = self._read("SELECT value FROM spooling")
        if bool(before) == on:
            return 0
        with self._transaction():
            self._db.execute("UPDATE spooling SET value = ?", (int(on),))
            if on:
                return 0
            self._db.execute("DELETE FROM unspooled")
            return int(self._db.changes())

    def copied_letters(self, most: int, most_bytes: int) -> list[Copied]:
        found: list[Copied] = []
        total = 0
        with self._errors():
            for number, letter in self._db.execute(_NEXT, (most,)):
                found.append(Copied(number, letter.encode()))
                total += len(found[-1].letter)
                if total >= most_bytes:
                    break
        return found

    def spooled(self, through: int) -> None:
        with self._transaction():
            self._db.execute("DELETE FROM unspooled WHERE number <= ?", (through,))
