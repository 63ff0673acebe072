"""crawlerd as a user has it: a directory with a configuration, keys in the environment, and the installed command."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import apsw
import psutil
from prometheus_client.parser import text_string_to_metric_families

from crawlerd.config.file import SINGLE
from crawlerd.demo.objects import STREAMS, count, expected
from crawlerd.demo.shapes import EMBEDDED_LINES, line_count
from crawlerd.sources.stripe.catalogue import KEPT
from crawlerd.sources.stripe.paging import PAGE
from support.command_server import ForkedCommand, forks_for
from support.json_outputs import check_json

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from support.constants import Constant

LISTED = [name for name, stream in STREAMS.items() if not stream.parent]
# Tasks that compare lists which nothing is missing of: one that begins, one for each stream, one that sweeps.
COMPARING = 2 * len(LISTED) + sum(name not in KEPT for name in STREAMS)
COMMAND = str(Path(sys.executable).with_name("crawlerd"))
NO_LIMITS: dict[str, Any] = {"limits": [], "bucket_limits": []}
QUICK: dict[str, Any] = {**NO_LIMITS, "retry_base": "20ms", "retry_cap": "100ms"}

_SOURCE_IMPORTS = """
from __future__ import annotations
from dataclasses import dataclass
from pathlib import Path
from crawlerd.source import *
"""

Kind = TypeVar("Kind", bound="Running")


def until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Waits for another process: the first true value of `condition`, or a failure after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s")
        time.sleep(0.005)
    return value


def is_alive(process: psutil.Process) -> bool:
    """Not dead, and not a zombie that waits for an init process that takes its time."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


class Finished(NamedTuple):
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str
    arguments: tuple[str, ...] = ()

    @property
    def json(self) -> Any:
        """stdout as one JSON value, with nothing before or after it, as the schema of the command says."""
        assert self.stdout, f"exit code {self.code}: {self.stderr}"
        found = json.loads(self.stdout)
        check_json(self.arguments, self.code, found)
        return found


class Running:
    """A command under way. Its output goes to files, so that nothing waits for a reader."""

    def __init__(
        self,
        command: list[str],
        folder: Path,
        environment: Mapping[str, str],
        serial: int,
        stderr: int | None = None,
        forked: str | None = None,
    ) -> None:
        """forked: code that a fork of the server of commands runs first; None for a process of its own."""
        self._stdout, self._stderr = folder / f"{serial}.out", folder / f"{serial}.err"
        with self._stdout.open("wb") as stdout, self._stderr.open("wb") as file:
            options: dict[str, Any] = {
                "cwd": folder,
                "env": dict(environment),
                "stdin": stderr or subprocess.DEVNULL,
                "stdout": stdout,
                "stderr": stderr or file,
            }
            self.process: subprocess.Popen[bytes] = (
                subprocess.Popen(command, **options) if forked is None else ForkedCommand(command, forked, **options)
            )
        self.pid = self.process.pid
        self.arguments: tuple[str, ...] = ()

    @property
    def stderr(self) -> str:
        return self._stderr.read_text()

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def says(self, pattern: str, seconds: float = 20.0) -> re.Match[str]:
        """Waits until stderr has it; fails at once when the command ends before."""

        def found() -> re.Match[str] | None:
            ended = not self.running
            match = re.search(pattern, self.stderr)
            assert match or not ended, f"ended with {self.process.returncode}, said: {self.stderr}"
            return match

        match: re.Match[str] = until(found, seconds)
        return match

    def workers(self) -> list[psutil.Process]:
        """Its worker processes."""
        try:
            found: list[psutil.Process] = psutil.Process(self.pid).children(recursive=True)
            return found
        except psutil.NoSuchProcess:
            return []

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def finish(self, seconds: float = 60.0) -> Finished:
        """Waits for its end. No crawlerd may ever end in a traceback."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds:g} s; said: {self.stderr}") from None
        result = Finished(self.process.returncode, self._stdout.read_text(), self.stderr, self.arguments)
        assert "Traceback" not in result.stderr, result.stderr
        assert "Exception ignored" not in result.stderr, result.stderr
        return result

    def kill(self) -> None:
        """SIGKILL, and the proof that its workers go with it."""
        workers = self.workers()
        self.process.kill()
        self.process.wait()
        until(lambda: not any(is_alive(each) for each in workers), 10)


class OnTerminal(Running):
    """A command whose stdin and stderr are a terminal of its own, 40 lines of 160 columns."""

    def __init__(self, command: list[str], folder: Path, environment: Mapping[str, str], serial: int) -> None:
        self._terminal, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 40, 160, 0, 0))
        try:
            environment = {"TERM": "xterm-256color", **environment}
            super().__init__(["setsid", "--ctty", *command], folder, environment, serial, theirs)
        finally:
            os.close(theirs)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with self._stderr.open("ab", buffering=0) as file, contextlib.suppress(OSError):  # EIO: nobody writes any more
            while data := os.read(self._terminal, 65536):
                file.write(data)

    @property
    def stderr(self) -> str:
        """What was written, without the codes that move and colour it."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", super().stderr)

    def press(self, keys: bytes) -> None:
        os.write(self._terminal, keys)

    def finish(self, seconds: float = 60.0) -> Finished:
        self.process.wait(seconds)
        self._reader.join()
        os.close(self._terminal)
        return super().finish(seconds)


