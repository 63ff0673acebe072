"""Tokens and sessions, in virtual time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from crawlerd.service.web.login import local_target
from crawlerd.service.web.tokens import (
    ADDRESSES,
    FAILURE_SECONDS,
    FAILURES,
    SESSION_SECONDS,
    SESSIONS,
    Failures,
    Sessions,
    reads_metrics,
    role_of,
)

ADMIN, READ, METRICS = "a" * 43, "r" * 43, "m" * 43


def daemon(**tokens: str) -> Any:
    return SimpleNamespace(**{"admin_token": ADMIN, "read_token": READ, "metrics_token": METRICS, **tokens})


@pytest.mark.parametrize(
    ("token", "role"), [(ADMIN, "admin"), (READ, "read"), (METRICS, "nobody"), ("", "nobody"), ("\udce9", "nobody")]
)
def test_a_token_has_a_role(token: str, role: str) -> None:
    assert role_of(token, daemon()) == role
    assert reads_metrics(token, daemon()) == (token in (ADMIN, READ, METRICS))


def test_no_token_is_no_token_that_is_not_configured() -> None:
    assert role_of("", daemon(admin_token="", read_token="")) == "nobody"


def test_a_session_ends_with_its_time_its_token_and_its_place() -> None:
    now, tokens = [0.0], daemon()
    sessions = Sessions(lambda: tokens, lambda: now[0])
    assert sessions.begin("wrong") is None
    cookie = sessions.begin(READ)
    assert cookie is not None
    assert sessions.role_of(cookie) == "read"
    assert sessions.role_of(cookie + "x") == "nobody"
    assert cookie not in repr(vars(sessions))  # nobody gets in by what the memory has
    now[0] = SESSION_SECONDS + 1
    assert sessions.role_of(cookie) == "nobody"
    now[0] = 0.0
    admin = str(sessions.begin(ADMIN))
    tokens.admin_token = "b" * 43
    assert sessions.role_of(admin) == "nobody"
    tokens.admin_token = ADMIN
    assert sessions.role_of(admin) == "nobody"
    first = str(sessions.begin(READ))
    for _ in range(SESSIONS):
        last = str(sessions.begin(READ))
    assert (sessions.role_of(first), sessions.role_of(last)) == ("nobody", "read")
    sessions.end(last)
    assert sessions.role_of(last) == "nobody"


def test_logins_of_one_role_end_no_session_of_the_other() -> None:
    sessions = Sessions(daemon)
    admin = str(sessions.begin(ADMIN))
    for _ in range(SESSIONS + 1):
        sessions.begin(READ)
    assert sessions.role_of(admin) == "admin"


def test_an_address_may_fail_ten_times_a_minute() -> None:
    now = [0.0]
    failures = Failures(lambda: now[0])
    for second in range(FAILURES):
        assert not failures.are_too_many("10.0.0.1")
        now[0] = float(second)
        failures.add("10.0.0.1")
    assert failures.are_too_many("10.0.0.1")
    assert not failures.are_too_many("10.0.0.2")
    now[0] = FAILURE_SECONDS - 0.1
    assert failures.are_too_many("10.0.0.1")
    now[0] = FAILURE_SECONDS + 0.1
    assert not failures.are_too_many("10.0.0.1")
    for number in range(ADDRESSES + 10):
        failures.add(str(number))
    assert len(failures._of) == ADDRESSES


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "https://evil.example/",
        "/\\evil.example",
        "javascript:1",
        "",
        "runs",
        "/a\nb",
        "//[",
        "/%0d\r",
    ],
)
def test_a_login_leads_to_no_other_site(target: str) -> None:
    assert local_target(target) == "/"
    assert local_target("/dead?import=a") == "/dead?import=a"
