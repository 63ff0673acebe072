"""`[test]` of a description: a request that tests whether an account works, and who owns it."""

from __future__ import annotations

import types
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crawlerd.source import Api, Identity, Output, Permanent, Source, TaskArgs
from crawlerd.sources.rest.answers import decoded, judged
from crawlerd.sources.rest.expressions import fill, look, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crawlerd.source import Classifier
    from crawlerd.sources.rest.description import Description


@dataclass(frozen=True)
class Who(TaskArgs, kind="rest.who"):
    """The task of the request. Each source has a class of its own, with its own kind."""


def register(source: Source, description: Description, classify: Classifier | None) -> None:
    """Registers the request.

    classify: as for `make`.
    """
    spec = description.test
    if spec is None:
        return
    args: type[TaskArgs] = types.new_class("WhoOfSource", (Who,), {"kind": f"{source.name}.test.who"})

    @source.tests(args())
    def who(api: Api, _: TaskArgs) -> Iterator[Output]:
        variables = {f"variables.{name}": value for name, value in api.options.get("variables", {}).items()}
        response = api.request(
            "GET",
            fill(spec.path, variables, in_path=True),
            params=description.parameters,
            classify=lambda each: judged(description.errors, each) or (classify(each) if classify else None),
        )
        if spec.identity is None:
            return
        found = look(spec.identity, decoded(response))
        if found is None:
            raise Permanent(f'the response has no value at test.identity, which is "{spec.identity}"')
        yield Identity(text(found, spec.identity))
