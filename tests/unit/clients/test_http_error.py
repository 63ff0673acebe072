"""The mapping from an HTTP response to an error."""

from __future__ import annotations

import json
from typing import Any

import pytest

from crawlerd.clients.http_error import api_message, error_for, retry_after
from crawlerd.core.errors import CrawlerdError, Denied, Permanent, Throttled, Transient, Unauthorized
from crawlerd.source import Response

NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, None),
        (204, None),
        (301, Permanent),
        (304, Permanent),
        (400, Permanent),
        (401, Unauthorized),
        (403, Denied),
        (404, Permanent),
        (408, Transient),
        (409, Permanent),
        (425, Transient),
        (429, Throttled),
        (500, Transient),
        (503, Transient),
        (599, Transient),
    ],
)
def test_status_to_error(status: int, expected: type[CrawlerdError] | None) -> None:
    error = error_for(Response(status, {}, b'{"message": "because"}'), NOW)
    assert (type(error) if error else None) is expected
    if error and status >= 400:
        assert str(error) == f"HTTP {status}: because"


def test_unavailable_with_retry_after_is_throttling() -> None:
    error = error_for(Response(503, {"retry-after": "7"}, b""), NOW)
    assert isinstance(error, Throttled)
    assert (error.retry_after, error.scope, error.concurrency, str(error)) == (7.0, "bucket", False, "HTTP 503")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 1.5 ", 1.5),
        ("9" * 400, 1e10),
        ("172800", 172800.0),
        ("1700000002", 2.0),
        ("1700000002.5", 2.5),
        ("1700000002500", 2.5),
        ("1700000002500000", 2.5),
        ("1699999999", None),
        ("2023-11-14T22:14:20Z", 60.0),
        ("2023-11-14T23:14:20.500+01:00", 60.5),
        ("1m30s", 90.0),
        ("500ms", 0.5),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60.0),
        ("Tue, 14 Nov 2023 23:14:20 +0100", 60.0),
        ("Tuesday, 14-Nov-23 22:14:20 GMT", 60.0),
        ("Sat, 14 Nov 2099 22:14:20 GMT", 2398377660.0),
        ("Tue, 14 Nov 2023 22:13:19 GMT", None),
        ("-1", None),
        ("1e3", None),
        ("nan", None),
        ("inf", None),
        ("٣", None),
        ("soon", None),
        ("Tue, 99 Nov 2023 22:14:20 GMT", None),
        ("Fri, 31 Dec 99999 23:59:59 GMT", None),
        ("", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": value}, NOW) == seconds


def test_retry_after_is_measured_on_the_servers_clock() -> None:
    headers = {"retry-after": "Mon, 01 Jan 2001 00:00:30 GMT", "date": "Mon, 01 Jan 2001 00:00:00 GMT"}
    assert retry_after(headers, NOW) == 30.0
    assert retry_after({}, NOW) is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"ratelimit": "limit=100, remaining=0, reset=50"}, 50.0),
        ({"ratelimit": "limit=100,remaining=7,reset=50"}, None),
        ({"ratelimit": '"default";r=0;t=50'}, 50.0),
        ({"ratelimit": '"burst";r=7;t=90, "day" ; r=0 ; t=40, "hour";r=0;t=30'}, 40.0),
        ({"ratelimit": '"default";r=0'}, None),
        ({"ratelimit": '"default";r=0;t="x"'}, None),
        ({"ratelimit": "," * 100_000}, None),
        ({"ratelimit-reset": "50"}, 50.0),
        ({"ratelimit-reset": "1700000050", "ratelimit-remaining": "0"}, 50.0),
        ({"ratelimit-reset": "50", "ratelimit-remaining": "3"}, None),
        ({"retry-after": "7", "ratelimit": "limit=100, remaining=0, reset=50", "ratelimit-reset": "60"}, 7.0),
        ({"retry-after": "soon", "ratelimit-reset": "60"}, 60.0),
        ({"x-ratelimit-reset": "60"}, None),
    ],
)
def test_the_headers_of_the_draft_count_where_there_is_no_retry_after(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after(headers, NOW) == seconds
    error = error_for(Response(429, headers, b""), NOW)
    assert isinstance(error, Throttled)
    assert error.retry_after == seconds
    assert (error.said == "") == (seconds is None)


def test_the_error_says_what_the_api_said_of_the_time() -> None:
    error = error_for(Response(429, {"retry-after": "9999999999"}, b""), NOW)
    assert isinstance(error, Throttled)
    assert error.said == "Retry-After: 9999999999"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"message": "No such customer", "code": "resource_missing"}}, "No such customer (resource_missing)"),
        ({"error": {"message": "No"}}, "No"),
        ({"error": {"code": "lock_timeout"}}, "lock_timeout"),
        ({"error": "invalid_grant"}, "invalid_grant"),
        ({"message": "Not\nFound\x1b[31m"}, "Not Found\\x1b[31m"),
        ({"title": "Bad", "detail": "wrong list"}, "wrong list"),
        ({"message": "x" * 1000}, "x" * 300),
        ({"message": 5}, ""),
        ({"error": {}}, ""),
        ([], ""),
        ("text", ""),
    ],
)
def test_the_apis_own_words(body: Any, message: str) -> None:
    assert api_message(json.dumps(body).encode()) == message


@pytest.mark.parametrize("body", [b"", b"<html>", b"[" * 100_000, b"\xff"])
def test_no_words(body: bytes) -> None:
    assert api_message(body) == ""
