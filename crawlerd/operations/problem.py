"""Why requests of people cannot be fulfilled."""

from __future__ import annotations

from enum import StrEnum
from http import HTTPStatus

import msgspec

from crawlerd.core.errors import CrawlerdError, FrontierError


class Unknown(CrawlerdError):
    """There is nothing with that name."""


class Refused(CrawlerdError):
    """The request is not valid, or cannot be fulfilled as it is."""


class Changed(CrawlerdError):
    """The subject of the request has changed since the person last looked at it."""


class UnderWay(CrawlerdError):
    """Something else is under way that this must not overlap."""


class ProblemCode(StrEnum):
    """What kind of error a problem is, for programs. `docs/api.md` says what each means.

    status: the HTTP status of all problems with this code.
    """

    status: int

    INVALID = "invalid", 400
    UNAUTHENTICATED = "unauthenticated", 401
    READ_ONLY = "read_only", 403
    FOREIGN_SITE = "foreign_site", 403
    NOT_FOUND = "not_found", 404
    METHOD_NOT_ALLOWED = "method_not_allowed", 405
    CHANGED = "changed", 409
    UNDER_WAY = "under_way", 409
    PAUSED = "paused", 409
    LOCKED = "locked", 409
    FAILED = "failed", 409
    PRECONDITION_FAILED = "precondition_failed", 412
    BODY_TOO_LARGE = "body_too_large", 413
    URL_TOO_LONG = "url_too_long", 414
    WRONG_HOST = "wrong_host", 421
    KEY_REUSED = "key_reused", 422
    CONFIGURATION = "configuration", 422
    TOO_MANY_FAILURES = "too_many_failures", 429
    HEADERS_TOO_LARGE = "headers_too_large", 431
    INTERNAL = "internal", 500
    UNKNOWN_METHOD = "unknown_method", 501
    UNAVAILABLE = "unavailable", 503
    TOO_MANY_REQUESTS = "too_many_requests", 503
    TOO_MANY_STREAMS = "too_many_streams", 503
    READER_GONE = "reader_gone", 503
    NO_ANSWER = "no_answer", 504
    DISK = "disk", 507

    def __new__(cls, value: str, status: int) -> ProblemCode:
        it = str.__new__(cls, value)
        it._value_, it.status = value, status
        return it

    @classmethod
    def of_status(cls, status: int) -> ProblemCode:
        """The most general code with this status."""
        return next((each for each in cls if each.status == status), cls.INVALID)


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An error in the format of RFC 9457, with a code."""

    type: str = "about:blank"
    code: ProblemCode
    status: int
    title: str
    detail: str


def problem(code: ProblemCode, detail: str) -> Problem:
    return Problem(code=code, status=code.status, title=HTTPStatus(code.status).phrase, detail=detail)


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
