"""A real PostgreSQL server on a free loopback port, of the test's own; Debian's package `postgresql` has it."""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import closing, contextmanager, suppress
from functools import cache
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import psycopg
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = "hunter2-of-postgresql"
START_SECONDS = 60.0
# Tests stop the server hard where they mean it; all others need no disk.
SETTINGS = {
    "fsync": "off",
    "max_connections": "40",
    "shared_buffers": "32MB",
    "unix_socket_directories": "''",
    "listen_addresses": "127.0.0.1",
    "log_min_messages": "error",
    "wal_level": "replica",
}


def programs() -> Path:
    """The newest version that is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda each: int(each.parent.name))
    if not found:
        pytest.skip("no PostgreSQL server is installed: apt-get install postgresql")
    return found[-1]


class PostgresServer:
    """Started by `start`, ended by `close`.

    port: of the loopback interface; the same after a restart.
    data: the server's directory.
    """

    def __init__(self, data: Path | None = None) -> None:
        """data: of a server that is a copy; one is made without it."""
        self._user = "postgres" if os.geteuid() == 0 else None  # PostgreSQL does not run as root
        self._home = Path(tempfile.mkdtemp(prefix="crawlerd-pg-"))
        self._give(self._home)
        self.data = data or self._home / "data"
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        self._schemas = count(1)
        if data is None:
            secret = self._home / "password"
            secret.write_text(PASSWORD)
            self._give(secret)
            self.run("initdb", "-D", self.data, "-U", "owner", "-A", "scram-sha-256", f"--pwfile={secret}", "--no-sync")
            with (self.data / "pg_hba.conf").open("a") as rules:
                rules.write("host replication all 127.0.0.1/32 scram-sha-256\n")

    def _give(self, path: Path) -> None:
        if self._user:
            entry = pwd.getpwnam(self._user)
            os.chown(path, entry.pw_uid, entry.pw_gid)

    def run(self, program: str, *arguments: object) -> bytes:
        """One of PostgreSQL's programs, as the server's user. Its output."""
        done = subprocess.run(
            [programs() / program, *map(str, arguments)],
            user=self._user,
            cwd="/",
            env={"PATH": os.environ["PATH"], "PGPASSWORD": PASSWORD, "LC_ALL": "C.UTF-8"},
            capture_output=True,
            timeout=START_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def start(self, **settings: str) -> None:
        """Returns when it takes connections."""
        options = [f"-c{key}={value}" for key, value in {**SETTINGS, "port": str(self.port), **settings}.items()]
        log = (self._home / "log").open("ab")
        self._process = subprocess.Popen(
            [programs() / "postgres", "-D", self.data, *(each.replace("''", "") for each in options)],
            user=self._user,
            cwd="/",
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
            stdout=log,
            stderr=log,
        )
        log.close()
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=2).close()
            except psycopg.OperationalError:
                assert self._process.poll() is None, (self._home / "log").read_text()
                assert time.monotonic() < until, (self._home / "log").read_text()
                time.sleep(0.02)
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """SIGQUIT: at once, as in a crash. SIGINT: sessions are ended first."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(how)
            self._process.wait(START_SECONDS)

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self._home, ignore_errors=True)

    def url(self, database: str = "crawl", user: str = "owner", password: str = PASSWORD, port: int = 0) -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{port or self.port}/{database}"

    def database(self, name: str = "crawl") -> str:
        """Makes it. Its URL."""
        with closing(psycopg.connect(self.url("postgres"), autocommit=True)) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8'".encode())
        return self.url(name)

    def query(self, statement: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """Of another program, committed at once. The rows, none where the statement returns none."""
        with closing(psycopg.connect(self.url(), autocommit=True)) as connection:
            found = connection.execute(statement.encode(), parameters or None)
            rows: list[tuple[Any, ...]] = []
            with suppress(psycopg.ProgrammingError):
                rows = found.fetchall()
            return rows

    def processes(self) -> list[psutil.Process]:
        """The server's, one for each session among them."""
        assert self._process
        main = psutil.Process(self._process.pid)
        return [main, *main.children()]

    def schema(self) -> str:
        """A name that no other test has."""
        return f"test_{next(self._schemas)}"


@cache
def shared() -> PostgresServer:
    """One for all tests of a process."""
    server = PostgresServer()
    mine = os.getpid()
    atexit.register(lambda: server.close() if os.getpid() == mine else None)
    server.start()
    server.database()
    return server


@contextmanager
def postgres_server(**settings: str) -> Iterator[PostgresServer]:
    """With the database `crawl`, whose owner is `owner`."""
    server = PostgresServer()
    try:
        server.start(**settings)
        server.database()
        yield server
    finally:
        server.close()
