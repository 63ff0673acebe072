"""Another user of the machine: code that runs as `nobody`, which only root can start."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys

import pytest

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

# Modules first: nobody may not be able to read the interpreter's own.
_BECOME = """
import encodings.idna, fcntl, json, os, pathlib, socket, sqlite3, sys, traceback
os.setgroups({groups}); os.setgid({group}); os.setuid({user})
try:
    exec({code!r})
except BaseException as error:
    print(f"{{type(error).__name__}}: {{error}}")
"""


def as_nobody(code: str, *arguments: object, groups: tuple[int, ...] = ()) -> str:
    """What Python code prints that runs as nobody, with no group of ours but these; the error it ends in, if any.

    It has sys.argv, fcntl, json, os, pathlib, socket and sqlite3.
    """
    nobody = pwd.getpwnam("nobody")
    program = _BECOME.format(code=code, groups=list(groups), user=nobody.pw_uid, group=nobody.pw_gid)
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        cwd="/",
    )
    return done.stdout.strip()