class Installation:
    """folder: gets `crawlerd.toml`, state in `var/`, the sink in `sink.db`; the configuration is in `config`, to be
    changed before a command. Accounts and imports `a1` and up have the local API's keys, unless tables are given.

    constants: what its main process sets first, to shorten waits.
    under: a command that runs the command.
    forked: commands come from a server that has imported crawlerd, where that is no difference.
    """

    forked = True

    def __init__(
        self,
        folder: Path,
        url: str = "",
        *,
        accounts: int = 1,
        streams: Iterable[str] = tuple(STREAMS),
        account: Mapping[str, Any] = QUICK,
        daemon: Mapping[str, Any] | None = None,
        schedule: str | None = None,
        constants: Mapping[Constant, float] | None = None,
        under: Sequence[str] = (),
    ) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.state_dir = folder / "var"
        self.sink_path = folder / "sink.db"
        self.constants = dict(constants or {})
        self.under = under
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("NOTIFY_", "WATCHDOG_", "TERM", "COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR"))
        }
        self.config: dict[str, dict[str, Any]] = {
            "daemon": {"state_dir": "var", "listen": "127.0.0.1:0", "worker_processes": 1, **(daemon or {})},
            "accounts": {},
            "sinks": {"sink": {"type": "sqlite", "path": "sink.db"}},
            "imports": {},
        }
        for number in range(1, accounts + 1):
            name = f"a{number}"
            self.environment[f"KEY_{number}"] = f"sk_test_account_{number}"
            self.config["accounts"][name] = {
                "source": "stripe",
                "base_url": url,
                "api_key": {"env": f"KEY_{number}"},
                **account,
            }
            self.config["imports"][name] = {"account": name, "sink": "sink", "streams": list(streams)}
            if schedule:
                self.config["imports"][name]["schedule"] = schedule
        self._started: list[Running] = []

    def add_source(self, name: str, code: str) -> None:
        """Installs a source of one's own, as a package would; all that it needs beside `code` is imported in it."""
        module = f"{name}_source"
        self._install(name, module, _SOURCE_IMPORTS + code, f"[crawlerd.sources]\n{name} = {module}:source\n")
        self.config["accounts"][name] = {"source": name, **QUICK}
        self.config["imports"][name] = {"account": name, "sink": "sink", "streams": ["*"]}

    def add_extension(self, source: str, module: str, code: str) -> None:
        """Installs what extends a source, as a package would."""
        self._install(module, module, code, f"[crawlerd.extensions]\n{source} = {module}\n")

    def _install(self, name: str, module: str, code: str, entry_points: str) -> None:
        site = self.folder / "site"
        facts = site / f"{name}-1.0.dist-info"
        facts.mkdir(parents=True, exist_ok=True)
        (site / f"{module}.py").write_text(code)
        (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (facts / "entry_points.txt").write_text(entry_points)
        path = self.environment.get("PYTHONPATH", "")
        if str(site) not in path.split(os.pathsep):
            self.environment["PYTHONPATH"] = f"{site}{os.pathsep}{path}" if path else str(site)

    # commands

    def start(self, *arguments: str) -> Running:
        return self._start(Running, arguments)

    def start_on_terminal(self, *arguments: str) -> OnTerminal:
        return self._start(OnTerminal, arguments)

    def write(self) -> None:
        """The configuration file, as `config` has it."""
        (self.folder / "crawlerd.toml").write_text(_toml(self.config))

    def start_as_it_is(self, *arguments: str) -> Running:
        """With the configuration file that is there."""
        return self._start(Running, arguments, write=False)

    def _start(self, kind: type[Kind], arguments: Iterable[str], *, write: bool = True) -> Kind:
        if write:
            self.write()
        words = tuple(arguments)
        serial = len(self._started)
        if kind is Running and self.forked and not self.under and forks_for(self.environment):
            command = kind(
                [COMMAND, *words], self.folder, self.environment, serial, forked="\n".join(self._assignments())
            )
        else:
            command = kind([*self._command(), *words], self.folder, self.environment, serial)
        command.arguments = words
        self._started.append(command)
        return command

    def run(self, *arguments: str, seconds: float = 60.0) -> Finished:
        return self.start(*arguments).finish(seconds)

    def _command(self) -> list[str]:
        if not self.constants:
            return [*self.under, COMMAND]
        lines = [*self._assignments(), "from crawlerd.cli.main import main", "main()"]
        return [*self.under, sys.executable, "-c", "\n".join(lines)]

    def _assignments(self) -> list[str]:
        return [constant.assignment(value) for constant, value in self.constants.items()]

    def close(self) -> None:
        for each in self._started:
            if each.running:
                each.kill()

    # what is in its files

    def select(self, statement: str, *bindings: Any, path: Path | None = None) -> list[tuple[Any, ...]]:
        """Rows of the frontier, or of another database."""
        database = apsw.Connection(str(path or self.state_dir / "frontier.db"), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            database.set_busy_timeout(10_000)
            return list(database.execute(statement, bindings))
        finally:
            database.close()

    def change_published(self, stream: str, change: Callable[[str], str]) -> None:
        """Changes a published cursor, as if time had passed. While nothing runs."""
        database = apsw.Connection(str(self.state_dir / "frontier.db"))
        try:
            ((value,),) = database.execute("SELECT value FROM cursor WHERE stream = ?", (stream,))
            database.execute("UPDATE cursor SET value = ? WHERE stream = ?", (change(value), stream))
        finally:
            database.close()

    def states(self) -> list[str]:
        """Of all runs, oldest first; none while there is no frontier yet."""
        try:
            return [state for (state,) in self.select("SELECT state FROM run ORDER BY id")]
        except (apsw.CantOpenError, apsw.SQLError):
            return []

    def imported(self, account: str, stream: str, source: str = "stripe") -> dict[str, Any]:
        """An account's objects of one stream in the sink, by id; none when the stream has no table."""
        table = f"{source}_{stream}"
        if not self.select("SELECT 1 FROM sqlite_schema WHERE name = ?", table, path=self.sink_path):
            return {}
        rows = self.select(f'SELECT id, data FROM "{table}" WHERE account = ?', account, path=self.sink_path)
        assert len({key for key, _ in rows}) == len(rows)
        return {key: json.loads(data) for key, data in rows}

    def assert_complete(self, accounts: int, customers: int) -> None:
        """The sink holds what the local API's formula yields, no more and no less; the counters agree with it."""
        for number in range(1, accounts + 1):
            for stream in STREAMS:
                assert self.imported(f"a{number}", stream) == dict(expected(number, stream, customers)), stream
        for (table,) in self.select(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'stripe_%'", path=self.sink_path
        ):
            names = self.select(f'SELECT DISTINCT account FROM "{table}"', path=self.sink_path)
            assert {name for (name,) in names} <= {f"a{number}" for number in range(1, accounts + 1)}
        self.assert_conserved()
        records = sum(count(stream, customers) for stream in STREAMS)
        rows = self.select("SELECT import, state, open, delayed, dead, records FROM run ORDER BY import")
        assert rows == [(f"a{number}", "completed", 0, 0, 0, records) for number in range(1, accounts + 1)]
        # Behind a list with dead letters, nothing is swept, also when they are retried.
        done = self.select("SELECT done FROM run")
        assert all(tasks_of(customers) - COMPARING <= each <= tasks_of(customers) for (each,) in done)

    def assert_conserved(self) -> None:
        """Every counter of the frontier is the number of rows that it stands for."""
        assert not self.select(
            "SELECT id, open, delayed, dead FROM run WHERE"
            " delayed <> (SELECT count(*) FROM delayed WHERE run = run.id) OR"
            " open - delayed - waiting <> (SELECT count(*) FROM ready WHERE run = run.id) +"
            " (SELECT coalesce(sum(count), 0) FROM unfolding WHERE run = run.id) OR"
            " dead <> (SELECT count(*) FROM dead WHERE run = run.id)"
        )
        assert not self.select(
            "SELECT id, ready FROM bucket WHERE ready <> (SELECT count(*) FROM ready WHERE bucket = bucket.id)"
        )
        assert self.select("PRAGMA integrity_check") == [("ok",)]


def fetch(daemon: Running, path: str) -> tuple[int, str]:
    """Status and body of what a daemon answers on the address that it has printed."""
    found = daemon.says(r"http://(\S+)/metrics")
    connection = HTTPConnection(found[1], timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def metrics_of(daemon: Running) -> dict[str, float]:
    """A daemon's metrics, those with labels as name{label="value",other="value"}."""
    status, text = fetch(daemon, "/metrics")
    assert status == 200
    return {
        sample.name + _labels(sample.labels): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _labels(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}" if labels else ""


def total_of(metrics: Mapping[str, float], name: str) -> float:
    """Of all children of a family."""
    return sum(value for sample, value in metrics.items() if sample.partition("{")[0] == name)


def pages_of(customers: int) -> int:
    """Requests of a whole import of one of the local API's accounts: the pages of its lists and of those below them,
    its newest event before and after."""
    pages = sum(max(1, -(-count(name, customers) // PAGE)) for name in LISTED)
    lines = map(line_count, range(count("invoices", customers)))
    return 2 + pages + customers + sum(-(-(each - EMBEDDED_LINES) // PAGE) for each in lines if each > EMBEDDED_LINES)


def tasks_of(customers: int) -> int:
    """Its tasks: one more than that, and after each list those that compare its streams."""
    return pages_of(customers) + 1 + COMPARING


def _toml(config: Mapping[str, Mapping[str, Any]]) -> str:
    """JSON's scalars and lists are TOML's."""
    lines = []
    for kind, tables in config.items():
        if kind.endswith("_csv"):
            lines += [f"[[{kind}]]", *(f"{key} = {_inline(value)}" for key, value in tables.items())]
            continue
        single = kind in (*SINGLE, "notify")
        for name, table in {kind: tables}.items() if single else tables.items():
            lines.append(f"[{kind}]" if single else f"[{kind}.{json.dumps(name)}]")
            lines += [f"{key} = {_inline(value)}" for key, value in table.items()]
    return "\n".join(lines) + "\n"


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_inline(each)}" for key, each in value.items()) + " }"
    return json.dumps(value)
