"""Starts crawlerd's command in processes that have imported it already.

A start of the command takes half a second of CPU, nearly all of it for imports, and the tests start thousands. A server
of each test process imports crawlerd once and forks. Each command is a process of its own, runs what the installed
command runs, and is killed like any other. A command on a terminal, one whose environment Python reads when it starts,
and one whose start is what is tested (`Installation.forked`) are started as a user starts them.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import struct
import subprocess
import sys
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

READ_AT_START = ("PYTHON", "LC_", "LANG", "LD_", "TZ", "MALLOC_")  # variables that a fork is too late for
RUN_AT_START = ("sitecustomize.py", "usercustomize.py")  # and modules that Python imports when it starts
SKIPPED = ("crawlerd.demo", "crawlerd.testing", "crawlerd.__main__")  # not what a command needs, or not to be imported
_STATUS = struct.Struct("i")


def forks_for(environment: Mapping[str, str]) -> bool:
    """Whether a fork of the server has such an environment."""
    names = {name for name in (*environment, *os.environ) if name.startswith(READ_AT_START)} - {"PYTHONPATH"}
    same = all(environment.get(name) == os.environ.get(name) for name in names)
    return same and not any(Path(each, name).exists() for each in _added(environment) for name in RUN_AT_START)


def _added(environment: Mapping[str, str]) -> list[str]:
    """The folders of a PYTHONPATH that this process does not have."""
    return [each for each in environment.get("PYTHONPATH", "").split(os.pathsep) if each and each not in sys.path]


class ForkedCommand(subprocess.Popen[bytes]):
    """A command of the server. It is no child of this process, so its end is heard of through a pipe."""

    def __init__(self, argv: Sequence[str], code: str, **options: Any) -> None:
        """argv: with the command's path. code: run before it."""
        self._code = code
        self._ending: int | None = None
        super().__init__(argv, **options)

    def _execute_child(self, args: Sequence[str], *options: Any) -> None:  # type: ignore[override]
        cwd, env = options[4:6]
        pipes = options[9:15]
        p2cread, _, _, c2pwrite, _, errwrite = pipes
        self._ending, theirs = os.pipe()
        request = {"argv": list(args), "cwd": str(cwd), "env": dict(env), "code": self._code}
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(server())
            socket.send_fds(connection, [b"."], [p2cread, c2pwrite, errwrite, theirs])
            connection.sendall(json.dumps(request).encode())
            connection.shutdown(socket.SHUT_WR)
        os.close(theirs)
        self._close_pipe_fds(*pipes)
        self.pid = self._number()
        self._child_created = True

    def _number(self) -> int:
        assert self._ending is not None
        data = os.read(self._ending, _STATUS.size)
        assert len(data) == _STATUS.size, "the server of commands has died"
        return int(_STATUS.unpack(data)[0])

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        assert self._ending is not None
        os.set_blocking(self._ending, not wait_flags & os.WNOHANG)
        try:
            status = self._number()
        except BlockingIOError:
            return 0, 0
        os.close(self._ending)
        return self.pid, status

    def _internal_poll(self, _deadstate: int | None = None, *_others: Any) -> int | None:
        if self.returncode is None and self._waitpid_lock.acquire(blocking=False):
            try:
                if self.returncode is None:
                    pid, status = self._try_wait(os.WNOHANG)
                    if pid:
                        self._handle_exitstatus(status)
            finally:
                self._waitpid_lock.release()
        code: int | None = self.returncode
        return code


@cache
def server() -> str:
    """The address of this test process' server, which is started when it is asked for first."""
    name = f"crawlerd-commands-{os.getpid()}"
    address = f"\0{name}"  # which leaves no file
    process = subprocess.Popen([sys.executable, __file__, name], stdin=subprocess.PIPE)
    atexit.register(process.kill)
    until = time.monotonic() + 60.0
    while True:
        with socket.socket(socket.AF_UNIX) as probe, suppress(ConnectionRefusedError):
            probe.connect(address)
            return address
        assert process.poll() is None, "the server of commands has died"
        assert time.monotonic() < until
        time.sleep(0.02)


def _serve(address: str) -> tuple[dict[str, Any], list[int]]:
    """Returns in each process that is to be a command, with what was asked for, and its three files."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the tests, which end this
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen(64)
    while True:
        connection, _ = listening.accept()
        with connection:
            _, files, _, _ = socket.recv_fds(connection, 1, 4)
            if not files:
                continue  # only looked whether anybody is here
            data = b""
            while part := connection.recv(1 << 20):
                data += part
        if os.fork() == 0:
            listening.close()
            break
        for each in files:
            os.close(each)
    *three, ending = files
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if child := os.fork():
        for each in (0, 1, 2, *three):
            os.close(each)
        os.write(ending, _STATUS.pack(child))
        _, status = os.waitpid(child, 0)
        with suppress(BrokenPipeError):
            os.write(ending, _STATUS.pack(status))
        os._exit(0)
    os.close(ending)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    return json.loads(data), three


def _become(request: dict[str, Any], files: list[int]) -> None:
    for number, each in enumerate(files):
        os.dup2(each, number)
    os.closerange(3, 1024)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv = request["argv"]
    sys.path[:1] = [os.path.dirname(sys.argv[0]), *_added(os.environ)]


def _import_all() -> None:
    import crawlerd

    for each in pkgutil.walk_packages(crawlerd.__path__, "crawlerd."):
        if not each.name.startswith(SKIPPED):
            with suppress(ImportError):
                importlib.import_module(each.name)


if __name__ == "__main__":
    _import_all()
    gc.collect()
    gc.freeze()
    _become(*(asked := _serve(f"\0{sys.argv[1]}")))
    exec(asked[0]["code"])  # noqa: S102 - the tests' own
    from crawlerd.cli.main import main

    main()
