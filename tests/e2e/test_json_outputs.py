"""What commands print for programs: JSON of the schema, also of errors, and nothing else on stdout."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from support.json_outputs import check_json, check_lines
from support.rest_api import Answer, RestApi
from support.shops import shop

from crawlerd.cli.main import run_command
from crawlerd.operations.problem import ProblemCode

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.installation import Installation
    from support.rest_api import Request

    Asks = Callable[..., Any]

STORES, ORDERS = {"id": 1}, [{"id": 1}, {"id": 2}]


@pytest.fixture
def here(install: Callable[..., Installation], monkeypatch: pytest.MonkeyPatch) -> Installation:
    """Two imports that have run in the foreground, one of which has a dead letter."""
    with RestApi() as api:

        def script(request: Request) -> Answer:
            if request.path == "/orders/2/lines":
                return Answer({"error": "no order 2"}, status=404)
            return Answer(ORDERS if request.path == "/orders" else [STORES])

        api.script = script
        made = shop(install, api, {"orders": ["orders", "lines"], "stores": ["stores"]})
        assert made.run("import", "--all", "--json").json["state"] == "completed with dead letters"
    monkeypatch.chdir(made.folder)
    for key, value in made.environment.items():
        monkeypatch.setenv(key, value)
    return made


@pytest.fixture
def ask(here: Installation, capsys: pytest.CaptureFixture[str]) -> Asks:
    """Runs a command with --json, whose answer fits its schema."""

    def asking(text: str, code: int = 0) -> Any:
        arguments = text.split()
        got = run_command([*arguments, "--json"])
        printed = capsys.readouterr()
        assert (got, bool(printed.out)) == (code, True), (text, printed)
        found = json.loads(printed.out)
        check_json(arguments, code, found)
        return found

    return asking


def test_every_command_prints_what_its_schema_says(here: Installation, ask: Asks, tmp_path: Path) -> None:
    (letter,) = ask("dead list")
    (group,) = ask("dead groups")
    assert (letter["import"], group["letters"]) == ("orders", 1)
    assert ask(f"dead show {letter['id']}")["id"] == letter["id"]
    assert [each["import"] for each in ask("runs")["runs"]] == ["stores", "orders"]
    run = letter["run"]
    assert ask(f"run show {run}")["run"]["id"] == run
    assert [each["name"] for each in ask("imports")["imports"]] == ["orders", "stores"]
    assert ask("status")["pid"] is None
    assert ask("status --check", 1)["wrong"]
    assert ask("why orders")["waits"][0]["reason"] == "idle"
    assert [each["import_name"] for each in ask("import --plan --all")] == ["orders", "stores"]
    assert {each["import_name"] for each in ask("schedule")} == {"orders", "stores"}
    assert ask("accounts")["accounts"][0]["name"] == ask("accounts show acme")["name"] == "acme"
    assert ask("accounts limit acme 5/second --reason slow")["limits"]
    assert ask("accounts limit acme --off") == {"account": "acme", "bucket": ""}
    assert [each["name"] for each in ask("pause import orders stores --reason sale")] == ["orders", "stores"]
    assert ask("resume import orders stores") == [{"kind": "import", "name": each} for each in ("orders", "stores")]
    assert [each["act"] for each in ask("audit")][-1]
    assert ask("syncpoint show orders")["import"] == "orders"
    assert ask("dead export letters --all") == {"count": 1, "directory": "letters"}
    assert ask("dead retry --all --dry-run") == {"count": 1}
    assert ask(f"dead retry {letter['id']}")["done"] == 1
    assert ask("dead retry --all --yes") == {"count": 0}
    assert ask("dead import letters", 1)["refused"]
    assert [each["act"] for each in ask("operations")] == ["retry"]
    assert ask(f"run cancel {run} --reason enough") == {"requests": 0}
    assert ask("top")["verdict"].startswith("no crawlerd is running")
    assert ask("submit rest.list {} --import stores", 1)["detail"]
    assert ask("inbox")["rejections"] == []
    assert ask("source test source.toml stores --base-url http://127.0.0.1:9", 1)["good"] is False
    assert ask("syncpoint clear stores", 1)["status"] == 400
    here.config["imports"]["shops"] = here.config["imports"].pop("stores")
    here.write()
    assert ask("imports rename stores shops") == {"old": "stores", "new": "shops"}
    assert ask("run retry 2", 1)["detail"]
    assert ask("frontier check")["problems"] == []
    assert ask("frontier backup copy.db")["bytes"] > 0
    assert ask("frontier vacuum")["after"] > 0
    assert ask("frontier restore copy.db")["aside"]
    assert ask("frontier new --force")["aside"]
    assert [each["problems"] for each in ask("sink check")] == [[]]
    assert ask("sink copy sink copy2.db")["bytes"] > 0
    assert ask("config check")["imports"] == 2
    assert {each["key"] for each in ask("config show imports.orders")} >= {"imports.orders.account"}
    assert ask("config schema")["type"] == ask("source schema")["type"] == "object"
    assert {each["name"] for each in ask("sources")} >= {"stripe"}
    assert {each["name"] for each in ask("streams stripe")} >= {"charges"}
    assert ask("new source nothing_much")["folder"]
    assert len(ask("token new")["token"]) == 43
    assert ask(f"-c {tmp_path}/first.toml init --source stripe --key-env KEY")["next"]


ERRORS = [
    ("dead show 9999", 1, "not_found"),
    ("run show 9999", 1, "not_found"),
    ("accounts show nobody", 1, "not_found"),
    ("why nobody", 1, "not_found"),
    ("dead list --import nobody", 1, "not_found"),
    ("import nobody", 2, "invalid"),
    ("import orders --no-wait", 69, "unavailable"),
    ("reload", 69, "unavailable"),
    ("run cancel 1 --reason enough", 1, "invalid"),
    ("resume import orders", 1, "not_found"),
    ("dead drop --all", 2, "invalid"),
    ("runs --state tired", 2, "invalid"),
    ("frontier restore nothing.db", 1, "failed"),
    ("-c nothing.toml status", 78, "configuration"),
    ("streams nothing", 2, "invalid"),
]


def test_an_error_is_a_problem(ask: Asks) -> None:
    for text, exit_code, code in ERRORS:
        found = ask(text, exit_code)
        assert (text, found["code"], found["exit_code"]) == (text, code, exit_code)
        assert found["status"] == ProblemCode[code.upper()].status
        assert found["type"] == "about:blank"
        assert found["detail"]


def test_a_wrong_configuration_is_one_problem_with_all_lines(here: Installation, ask: Asks) -> None:
    here.config["imports"]["orders"]["sink"] = "nowhere"
    here.config["imports"]["stores"]["streams"] = ["nothing"]
    here.write()
    found = ask("config check", 78)
    assert len(found["problems"]) == len(found["detail"].split("\n")) == 2


LISTS = ("runs", "imports", "accounts", "dead list", "dead groups", "audit", "operations", "schedule", "sources")


def test_lists_come_one_item_a_line(here: Installation, ask: Asks, capsys: pytest.CaptureFixture[str]) -> None:
    ask("pause import orders --reason sale")
    for text in LISTS:
        whole = ask(text)
        assert run_command([*text.split(), "--jsonl"]) == 0
        items = check_lines(text.split(), capsys.readouterr().out.splitlines())
        assert items == (whole if isinstance(whole, list) else whole[text])
    assert run_command(["imports", "--limit", "1", "--jsonl"]) == 0
    printed = capsys.readouterr()
    assert (len(printed.out.splitlines()), printed.err) == (1, "there are more: crawlerd imports --after orders\n")


def test_quiet_acts_say_nothing(here: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    for text in (
        "pause import orders --reason sale",
        "resume import orders",
        "frontier check",
        "dead retry --all --yes",
    ):
        assert run_command([*text.split(), "--quiet"]) == 0
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "")
    assert run_command(["--quiet", "resume", "import", "orders"]) == 1
    assert "orders" in capsys.readouterr().err


def test_the_configuration_is_the_one_of_the_environment(
    here: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CRAWLERD_CONFIG", str(here.folder / "crawlerd.toml"))
    assert run_command(["imports", "--json"]) == 0
    assert [each["name"] for each in json.loads(capsys.readouterr().out)["imports"]] == ["orders", "stores"]
