"""The OpenAPI document is the API: made from its types, and of what is answered."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import jsonschema

import crawlerd
from crawlerd.service.web import openapi
from crawlerd.service.web.api_resources import RESOURCES

PACKAGE = Path(crawlerd.__file__).parent
FILE = PACKAGE.parent / "docs/api/openapi.json"
OF_COMMANDS = {("POST", "{}/{}")}  # reader/METHOD: what commands of the same version read
ELSEWHERE = {("GET", "events")}  # a stream


def test_the_committed_document_is_current() -> None:
    assert FILE.read_text() == openapi.text(), "python -m crawlerd.service.web.openapi docs/api/openapi.json"


def test_its_schemas_are_valid() -> None:
    found = json.loads(FILE.read_text())
    for name, schema in found["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert name
    used = set(re.findall(r"#/components/schemas/([^\"]+)", FILE.read_text()))
    assert used <= found["components"]["schemas"].keys()
    names = [each["operationId"] for path in found["paths"].values() for each in path.values()]
    assert len(names) == len(set(names)) == len(RESOURCES)


def words(pattern: Any) -> list[str]:
    """Of a path, as a `case` matches it: all spellings."""
    match pattern:
        case ast.MatchValue(value=ast.Constant(value=str(word))):
            return [word]
        case ast.MatchOr(patterns=patterns):
            return [word for each in patterns for word in words(each)]
        case ast.MatchAs(pattern=None):
            return ["{}"]
        case ast.MatchAs(pattern=inner):
            return words(inner)
        case ast.MatchSequence(patterns=patterns):
            found = [""]
            for each in patterns:
                found = [f"{before}/{word}".strip("/") for before in found for word in words(each)]
            return found
    raise AssertionError(ast.dump(pattern))


def answered() -> set[tuple[str, str]]:
    found = set()
    for node in ast.walk(ast.parse((PACKAGE / "service/readable.py").read_text())):
        if isinstance(node, ast.match_case) and isinstance(node.pattern, (ast.MatchSequence, ast.MatchOr)):
            found |= {("GET", path) for path in words(node.pattern)}
    for node in ast.walk(ast.parse((PACKAGE / "service/resources.py").read_text())):
        if isinstance(node, ast.match_case) and isinstance(node.pattern, ast.MatchSequence):
            method, path = node.pattern.patterns
            found |= {(words(method)[0], each) for each in words(path)}
    return found


def test_each_resource_that_is_answered_is_in_it() -> None:
    described = {(each.method, re.sub(r"\{\w+\}", "{}", each.path)) for each in RESOURCES}
    assert described - ELSEWHERE == answered() - OF_COMMANDS
