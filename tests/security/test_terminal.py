"""What an API says is shown by a terminal and a log, and never obeyed."""

from __future__ import annotations

import ast
import logging
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.installation import QUICK, Installation
from support.rest_api import Answer, Request, RestApi

import crawlerd.cli
from crawlerd.cli.terminal import say, say_json
from crawlerd.core.log_lines import OneLine

if TYPE_CHECKING:
    from collections.abc import Callable

ODD = "\x1b]0;PWNED\x07\x9b2J\u202e\nimport forged: run 9 completed"
DESCRIPTION = """
name = "shop"
[endpoints.a]
path = "/a"
[endpoints.b]
path = "/b"
[endpoints.c]
path = "/c"
"""


def script(request: Request) -> Answer:
    match request.path:
        case "/a":
            return Answer({ODD: 1})
        case "/b":
            return Answer([{"id": ODD}, {"id": ODD, "x": 2}, {"id": None, "name": ODD}])
    return Answer({"message": ODD}, 400, {"Content-Type": "text/plain; \x1b[2J"})


def assert_harmless(text: str) -> None:
    assert [each for each in text.replace("\n", "") if not each.isprintable()] == []
    assert "\nimport forged" not in text


def test_no_command_and_no_log_passes_it_on(install: Callable[..., Installation]) -> None:
    with RestApi(script) as api:
        here = install(accounts=0, daemon={"log_level": "debug"})
        (here.folder / "source.toml").write_text(DESCRIPTION)
        here.config["accounts"]["a"] = {"source": "rest", "description": "source.toml", "base_url": api.url, **QUICK}
        here.config["imports"]["a"] = {"account": "a", "sink": "sink", "streams": ["*"], "schedule": "1h"}
        daemon = here.start("run")
        daemon.says("run 1 completed with dead letters")
        daemon.send(signal.SIGTERM)
        outputs = [daemon.finish(), here.run("import", "a"), here.run("import", "a", "--json")]
        assert "PWNED" in outputs[1].stdout
        commands = (
            ["dead", "list"],
            ["dead", "list", "--json"],
            ["dead", "show", "1"],
            ["status"],
            ["status", "--json"],
            ["sink", "check"],
            ["source", "test", "source.toml", "a"],
            ["source", "test", "source.toml", "b"],
            ["source", "test", "source.toml", "c"],
        )
        outputs += [here.run(*command) for command in commands]
    for each in outputs:
        assert_harmless(each.stdout + each.stderr)
    assert outputs[2].json["state"] == "completed with dead letters"


@given(st.text(), st.text())
def test_a_log_record_is_one_line_and_its_traceback_is_indented(message: str, error: str) -> None:
    try:
        raise ValueError(error)
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "", 0, "%s", (message,), sys.exc_info())
    first, *others = OneLine("%(levelname)s %(message)s").format(record).split("\n")
    assert first.startswith("ERROR ")
    assert first.isprintable()
    assert all(each.startswith("  ") and each.isprintable() for each in others)
    assert "Traceback" in others[0]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_lines_and_json_hold_nothing_that_is_obeyed(text: str) -> None:
    import io
    import json
    from contextlib import redirect_stdout

    with redirect_stdout(io.StringIO()) as out:
        say(text)
    assert out.getvalue().endswith("\n")
    assert out.getvalue()[:-1].isprintable()
    with redirect_stdout(io.StringIO()) as out:
        say_json(json.dumps({"a": text}, ensure_ascii=False))
    assert json.loads(out.getvalue()) == {"a": text}
    assert not [
        each for each in out.getvalue()[:-1] if ord(each) < 32 or 0x7F <= ord(each) < 0xA0 or each in "\u202e\u2028"
    ]


@pytest.mark.parametrize("path", sorted(Path(crawlerd.cli.__file__).parent.glob("*.py")), ids=lambda path: path.stem)
def test_commands_print_by_these_functions_alone(path: Path) -> None:
    """Else the next command forgets."""
    ours = {"main": "crawlerd {", "source": "schema()", "terminal": ""}  # what no other program can put words into
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    direct = [ast.unparse(each) for each in calls if ast.unparse(each.func) in ("typer.echo", "print", "typer.secho")]
    assert [each for each in direct if ours.get(path.stem, "\0") not in each] == []
