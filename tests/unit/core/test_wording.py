"""Counts and error texts, as people read them."""

from __future__ import annotations

import pytest

from crawlerd.core.wording import agreeing, counted, plain_error


@pytest.mark.parametrize(
    ("count", "one", "text"),
    [(0, "dead letter", "0 dead letters"), (1, "dead letter", "1 dead letter"), (1_000, "entry", "1,000 entries")],
)
def test_a_count_agrees_with_its_noun(count: int, one: str, text: str) -> None:
    assert counted(count, one) == text


@pytest.mark.parametrize(
    ("several", "one", "two"), [("are", "is", "are"), ("were", "was", "were"), ("match", "matches", "match")]
)
def test_a_verb_agrees_with_its_count(several: str, one: str, two: str) -> None:
    assert agreeing(1, "letter", several) == f"1 letter {one}"
    assert agreeing(2, "letter", several) == f"2 letters {two}"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        ("Permanent: HTTP 404: no such charge", "HTTP 404: no such charge"),
        ("gave up after 8 attempts, the next run: Transient: reset", "gave up after 8 attempts, the next run: reset"),
        ("refused 3 times while others passed: Permanent: no", "refused 3 times while others passed: no"),
        ("Denied: HTTP 403: Permanent: so the API says", "Denied: HTTP 403: Permanent: so the API says"),
        ("Permanent: HTTP 400: Transient: so the API says", "HTTP 400: Transient: so the API says"),
        ("unexpected ValueError: Permanent", "unexpected ValueError: Permanent"),
        ("", ""),
    ],
)  # fmt: skip
def test_only_the_names_that_say_nothing_are_left_out(error: str, text: str) -> None:
    assert plain_error(error) == text
