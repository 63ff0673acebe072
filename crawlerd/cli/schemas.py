"""JSON Schemas of what commands print with --json, made from the types.

`python -m crawlerd.cli.schemas docs/schemas` writes them all into a folder.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from crawlerd.cli.outputs import OUTPUTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crawlerd.cli.outputs import Output

DRAFT = "https://json-schema.org/draft/2020-12/schema"
REFERENCE = "#/$defs/{name}"
PROBLEM = "problem"  # the name of the schema of errors, which all commands share


def schemas() -> dict[str, dict[str, Any]]:
    """The schemas by file name without suffix: the command's words, with hyphens."""
    from crawlerd.operations.problem import CommandProblem

    found = {PROBLEM: _document("an error, as any command prints it with --json", [("", CommandProblem)])}
    for words, output in OUTPUTS.items():
        if output is not None and output.type:
            found[words.replace(" ", "-")] = _document(f"crawlerd {words} --json{_lines(output)}", list(_types(output)))
    return dict(sorted(found.items()))


def _lines(output: Output) -> str:
    """How --jsonl prints it."""
    if output.items:
        return f"; with --jsonl, each item of `{output.items}` on a line"
    return "; with --jsonl, each item on a line" if output.many else ""


def _types(output: Output) -> Iterator[tuple[str, Any]]:
    """Each type that the output may have, with the option that leads to it."""
    yield "", _type(output)
    for option, other in output.other.items():
        yield option, _type(other)


def _type(output: Output) -> Any:
    module, _, name = output.type.partition(":")
    found = getattr(import_module(module), name)
    return list[found] if output.many else found  # type: ignore[valid-type] # known at run time


def _document(title: str, types: list[tuple[str, Any]]) -> dict[str, Any]:
    found, parts = msgspec.json.schema_components([each for _, each in types], ref_template=REFERENCE)
    whole = found[0] if len(found) == 1 else {"anyOf": [_named(*each) for each in zip(types, found, strict=True)]}
    return {"$schema": DRAFT, "title": title, **whole, "$defs": dict(sorted(parts.items()))}


def _named(option: tuple[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    return {"title": f"with {option[0]}", **schema} if option[0] else schema


def text(schema: dict[str, Any]) -> str:
    """A schema as the text of its file."""
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def main(folder: Path) -> None:
    """Writes all schemas, and removes the files of those that no longer exist."""
    folder.mkdir(exist_ok=True)
    wanted = {f"{name}.json": schema for name, schema in schemas().items()}
    for old in folder.glob("*.json"):
        if old.name not in wanted:
            old.unlink()
    for name, schema in wanted.items():
        (folder / name).write_text(text(schema))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
