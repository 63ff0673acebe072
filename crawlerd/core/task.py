"""A task and the right to work on it."""

from __future__ import annotations

import hashlib

import msgspec

LOWEST_PRIORITY = 9
DEFAULT_PRIORITY = 5
SEQUENTIAL_PRIORITY = 3  # a chain cannot be sped up later, so its next page goes first


class Task(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One API request's worth of work, as it lies in the frontier.

    payload: the typed arguments as JSON. attempt: failed attempts so far. crashes: worker processes that died
    while they held it.
    """

    seq: int
    bucket: int
    priority: int
    run: int
    kind: str
    attempt: int
    payload: str
    crashes: int = 0


class NewTask(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A task that a handler or the start of a run asks for.

    unique: in its run, at most one task of this kind and payload is ever made. A repeat is skipped, or, for a
    `sequential` kind, is a cursor that came twice: it becomes a dead letter that says so.
    """

    kind: str
    bucket: str
    priority: int
    payload: str
    unique: bool = False
    sequential: bool = False

    def key(self) -> str:
        """32 hex digits: what makes it the same task as another."""
        return hashlib.blake2b(f"{self.kind}\0{self.payload}".encode(), digest_size=16).hexdigest()


class Handout(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Leases of one account's tasks. token: the fence of the first one; that of each next one is one more."""

    token: int
    account: str
    tasks: list[Task]
