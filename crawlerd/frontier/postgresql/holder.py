"""Who uses a frontier on PostgreSQL: the node that owns its shards, in the session that it names."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from crawlerd.core.errors import FrontierLocked

if TYPE_CHECKING:
    from collections.abc import Collection

    import psycopg

    from crawlerd.frontier.postgresql.session import Place

    Process = tuple[int, str]  # of the server, for a connection: its id, and when it began

NODE = 1  # the only one, so far
LEAVING_SECONDS = 3.0  # that the session of a process which was just killed may take to end
_SELF = "SELECT pid, backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid()"
_TAKE = """INSERT INTO node(id, epoch, pid, began)
SELECT %s, 1, pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()
ON CONFLICT (id) DO UPDATE SET epoch = node.epoch + 1, pid = excluded.pid, began = excluded.began
RETURNING epoch, commits"""
# For connections of this process only: after another process has taken over, they find nothing.
_OWN = "(node.pid, node.began) IN (SELECT * FROM unnest(%s::bigint[], %s::text[]::timestamptz[]))"
_END_LAST = f"""SELECT pg_terminate_backend(a.pid) FROM node JOIN pg_stat_activity a ON a.pid = node.pid
AND a.backend_start = node.began WHERE node.id = %s AND {_OWN} AND a.pid <> pg_backend_pid()"""  # noqa: S608 - our own text
_TAKE_NEXT = f"""UPDATE node SET epoch = epoch + 1, pid = a.pid, began = a.backend_start FROM pg_stat_activity a
WHERE node.id = %s AND {_OWN} AND a.pid = pg_backend_pid() RETURNING epoch, commits"""  # noqa: S608 - our own text
_OWN_SHARDS = "UPDATE shard SET owner = %s WHERE owner IS NULL"
_FOREIGN = "SELECT count(*), min(owner) FROM shard WHERE owner IS DISTINCT FROM %s"
_FREE_SHARDS = """UPDATE shard SET owner = NULL, freed_at = clock_timestamp()
WHERE owner = (SELECT id FROM node WHERE id = %s AND epoch = %s FOR UPDATE)"""
_HOLDER = """SELECT host(a.client_addr), a.pid FROM node JOIN pg_stat_activity a ON a.pid = node.pid
AND a.backend_start = node.began WHERE node.id = %s AND a.pid <> pg_backend_pid()"""


def refuse_held(place: Place, session: psycopg.Connection[Any]) -> None:
    """FrontierLocked while another crawlerd uses it, on whatever machine."""
    row = session.execute("SELECT to_regclass('node') IS NOT NULL").fetchone()
    if not row or not row[0]:
        return
    until = time.monotonic() + LEAVING_SECONDS
    while found := session.execute(_HOLDER, (NODE,)).fetchone():
        if time.monotonic() > until:
            host, pid = found
            raise FrontierLocked(
                f"{place} is in use by another crawlerd{f' at {host}' if host else ''} (process {pid} of the server): "
                f"end that one first; if it does not answer: SELECT pg_terminate_backend({pid})"
            )
        time.sleep(0.1)  # nothing tells when a session ends


def itself(session: psycopg.Connection[Any]) -> Process:
    """The server's process for a connection."""
    pid, began = _one(session, _SELF)
    return pid, began


def take(place: Place, session: psycopg.Connection[Any]) -> tuple[int, int]:
    """An epoch for this process, with all shards: its number, and that of the last commit. FrontierLocked where a shard
    is another node's."""
    with session.transaction():
        epoch, commits = _one(session, _TAKE, NODE)
        session.execute(_OWN_SHARDS, (NODE,))
        count, owner = _one(session, _FOREIGN, NODE)
        if count:
            raise FrontierLocked(f"{place}: node {owner} serves {count} of its shards, and this crawlerd serves all")
    return epoch, commits


def take_next(session: psycopg.Connection[Any], own: Collection[Process]) -> tuple[int, int] | None:
    """The next epoch, for another connection; own: all connections of this process so far. The last one is ended at the
    server, and its transaction is waited for. None where the last one was not of this process, or a shard was lost."""
    values = (NODE, [pid for pid, _ in own], [began for _, began in own])
    session.execute(_END_LAST, values)
    taken = session.execute(_TAKE_NEXT, values).fetchone()
    # In this order: a shard that is lost later takes this epoch, too.
    return taken if taken and _one(session, _FOREIGN, NODE)[0] == 0 else None


def give_up(session: psycopg.Connection[Any], epoch: int) -> None:
    """Frees the shards, unless another process has taken over."""
    session.execute(_FREE_SHARDS, (NODE, epoch))


def _one(session: psycopg.Connection[Any], statement: str, *values: object) -> Any:
    row = session.execute(statement.encode(), values or None).fetchone()
    assert row  # noqa: S101 - a statement that always has a row
    return row
