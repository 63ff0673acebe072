"""Turns an error answer of an AWS service into an exception, by its code. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crawlerd.clients.http_error import MESSAGE_LIMIT, throttled
from crawlerd.core.errors import CrawlerdError, Denied, NotFound, Permanent, Transient, Unauthorized
from crawlerd.core.redaction import cut

if TYPE_CHECKING:
    from collections.abc import Mapping

# Most of these are also in botocore's own table of retried errors (botocore/retries/standard.py).
THROTTLES = {
    "BandwidthLimitExceeded",
    "EC2ThrottledException",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceeded",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
}
TRANSIENT = {
    "ConcurrentModificationException",  # the organization is being changed at the moment
    "InternalError",
    "InternalFailure",
    "InternalServerError",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceException",
    "ServiceUnavailable",
    "TransactionInProgressException",
}
UNAUTHORIZED = {
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "InvalidToken",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "OptInRequired",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}
DENIED = {"AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation"}
NOT_FOUND = {
    "AccountNotRegisteredException",  # the account is not a delegated administrator
    "NoSuchBucket",
    "NoSuchKey",
}
# Parts of the TooManyRequestsException of AWS Organizations when it concerns concurrent requests, and not their rate.
AT_ONCE = ("already in progress", "concurren")


def error_for(answer: Mapping[str, Any], now: float) -> CrawlerdError:
    """The exception for a parsed error answer (botocore's `ClientError.response`). now: Unix seconds."""
    error, metadata = answer.get("Error", {}), answer.get("ResponseMetadata", {})
    code, status = str(error.get("Code", "")), int(metadata.get("HTTPStatusCode", 0))
    # The lines after the first may quote the signed request, with the session token.
    said = str(error.get("Message", "")).strip().partition("\n")[0]
    text = cut(f"{code}: {said}" if said else code or f"HTTP {status}", MESSAGE_LIMIT)
    headers = {str(name).lower(): str(value) for name, value in metadata.get("HTTPHeaders", {}).items()}
    if code in THROTTLES or status == 429 or (status == 503 and "retry-after" in headers):
        at_once = any(each in said.lower() for each in AT_ONCE)
        return throttled(text, headers, now, scope="account" if at_once else "bucket", concurrency=at_once)
    if code in UNAUTHORIZED or status == 401:
        return Unauthorized(text)
    if code in TRANSIENT or status >= 500 or status == 408:
        return Transient(text, fault="answer" if status >= 500 else "task")
    if code in DENIED or status == 403:
        return Denied(text)
    if code in NOT_FOUND or code.endswith("NotFoundException"):  # not the status 404, which a wrong address may give
        return NotFound(text)
    return Permanent(text)
