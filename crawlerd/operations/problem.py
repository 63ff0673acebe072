"""Why requests of people cannot be fulfilled."""

from __future__ import annotations

import msgspec

from crawlerd.core.errors import CrawlerdError, FrontierError


class Unknown(CrawlerdError):
    """There is nothing with that name."""


class Refused(CrawlerdError):
    """The request is not valid, or cannot be fulfilled as it is."""


class Changed(CrawlerdError):
    """The subject of the request has changed since the person last looked at it."""


class Problem(msgspec.Struct, frozen=True):
    """An error in the format of RFC 9457."""

    status: int
    title: str
    detail: str
    type: str = "about:blank"


class CommandProblem(Problem, frozen=True, kw_only=True):
    """An error of a command: the problem that the API would answer with, and more.

    exit_code: of the command.
    problems: the lines of `detail`, if it has several.
    """

    exit_code: int
    problems: list[str] = []


class DaemonRefused(FrontierError):
    """The daemon refuses the request.

    problem: its answer.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem
