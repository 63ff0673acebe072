"""Each command says what it prints with --json, and the schemas in the docs are those of the types."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from support.json_outputs import check_json

from crawlerd.cli.common_options import commands_of
from crawlerd.cli.main import command, run_command
from crawlerd.cli.outputs import OUTPUTS
from crawlerd.cli.schemas import schemas, text

FOLDER = Path(__file__).parents[3] / "docs/schemas"


def test_the_schemas_in_the_docs_are_those_of_the_types() -> None:
    wanted = {f"{name}.json": text(schema) for name, schema in schemas().items()}
    assert {file.name: file.read_text() for file in FOLDER.iterdir()} == wanted, (
        "python -m crawlerd.cli.schemas docs/schemas"
    )


def test_the_schemas_are_schemas() -> None:
    for schema in schemas().values():
        Draft202012Validator.check_schema(schema)


def test_every_command_says_what_it_prints() -> None:
    assert OUTPUTS.keys() == {words for words, _ in commands_of(command())}


def test_every_command_has_the_common_options() -> None:
    for words, each in commands_of(command()):
        options = {name for parameter in each.params for name in parameter.opts}
        output = OUTPUTS[words]
        lists = {"--jsonl"} if output is not None and output.is_list else set()
        assert {"--json", "--quiet", "--no-progress", *lists} <= options, words
        assert ("--jsonl" in options) == bool(lists), words


@pytest.mark.parametrize("words", [words for words, _ in commands_of(command())])
def test_every_command_answers_a_wrong_option_with_a_problem(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = run_command([*words.split(), "--no-such-option", "--json"])
    printed = capsys.readouterr()
    assert code == 2
    assert "No such option: --no-such-option" in printed.err
    problem = json.loads(printed.out)
    check_json(words.split(), code, problem)
    assert (problem["status"], problem["exit_code"]) == (400, 2)


@pytest.mark.parametrize("place", range(4))
def test_the_options_can_stand_anywhere(place: int, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["dead", "show", "x"]
    words.insert(place, "--json")
    assert run_command(words) == 2
    assert "'x' is not a valid" in json.loads(capsys.readouterr().out)["detail"]


def test_what_is_not_asked_for_in_json_stays_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["dead", "show", "--no-such-option", "--", "--json"]) == 2
    assert capsys.readouterr().out == ""
