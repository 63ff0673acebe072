"""Another user of the machine: code that runs as `nobody`, which only root can start."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from support.installation import Finished

if TYPE_CHECKING:
    from pathlib import Path

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


# The modules first, as above. Each command is a process of its own, as at a prompt.
_COMMANDS = """
import encodings.idna, encodings.utf_8_sig, importlib, json, os, pkgutil, sys
import crawlerd
for each in pkgutil.walk_packages(crawlerd.__path__, "crawlerd."):
    if not each.name.endswith("__main__"):
        importlib.import_module(each.name)
from crawlerd.cli.main import main
config, user, group, groups, commands = json.loads(sys.argv[1])
os.setgroups(groups); os.setgid(group); os.setuid(user)
found = []
for arguments in commands:
    files = [os.memfd_create("out"), os.memfd_create("err")]
    child = os.fork()
    if not child:
        os.dup2(files[0], 1); os.dup2(files[1], 2)
        sys.argv = ["crawlerd", "-c", config, *arguments]
        main()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    found.append([code, *(os.pread(each, 1 << 24, 0).decode() for each in files)])
print(json.dumps(found))
"""


def commands_as_nobody(config: Path, *commands: list[str], groups: tuple[int, ...] = ()) -> list[Finished]:
    """What commands of crawlerd do for nobody, with no group of ours but these."""
    nobody = pwd.getpwnam("nobody")
    given = json.dumps([str(config), nobody.pw_uid, nobody.pw_gid, groups, commands])
    done = subprocess.run(
        [sys.executable, "-c", _COMMANDS, given], capture_output=True, text=True, timeout=60, check=True, cwd="/"
    )
    return [Finished(*each, tuple(words)) for each, words in zip(json.loads(done.stdout), commands, strict=True)]
