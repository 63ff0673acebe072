"""Stripe's answers: distinguishes its errors, and checks its bodies."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from crawlerd.source import Denied, Listing, Objects, Permanent, Response, Throttled, Transient


class CursorGone(Permanent):
    """The object that `starting_after` names was deleted."""


class NoWindows(Permanent):
    """The list does not accept `created`."""


class NoExpansion(Permanent):
    """One of the fields to expand cannot be expanded in this version of the API."""


class NoTypes(Permanent):
    """One of the requested types of events is unknown."""


class Gone(Permanent):
    """The object that the path names does not exist, or no longer."""


class NoAccess(Denied):
    """The account that the path or the header names is not connected, or no longer."""


class _Problem(msgspec.Struct):
    code: str | None = None
    param: str | None = None
    message: str | None = None


class _ErrorBody(msgspec.Struct):
    error: _Problem


def classify(response: Response) -> Exception | None:
    """Distinguishes Stripe's limiters from each other and from its other 429s, and deleted objects from bad requests.

    `Stripe-Rate-Limited-Reason` is global-rate, global-concurrency, endpoint-rate, endpoint-concurrency or
    resource-specific; without it, the limiter is not the reason (https://docs.stripe.com/rate-limits). A 409 is a
    conflict with another request, and `Stripe-Should-Retry: true` marks errors that may pass later
    (https://docs.stripe.com/error-low-level).
    """
    reason = response.headers.get("stripe-rate-limited-reason", "")
    if response.status == 429 and reason:
        scope: Literal["task", "bucket", "account"] = "bucket"
        if reason.startswith("global-"):
            scope = "account"
        elif reason == "resource-specific":  # only the requested object is limited
            scope = "task"
        return Throttled(f"HTTP 429: {reason}", scope=scope, concurrency=reason.endswith("-concurrency"))
    said_again = response.headers.get("stripe-should-retry", "").strip().lower() == "true"
    again = response.status == 409 or (said_again and 400 <= response.status < 500 and response.status != 429)
    if not again and response.status not in (400, 403, 404, 429):
        return None
    try:
        problem = msgspec.json.decode(response.body, type=_ErrorBody).error
    except (ValueError, RecursionError):
        return Transient(f"HTTP {response.status}") if again else None
    if again:
        return Transient(f"HTTP {response.status}: {problem.message or problem.code}")
    said = f"HTTP {response.status}: {problem.message}"
    if response.status == 403:
        return NoAccess(said) if problem.code == "account_invalid" else None
    if problem.code == "lock_timeout":
        return Transient("HTTP 429: another request holds the object (lock_timeout)")
    if problem.code in ("resource_missing", "not_found") and response.status != 429:
        return CursorGone(said) if problem.param == "starting_after" else Gone(said)
    if response.status == 400 and "created" in f"{problem.param} {problem.message}":
        return NoWindows(said)
    if response.status == 400 and (problem.param or "").startswith("types"):
        return NoTypes(said)
    if response.status == 400 and "expand" in f"{problem.param} {problem.message}".lower():
        return NoExpansion(said)
    if response.status == 404 and (problem.message or "").startswith("Unrecognized request URL"):
        return Denied(f"{said} Does the account's api_version have this list?")
    if response.status == 400 and problem.message and "not set up to use" in problem.message:
        return Denied(said)  # such as Issuing, for an account without it
    return None


def listed(body: Any) -> tuple[list[dict[str, Any]], bool]:
    """The objects of a list, each with an id, and its has_more. Raises Transient for anything else."""
    match body:
        case {"data": [*objects], "has_more": bool(more)}:
            for each in objects:
                id_of(each)
            return objects, more
    raise Transient("wrong body: not a list of objects")


def texts(found: Listing | None) -> tuple[Objects, bool]:
    """The same for a list that was not decoded. Objects may lack an id, but not all of them."""
    more = found.also["has_more"] if found else None
    if (
        not found
        or not isinstance(more, bool)
        or (len(found.objects) and not any(map(is_id, found.objects.column("id"))))
    ):
        raise Transient("wrong body: not a list of objects with ids")
    return found.objects, more


def is_id(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def id_of(body: Any) -> str:
    """An object's id. Raises Transient if it has none."""
    key = body.get("id") if isinstance(body, dict) else None  # a mapping pattern takes four times as long
    if isinstance(key, str) and key:
        return key
    raise Transient("wrong body: not an object with an id")


def created(value: object) -> int | None:
    """Unix seconds; None if the object does not have it."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None
