"""What can be wrong with what people ask for."""

from __future__ import annotations

import msgspec

from crawlerd.core.errors import CrawlerdError, FrontierError


class Unknown(CrawlerdError):
    """There is nothing of that name."""


class Refused(CrawlerdError):
    """What was asked for cannot be done as it stands."""


class Changed(CrawlerdError):
    """What was asked for is not any more as it was when it was last looked at."""


class Problem(msgspec.Struct, frozen=True):
    """An error, as RFC 9457 has it."""

    status: int
    title: str
    detail: str
    type: str = "about:blank"


class CommandProblem(Problem, frozen=True, kw_only=True):
    """An error of a command: the one that the API would answer with, and what the command adds.

    exit_code: of the command.
    problems: the lines of `detail`, where it has several.
    """

    exit_code: int
    problems: list[str] = []


class DaemonRefused(FrontierError):
    """The daemon does not do what it was asked for.

    problem: its answer.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem
