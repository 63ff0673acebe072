"""Bounds of what is configured, keys by reference, and what the package depends on."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.installation import Installation, until
from support.rest_api import Answer, Request, RestApi

from crawlerd.cli import main as cli
from crawlerd.config import secrets
from crawlerd.core import notation
from crawlerd.core.durations import parse_duration
from crawlerd.files import bounded_reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
GREATEST = 2**63 - 1


@pytest.mark.parametrize("text", ["366d", "53w", "8761h", "9" * 10 + "d", "365d1ms"])
def test_no_duration_is_longer_than_a_year(text: str) -> None:
    with pytest.raises(ValueError, match='the longest duration is "365d"'):
        parse_duration(text)
    assert parse_duration("365d") == 365 * 86_400


@pytest.mark.parametrize(
    "text",
    ["1/367 days", "5/13 months", "2/2 years", "10/second burst 1000001", f"1/{'9' * 5000} days", "9" * 5000 + "/day"],
)
def test_no_limit_is_without_bound(text: str) -> None:
    with pytest.raises(ValueError, match="write for example"):
        notation.limit(text)


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    children: dict[str, Any] = getattr(group, "commands", {})
    for name, command in children.items():
        yield from commands(command, (*path, name))
    if not children:
        yield path, group


NUMBERS = [
    (path, parameter)
    for path, command in commands(cli.command())
    for parameter in command.params
    if type(parameter.type).__name__ in ("IntParamType", "IntRange")
]


@pytest.mark.parametrize(("path", "parameter"), NUMBERS, ids=str)
def test_no_number_of_the_command_line_is_beyond_a_database(path: tuple[str, ...], parameter: Any) -> None:
    kind: Any = parameter.type
    assert kind.min is not None
    assert kind.max is not None
    assert 0 <= kind.min <= kind.max <= GREATEST


def test_one_that_is_ends_with_2(install: Callable[..., Installation]) -> None:
    assert NUMBERS
    here = install(accounts=0)
    wrong = str(2**63)
    for arguments in (["show", wrong], ["retry", wrong], ["list", "--after", wrong], ["list", "--limit", "0"]):
        done = here.run("dead", *arguments)
        assert done.code == 2
        assert "Traceback" not in done.stderr
    assert here.run("dead", "show", str(GREATEST)).code == 1


# keys


def script_of(seen: list[str]) -> Callable[[Request], Answer]:
    def script(request: Request) -> Answer:
        key = request.headers.get("authorization", "")
        if not seen or seen[-1] != key:
            seen.append(key)
        return Answer([{"id": 1}])

    return script


DESCRIPTION = 'name = "shop"\nauth = { type = "bearer" }\n[endpoints.items]\npath = "/items"\n'


def with_key(here: Installation, url: str, reference: dict[str, Any]) -> None:
    (here.folder / "source.toml").write_text(DESCRIPTION)
    here.config["accounts"]["a"] = {
        "source": "rest",
        "description": "source.toml",
        "base_url": url,
        "api_key": reference,
    }
    here.config["imports"]["a"] = {"account": "a", "sink": "sink", "streams": ["*"]}


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, False), (0o644, True), (0o602, True)])
def test_a_key_file_of_everybody_is_a_warning(install: Callable[..., Installation], mode: int, warned: bool) -> None:
    seen: list[str] = []
    with RestApi(script_of(seen)) as api:
        here = install(accounts=0)
        with_key(here, api.url, {"file": "key"})
        (here.folder / "key").write_text("key-from-a-file\n")
        (here.folder / "key").chmod(mode)
        done = here.run("import", "a")
    assert done.code == 0
    assert seen == ["Bearer key-from-a-file"]
    assert ("every user of this machine can" in done.stderr) is warned
    assert "key-from" not in done.stderr


def test_a_command_prints_the_key_and_prints_the_next_one_in_time(install: Callable[..., Installation]) -> None:
    """The workers of a daemon that runs get it; one that fails changes nothing, and is told once."""
    seen: list[str] = []
    with RestApi(script_of(seen)) as api:
        here = install(accounts=0)
        program = "import sys; print(open(sys.argv[1]).read(), end='')"
        with_key(here, api.url, {"command": [sys.executable, "-c", program, "key"], "ttl": "1s"})
        here.config["imports"]["a"]["schedule"] = "500ms"
        (here.folder / "key").write_text("first-key-0123\n")
        daemon = here.start("run")
        until(lambda: seen == ["Bearer first-key-0123"])
        (here.folder / "key").write_text("second-key-0123\n")
        until(lambda: seen == ["Bearer first-key-0123", "Bearer second-key-0123"])
        (here.folder / "key").unlink()
        daemon.says("ended with 1; run it by hand")
        before = len(api.requests)
        until(lambda: len(api.requests) > before + 2)
        assert seen[-1] == "Bearer second-key-0123"
        daemon.send(signal.SIGTERM)
        done = daemon.finish()
    assert done.code == 0
    assert "-key-0123" not in done.stderr
    assert done.stderr.count("run it by hand") == 1


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (["/no/such/program"], "cannot be started: No such file"),
        (["false"], "ended with 1"),
        (["true"], "is empty"),
        (["printf", "two\nlines\n"], "must contain only the key"),
        (["head", "-c", "100000", "/dev/zero"], "prints more than a key"),
        (["yes"], "prints more than a key"),  # and never ends
        (["sleep", "60"], "did not end within 0.2 s"),
        (["sh", "-c", "exec >&-; sleep 60"], "did not end within 0.2 s"),
    ],
)
def test_what_a_command_does_wrong_is_told_without_its_words(
    tmp_path: Path, command: list[str], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "COMMAND_SECONDS", 0.2 if "0.2 s" in problem else 10.0)
    with pytest.raises(ValueError, match=re.escape(problem)) as caught:
        secrets.printed(tuple(command), tmp_path)
    assert "lines" not in str(caught.value)


def test_what_a_command_leaves_running_is_not_waited_for(tmp_path: Path) -> None:
    """Such as an agent that keeps its output open."""
    program = "sleep 60 & echo $! > pid; printf a-long-key"
    assert secrets.printed(("sh", "-c", program), tmp_path) == "a-long-key"
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


@pytest.mark.parametrize("text", ["/dev/zero", "pipe"])
def test_a_key_file_without_end_is_refused(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_reading, "PIPE_SECONDS", 0.1)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="cannot be read"):
        secrets.resolve("file", text, tmp_path)


def test_no_file_of_the_configuration_is_without_end(install: Callable[..., Installation]) -> None:
    here = install(accounts=0)
    for place in ("accounts_csv", "description"):
        here.config["accounts"] = {
            "a": {"source": "rest", "description": "/dev/zero", "base_url": "http://127.0.0.1:9"}
        }
        (here.folder / "crawlerd.toml").write_text("")
        if place == "accounts_csv":
            here.config["accounts"] = {}
            here.config["accounts_csv"] = {"file": "/dev/zero"}
        done = here.run("import", "--all")
        assert done.code == 78
        assert "/dev/zero" in done.stderr
        assert "larger than" in done.stderr
    assert here.run("-c", "/dev/zero", "run").code == 78


def test_a_configuration_may_come_through_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_text, args=["x" * 200_000])
    writer.start()
    assert len(bounded_reading.read_whole(tmp_path / "pipe")) == 200_000
    writer.join()


def test_no_command_is_started_where_no_key_is_needed(install: Callable[..., Installation]) -> None:
    here = install(accounts=0)
    with_key(here, "http://127.0.0.1:1", {"command": ["touch", "started"]})
    for arguments in (["status"], ["sink", "check"], ["dead", "list"]):
        assert here.run(*arguments).code == 0
    assert not (here.folder / "started").exists()
    assert here.run("import", "a").code == 78  # it prints nothing
    assert (here.folder / "started").exists()


def test_the_password_of_redis_is_a_reference_and_is_not_told(install: Callable[..., Installation]) -> None:
    here = install(accounts=0)
    with_key(here, "http://127.0.0.1:1", {"env": "SHOP_KEY"})
    here.environment |= {"SHOP_KEY": "shop-key", "REDIS_KEY": "s3cr3t/p@ss:word"}
    here.config["daemon"]["limiter_storage"] = "redis://:open@127.0.0.1:1/0"
    done = here.run("import", "a")
    assert done.code == 78
    assert "it belongs in limiter_password, by reference" in done.stderr
    assert "open" not in done.stderr
    here.config["daemon"] |= {
        "limiter_storage": "redis://127.0.0.1:1/0",
        "limiter_password": {"env": "REDIS_KEY"},
    }
    here.config["accounts"]["a"]["limits"] = ["5/second"]
    importing = here.start("import", "a")
    importing.says("the shared limiter does not answer")
    importing.send(signal.SIGINT)
    done = importing.finish()
    assert done.code == 130
    assert "s3cr3t" not in done.stderr + done.stdout


def test_the_password_reaches_redis() -> None:
    """What its client is told, whatever characters it has."""
    from limits.storage import storage_from_string

    from crawlerd.config.specs import _with_password

    for address, user in (("redis://127.0.0.1:7/3", None), ("redis://me@127.0.0.1:7/3", "me")):
        storage: Any = storage_from_string(_with_password(address, "s3cr3t/p@ss:word"))
        known = storage.storage.connection_pool.connection_kwargs
        assert (known["password"], known.get("username") or None, known["db"]) == ("s3cr3t/p@ss:word", user, 3)


# dependencies


def test_every_dependency_has_bounds_on_both_sides() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    known = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
    known += [each for group in project["project"]["optional-dependencies"].values() for each in group]
    loose = [each for each in known if not re.fullmatch(r"[\w.-]+(\[[\w,]+\])?(>=[\w.]+,<[\w.]+|==[\w!.]+)", each)]
    assert [each for each in loose if not each.startswith("crawlerd[")] == []
