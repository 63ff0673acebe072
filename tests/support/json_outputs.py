"""What commands print with --json, held against the schemas in `docs/schemas`."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator

from crawlerd.cli.main import command
from crawlerd.cli.outputs import OUTPUTS

if TYPE_CHECKING:
    from collections.abc import Iterable

SCHEMAS = Path(__file__).parents[2] / "docs/schemas"


def check_json(arguments: Iterable[str], code: int, found: Any) -> None:
    """Fails unless it is what the schema of this command says, and nothing else, or an error with this exit code."""
    output = OUTPUTS[words := words_of(arguments)]
    if isinstance(found, dict) and {"detail", "exit_code"} <= found.keys():
        assert (code, code) == (found["exit_code"], code or -1)
        _validator("problem").validate(found)
    else:
        assert output is not None, f"{words} prints {found}, and has no schema"
        if output.type:
            _validator(words.replace(" ", "-")).validate(found)


def check_lines(arguments: Iterable[str], lines: Iterable[str]) -> list[Any]:
    """The same of what --jsonl prints."""
    words, found = words_of(arguments), [json.loads(line) for line in lines]
    output = OUTPUTS[words]
    assert output is not None
    assert output.is_list
    check_json(arguments, 0, found if not output.items else {output.items: found})
    return found


def words_of(arguments: Iterable[str]) -> str:
    """Those that name the command."""
    at, words, skip = _root(), list[str](), False
    for each in arguments:
        children = getattr(at, "commands", {})
        if skip or each.startswith("-"):
            skip = not skip and each in ("-c", "--config")
        elif each in children:
            at = children[each]
            words.append(each)
        else:
            break
    return " ".join(words)


@cache
def _root() -> Any:
    return command()


@cache
def _validator(name: str) -> Draft202012Validator:
    schema = json.loads((SCHEMAS / f"{name}.json").read_text())
    _close(schema)
    return Draft202012Validator(schema)


def _close(schema: Any) -> None:
    """Readers of a schema must bear fields that are added later; what we print now has none but those it names."""
    if isinstance(schema, list):
        for each in schema:
            _close(each)
    elif isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
            schema.setdefault("additionalProperties", False)
        for each in schema.values():
            _close(each)
