"""The OpenAPI 3.1 document of the API, made from the types of its requests and answers.

`python -m crawlerd.service.web.openapi docs/api/openapi.json` writes it.
"""

from __future__ import annotations

import json
import re
import sys
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec

from crawlerd.operations.problem import Problem
from crawlerd.service.control import ROOT
from crawlerd.service.repeated import LONGEST_KEY
from crawlerd.service.web.api_resources import RESOURCES, WORDS, Resource

PLACE = "#/components/schemas/{name}"
STREAM = "text/event-stream"
JSON, PROBLEM = "application/json", "application/problem+json"
ABOUT = (
    "Times are Unix seconds, durations are seconds, counts are integers. Within v1, fields are only added. "
    "Errors are problems as of RFC 9457. See docs/api.md."
)


def document() -> dict[str, Any]:
    types = _types()
    found, components = msgspec.json.schema_components(types, ref_template=PLACE)
    schemas = dict(zip(map(repr, types), found, strict=True))
    paths: dict[str, Any] = {}
    for each in RESOURCES:
        paths.setdefault(f"/{each.path}", {})[each.method.lower()] = _operation(each, schemas, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "crawlerd",
            "version": "1",
            "description": ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": ROOT.rstrip("/")}],
        "security": [{}, {"token": []}, {"cookie": []}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(components.items())),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": "crawlerd"},
            },
        },
    }


def text() -> str:
    """The text of the document's file."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


def _types() -> list[Any]:
    """All types that need a schema, each once."""
    wanted: dict[str, Any] = {repr(Problem): Problem}
    for each in RESOURCES:
        for kind in (each.answer, each.body, *_query(each).values(), *WORDS.values(), str):
            if kind is not None:
                wanted[repr(kind)] = kind
    return list(wanted.values())


def _query(resource: Resource) -> dict[str, Any]:
    """The parameters of a query, without lists."""
    return {name: kind for name, kind in resource.parameters().items() if not re.match(r"list\[", str(kind))}


def _operation(resource: Resource, schemas: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    words = re.findall(r"\{(\w+)\}", resource.path)
    parameters = [_parameter("path", word, schemas[repr(WORDS.get(word, str))], required=True) for word in words]
    for name, kind in _query(resource).items():
        parameters.append(_parameter("query", name, _without_null(schemas[repr(kind)]), required=False))
    if resource.method != "GET":
        key = {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY, "pattern": "^[!-~]+$"}
        parameters.append(_parameter("header", "Idempotency-Key", key, required=False))
    if resource.tagged and resource.method == "PUT":
        parameters.append(
            _parameter("header", "If-Match", {"type": "string", "pattern": '^("[0-9a-f]+"|\\*)$'}, required=False)
        )
    schema = {"type": "null"} if resource.answer is None else schemas[repr(resource.answer)]
    kind = STREAM if resource.path == "events" else JSON
    good: dict[str, Any] = {"description": HTTPStatus(resource.status).phrase, "content": {kind: {"schema": schema}}}
    if kind == STREAM:
        good["content"] = {kind: {"schema": {"type": "string"}, "x-data": schema}}
    if resource.tagged and resource.method == "GET":
        good["headers"] = {"ETag": {"description": "for If-Match", "schema": {"type": "string"}}}
    made: dict[str, Any] = {
        "operationId": _name(resource),
        "summary": resource.text,
        "parameters": parameters,
        "responses": {
            str(resource.status): good,
            "default": {"description": "a problem", "content": {PROBLEM: {"schema": schemas[repr(Problem)]}}},
        },
    }
    if resource.body is not None:
        made["requestBody"] = {
            "required": resource.needs_body,
            "content": {JSON: {"schema": schemas[repr(resource.body)]}},
        }
    return made


def _parameter(place: str, name: str, schema: dict[str, Any], *, required: bool) -> dict[str, Any]:
    return {"name": name, "in": place, "required": required, "schema": schema}


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without null, which a query cannot have."""
    kinds = [each for each in schema.get("anyOf", []) if each != {"type": "null"}]
    rest = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
    if not kinds:
        return rest
    return {**rest, **kinds[0]} if len(kinds) == 1 else {**rest, "anyOf": kinds}


def _name(resource: Resource) -> str:
    words = [word.strip("{}") for word in resource.path.split("/")]
    return "_".join([resource.method.lower(), *words])


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text())
