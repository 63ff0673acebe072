"""The Containerfile names nothing that is not there. Tests cannot build an image, so they look at each line."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from crawlerd.cli.main import command as root
from crawlerd.config.overrides import KEYS, OTHERS, PREFIX

ROOT = Path(__file__).parents[2]
KNOWN = {"FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "VOLUME", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"}


def stages() -> list[list[tuple[str, str]]]:
    """The instructions of each stage, with their arguments."""
    text = re.sub(r"\\\n\s*", " ", (ROOT / "Containerfile").read_text())
    found: list[list[tuple[str, str]]] = []
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            word, _, rest = line.partition(" ")
            assert word in KNOWN
            if word == "FROM":
                found.append([])
            found[-1].append((word, rest.strip()))
    return found


def of(stage: list[tuple[str, str]], word: str) -> list[str]:
    return [rest for each, rest in stage if each == word]


def environment() -> dict[str, str]:
    return dict(word.split("=", 1) for rest in of(stages()[-1], "ENV") for word in shlex.split(rest))


def copied() -> list[str]:
    return [source for rest in of(stages()[0], "COPY") for source in shlex.split(rest)[:-1]]


def test_the_base_is_pinned_and_new_enough() -> None:
    bases = {rest.split(" ")[0] for stage in stages() for rest in of(stage, "FROM")}
    (base,) = bases
    version = re.fullmatch(r"docker\.io/library/python:(\d+)\.(\d+)-slim-[a-z]+", base)
    assert version
    least = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert (int(version[1]), int(version[2])) >= tuple(map(int, re.findall(r"\d+", least)))


def test_all_that_is_copied_is_in_the_repository_and_not_ignored() -> None:
    ignored = (ROOT / ".containerignore").read_text().splitlines()
    let_in = [line[1:] for line in ignored if line.startswith("!")]
    assert ignored[0] == "*"
    for path in copied():
        assert (ROOT / path).exists()
        assert path.split("/")[0] in let_in
    assert all((ROOT / path).exists() for path in let_in)
    last = [shlex.split(rest) for rest in of(stages()[-1], "COPY")]
    assert [words[0] for words in last] == ["--from=build"]


def test_all_that_the_wheel_is_made_of_is_copied() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {"pyproject.toml", project["project"]["readme"], *wheel["packages"], *wheel["shared-data"]}
    assert needed <= set(copied())


def test_every_program_is_in_the_image_with_these_options() -> None:
    """The image is Debian's, and so is where tests run."""
    for stage in stages():
        for rest in of(stage, "RUN"):
            for command in rest.split("&&"):
                program, *words = shlex.split(command)
                if program.startswith("/opt/crawlerd/bin/") or program == "python":
                    program = sys.executable
                assert shutil.which(program)
                if program != sys.executable:
                    told = subprocess.run([program, "--help"], capture_output=True, text=True, check=True)
                    for word in words:
                        if word.startswith("--"):
                            assert word.partition("=")[0] in told.stdout, word


def test_it_runs_as_nobody_in_particular_who_owns_the_state() -> None:
    stage = stages()[-1]
    (user,) = of(stage, "USER")
    assert user == "10001:10001"
    (made,) = of(stage, "RUN")
    state = environment()["CRAWLERD_STATE_DIR"]
    assert of(stage, "VOLUME") == [state] == of(stage, "WORKDIR")
    assert f"--owner=crawlerd --group=crawlerd --mode=0700 {state}" in made
    order = [word for word, _ in stage]
    assert order.index("RUN") < order.index("USER") < order.index("ENTRYPOINT")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may add users, in a folder of the test as well")
def test_its_user_and_group_are_those_that_are_made(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    for name in ("passwd", "group", "login.defs"):
        shutil.copy(f"/etc/{name}", tmp_path / "etc")
    (made,) = of(stages()[-1], "RUN")
    for command in made.split("&&"):
        program, *words = shlex.split(command)
        if program in ("groupadd", "useradd"):
            subprocess.run([program, "--prefix", tmp_path, *words], check=True)
    (line,) = [line for line in (tmp_path / "etc/passwd").read_text().splitlines() if line.startswith("crawlerd:")]
    assert of(stages()[-1], "USER") == [":".join(line.split(":")[2:4])]
    assert "crawlerd:x:10001:" in (tmp_path / "etc/group").read_text()


def test_the_variables_are_settings() -> None:
    own = {name for name in environment() if name.startswith(PREFIX)}
    assert own <= {PREFIX + key.upper() for key in KEYS} | set(OTHERS)
    assert environment()["PATH"].split(":")[0] == "/opt/crawlerd/bin"


def test_the_command_is_the_daemon_and_gets_its_signals() -> None:
    stage = stages()[-1]
    assert of(stage, "STOPSIGNAL") == ["SIGTERM"]
    (entry,), (command,) = of(stage, "ENTRYPOINT"), of(stage, "CMD")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert json.loads(entry) == list(project["scripts"])  # a list: no shell stands between
    (word,) = json.loads(command)
    assert word in root().commands


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False), (None, False)])
def test_the_healthcheck_asks_the_daemon(status: int | None, healthy: bool) -> None:
    class Daemon(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response((status or 500) if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    (check,) = of(stages()[-1], "HEALTHCHECK")
    options, _, words = check.partition(" CMD ")
    assert {each.partition("=")[0] for each in options.split()} == {
        "--interval", "--timeout", "--start-period", "--retries",
    }  # fmt: skip
    program, *rest = json.loads(words)
    assert program == "python"
    with HTTPServer(("127.0.0.1", 0), Daemon) as server:
        port = server.server_port
        if status is None:
            server.server_close()
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        if status is not None:
            thread.start()
        variables = {**os.environ, **environment(), "CRAWLERD_LISTEN": f"0.0.0.0:{port}"}
        done = subprocess.run([sys.executable, *rest], env=variables, capture_output=True, check=False)
        if status is not None:
            server.shutdown()
    assert (done.returncode == 0) == healthy
