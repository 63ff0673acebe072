"""Inserts dead letters, with their fingerprints and keys."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

from crawlerd.core.fingerprint import Failure, failure, fingerprint
from crawlerd.frontier.letter_contract import FirstLetter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from crawlerd.frontier.change import Change
    from crawlerd.frontier.sql.database_contract import Database

    Execute = Callable[[str, Iterable[Sequence[object]]], list[Any]]

ADOPTED = 1_000  # dead letters of an older version that are read at once
_OWNERS = """SELECT bucket.id, account.id, account.source, account.name FROM json_each(?) AS j
JOIN bucket ON bucket.id = j.value->>0 JOIN account ON account.id = bucket.account"""
_KNOW = """INSERT INTO fingerprint(hash, source, kind, error_class, status, message)
SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5 FROM json_each(?) WHERE true
ON CONFLICT DO NOTHING"""
_BURY = """INSERT INTO dead(seq, run, bucket, priority, kind, attempt, denied, stream, error, payload, at, grp, kept,
chain, fingerprint, key, number)
SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, value->>8, value->>9,
value->>10, value->>11, value->>12, value->>13, (SELECT id FROM fingerprint WHERE hash = value->>14),
unhex(value->>15), value->>16
FROM json_each(?)"""
_FAMILIAR = """SELECT letters.run, fingerprint.hash FROM json_each(?) AS j
JOIN fingerprint ON fingerprint.hash = j.value->>1
JOIN letters ON letters.fingerprint = fingerprint.id AND letters.run = j.value->>0"""
_NUMBERS = "UPDATE buried SET value = buried.value + j.value->>0 FROM json_each(?) AS j RETURNING buried.value"
_UNKNOWN = """SELECT seq, bucket.account, account.source, kind.name, payload, error FROM dead
JOIN bucket ON bucket.id = bucket JOIN account ON account.id = bucket.account JOIN kind ON kind.id = kind
WHERE fingerprint = 0 LIMIT ?"""
_ADOPT = """UPDATE dead SET fingerprint = (SELECT id FROM fingerprint WHERE hash = j.value->>1),
key = unhex(j.value->>2) FROM json_each(?) AS j WHERE seq = j.value->>0"""


class _Known(NamedTuple):
    """A row of `fingerprint`."""

    hash: str
    source: str
    kind: str
    failure: Failure

    @classmethod
    def of(cls, source: str, kind: str, error: str) -> _Known:
        found = failure(error)
        return cls(fingerprint(source, kind, found), source, kind, found)


def key(account: int, kind: str, payload: str) -> str:
    """A hash by which the same task is found in other runs: 32 hex digits."""
    return hashlib.blake2b(f"{account}\0{kind}\0{payload}".encode(), digest_size=16).hexdigest()


def bury(change: Change, execute: Execute) -> None:
    """Writes the collected dead letters."""
    rows, change.dead = change.dead, []
    if not rows:
        return
    owners = {bucket: owner for bucket, *owner in execute(_OWNERS, {(row[2],) for row in rows})}
    ((last,),) = execute(_NUMBERS, [(len(rows),)])
    found, made, firsts = [], [], dict[tuple[int, str], FirstLetter]()
    for number, (*row, kind) in enumerate(rows, last - len(rows) + 1):
        account, source, name = owners[row[2]]
        known = _Known.of(source, kind, row[8])
        found.append(known)
        made.append((*row, known.hash, key(account, kind, row[9]), number))
        seq, run, stream, error = row[0], row[1], row[7], row[8]
        firsts.setdefault((run, known.hash), FirstLetter(seq, run, name, kind, stream, error, known.hash))
    _note(found, execute)
    for run, known_hash in execute(_FAMILIAR, firsts):
        del firsts[run, known_hash]
    change.first_letters += firsts.values()
    execute(_BURY, made)


def adopt(db: Database, execute: Execute) -> None:
    """Gives dead letters of an older version their fingerprints. Call in a transaction."""
    while rows := list(db.execute(_UNKNOWN, (ADOPTED,))):
        found = [_Known.of(source, kind, error) for _, _, source, kind, _, error in rows]
        _note(found, execute)
        keys = [key(account, kind, payload) for _, account, _, kind, payload, _ in rows]
        execute(_ADOPT, zip((row[0] for row in rows), (each.hash for each in found), keys, strict=True))


def _note(found: Iterable[_Known], execute: Execute) -> None:
    execute(_KNOW, ((each.hash, each.source, each.kind, *each.failure) for each in dict.fromkeys(found)))
