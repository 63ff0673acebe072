"""Who uses a frontier on PostgreSQL: the session that its node names."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from crawlerd.core.errors import FrontierLocked

if TYPE_CHECKING:
    import psycopg

    from crawlerd.frontier.postgresql.session import Place

NODE = 1  # the only one, so far
LEAVING_SECONDS = 3.0  # that the session of a process which was just killed may take to end
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
