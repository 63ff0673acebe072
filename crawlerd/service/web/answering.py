"""Answers: problems as in RFC 9457, and the headers that each answer has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from starlette.responses import Response

from crawlerd.core.redaction import cut, printable
from crawlerd.operations.problem import ProblemCode, problem

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_DETAIL = 300  # characters
PROBLEM = "application/problem+json"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
SAFE_HEADERS = (
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cache-control", "no-store"),
)


def problem_body(code: ProblemCode, detail: str) -> bytes:
    return msgspec.json.encode(problem(code, cut(printable(detail), LONGEST_DETAIL)))


def problem_answer(code: ProblemCode, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """An answer about a problem.

    detail: what is wrong, and what to do.
    headers: further headers.
    """
    return Response(problem_body(code, detail), code.status, headers, PROBLEM)
