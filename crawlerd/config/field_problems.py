"""The fields that an import drops and hashes, as the file has them, and their checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, Field
from pydantic_core import InitErrorDetails

from crawlerd.config.problems import Table, instead
from crawlerd.core.private_fields import ANY, FieldRules, branch_of, names_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from crawlerd.config.facts import SourceFacts


def field_paths(value: object) -> tuple[str, ...]:
    """A list of paths. Raises ValueError for anything else."""
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError('must be a list of fields, such as ["email", "address.line1"]')
    for each in value:
        names_of(each)
    return tuple(dict.fromkeys(value))


FieldPaths = Annotated[tuple[str, ...], BeforeValidator(field_paths, json_schema_input_type=list[str])]


class FieldsTable(Table):
    """`[imports.NAME.fields.STREAM]`: paths of fields, see `crawlerd.core.private_fields`."""

    drop: FieldPaths = Field(default=(), examples=[["email"]])
    hash: FieldPaths = Field(default=(), examples=[["phone"]])

    @property
    def rules(self) -> FieldRules:
        return FieldRules(self.drop, self.hash)


def field_problems(rules: Mapping[str, FieldRules], facts: SourceFacts | None) -> Iterator[InitErrorDetails]:
    """The problems of an import's rules.

    facts: those of the import's source; None if unknown.
    """
    for stream, each in rules.items():
        if facts is not None and stream not in (known := [*facts.streams, ANY]):
            yield _problem((stream,), f'"{stream}" is not a stream of the source; {instead(stream, known)}')
            continue
        try:
            branch_of([each, rules.get(ANY, FieldRules())])
        except ValueError as error:
            yield _problem((stream,), str(error))
        needs = {} if facts is None else {**facts.needs.get(ANY, {}), **facts.needs.get(stream, {})}
        if facts is not None and stream == ANY:
            needs = {path: f"{why} ({name})" for name, of in facts.needs.items() for path, why in of.items()}
        for key in ("drop", "hash"):
            for path in getattr(each, key):
                for needed, why in needs.items():
                    if _meet(names_of(path), names_of(needed)):
                        yield _problem(
                            (stream, key), f'"{path}" is needed: {needed} is {why}, and must be kept unchanged'
                        )
                        break


def _meet(path: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether one path is the other or lies inside it."""
    return all(ANY in both or both[0] == both[1] for both in zip(path, other, strict=False))


def _problem(where: tuple[str, ...], text: str) -> InitErrorDetails:
    return InitErrorDetails(type="value_error", loc=where, input=None, ctx={"error": ValueError(text)})
