"""What error codes of AWS mean."""

from __future__ import annotations

from typing import Any

import pytest

from crawlerd.clients.aws_error import error_for
from crawlerd.core.errors import CrawlerdError, Denied, NotFound, Permanent, Throttled, Transient, Unauthorized

NOW = 1_700_000_000.0


def answer(code: str, message: str = "so it is", status: int = 400, **headers: str) -> dict[str, Any]:
    return {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": headers},
    }


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("Throttling", 400, Throttled),
        ("ThrottlingException", 400, Throttled),
        ("ProvisionedThroughputExceededException", 400, Throttled),
        ("RequestLimitExceeded", 503, Throttled),
        ("SlowDown", 503, Throttled),
        ("Whatever", 429, Throttled),
        ("ServiceException", 400, Transient),
        ("ConcurrentModificationException", 400, Transient),
        ("InternalFailure", 500, Transient),
        ("503", 503, Transient),
        ("AccessDeniedException", 400, Denied),
        ("AccessDenied", 403, Denied),
        ("403", 403, Denied),
        ("ExpiredTokenException", 400, Unauthorized),
        ("InvalidClientTokenId", 403, Unauthorized),
        ("UnrecognizedClientException", 400, Unauthorized),
        ("SignatureDoesNotMatch", 403, Unauthorized),
        ("ResourceNotFoundException", 404, NotFound),
        ("ChildNotFoundException", 400, NotFound),
        ("NoSuchKey", 404, NotFound),
        ("AWSOrganizationsNotInUseException", 400, Permanent),
        ("ValidationException", 400, Permanent),
    ],
)
def test_a_code_is_one_error(code: str, status: int, expected: type[CrawlerdError]) -> None:
    error = error_for(answer(code, status=status), NOW)
    assert type(error) is expected
    assert str(error) == f"{code}: so it is"


@pytest.mark.parametrize(
    ("message", "at_once"),
    [
        (
            "AWS Organizations can't complete your request because another request is already in progress. Try again "
            "later.",
            True,
        ),
        ("You have sent too many requests in too short a period of time.", False),
    ],
)
def test_too_many_requests_says_whether_at_once_or_a_second(message: str, at_once: bool) -> None:
    error = error_for(answer("TooManyRequestsException", message), NOW)
    assert isinstance(error, Throttled)
    assert (error.concurrency, error.scope) == (at_once, "account" if at_once else "bucket")


def test_retry_after_is_passed_on() -> None:
    error = error_for(answer("SlowDown", status=503, **{"Retry-After": "7"}), NOW)
    assert isinstance(error, Throttled)
    assert error.retry_after == 7.0
    assert isinstance(error_for(answer("Busy", status=503, **{"retry-after": "7"}), NOW), Throttled)


def test_a_quoted_request_does_not_reach_the_text() -> None:
    said = "The signature does not match.\n\nThe Canonical String should have been\n'x-amz-security-token:TOKEN'"
    assert "TOKEN" not in str(error_for(answer("SignatureDoesNotMatch", said, 403), NOW))


def test_an_answer_without_anything_is_an_error_by_its_status() -> None:
    assert isinstance(error_for({"ResponseMetadata": {"HTTPStatusCode": 502}}, NOW), Transient)
    assert isinstance(error_for({}, NOW), Permanent)
