"""The fingerprint of a dead letter: the same for the same failure, whatever it is about."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlerd.core.fingerprint import failure, fingerprint, words

MESSAGES = [
    "Permanent: HTTP 404: No such customer: {}",
    "Permanent: HTTP 400: the field {} of {} is too long ({} characters)",
    "gave up after {n} attempts: Transient: HTTP 500: request {} failed",
    "gave up after {n} attempts, the next run goes on: Transient: HTTP 502: {} and {}",
    "unexpected KeyError: {}",
    "NotFound: HTTP 404: the list {} is gone, see {}.",
    "Refused: {}: its row {} does not fit",
    "its worker process died {n} times while it ran; the last time: worker died",
    "not run: {n} dead letters in its group; it waits for those retried",
]
digits = st.integers(0, 10**12).map(str)
alphabet = string.ascii_letters + string.digits
tokens = st.text(alphabet, min_size=1, max_size=24).map(lambda text: text + "7")
quotes = st.sampled_from(["''", '""', "``", "\u201c\u201d", "\u2018\u2019"])
ids = st.one_of(
    digits,
    st.uuids().map(str),
    st.uuids().map(lambda each: each.hex.upper()),
    tokens.map("cus_{}".format),
    tokens.map("arn:aws:iam::12:user/{}".format),
    tokens.map("{}@example.com".format),
    tokens.map("https://example.com/{}?page=2".format),
    st.datetimes().map(str),
    st.datetimes().map("{:%a, %d %b %Y %H:%M:%S} GMT".format),
    st.floats(allow_nan=False, allow_infinity=False).map(str),
    st.tuples(quotes, st.text(string.ascii_letters + " .,:-", max_size=30)).map(lambda it: it[0][0] + it[1] + it[0][1]),
    st.lists(digits, min_size=1, max_size=5).map(", ".join),
)


@given(st.sampled_from(MESSAGES), st.lists(ids, min_size=6, max_size=6), st.integers(1, 999), st.integers(1, 999))
def test_other_ids_digits_and_quotations_are_the_same_failure(message: str, its: list[str], n: int, other: int) -> None:
    one = failure(message.format(*its[:3], n=n))
    assert failure(message.format(*its[3:], n=other)) == one
    assert fingerprint("shop", "shop.page", one) == fingerprint("shop", "shop.page", one)


@given(tokens, digits)
def test_paths_of_one_kind_are_the_same(one: str, other: str) -> None:
    first, second = (failure(f"NotFound: HTTP 404: /v1/customers/{each}/cards is gone") for each in (one, other))
    assert first == second


@given(ids)
def test_messages_with_other_words_differ(name: str) -> None:
    assert len({failure(message.format(name, name, name, n=3)) for message in MESSAGES}) == len(MESSAGES)


@given(st.text(max_size=600), st.integers(100, 599))
def test_words_stay_as_they_are_and_every_text_has_some(text: str, status: int) -> None:
    once = words(text)
    assert len(once) <= 160
    assert not any(map(str.isdigit, once))
    assert failure(f"Permanent: HTTP {status}: {text}")[:2] == ("Permanent", status)
    assert len(fingerprint("shop", "shop.page", failure(text))) == 12


long_tokens = st.text(alphabet, min_size=20, max_size=30).map(lambda text: "7" + text)


@given(st.lists(long_tokens, min_size=30, max_size=30), st.lists(long_tokens, min_size=30, max_size=30))
def test_a_message_that_was_cut_is_known(some: list[str], others: list[str]) -> None:
    def cut(its: list[str]) -> str:
        return f"Permanent: HTTP 400: these objects cannot be read by you: {', '.join(its)} (see the manual)"[:500]

    assert failure(cut(some)) == failure(cut(others))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("shop", "shop.page", "Permanent: HTTP 404: gone"), ("mall", "shop.page", "Permanent: HTTP 404: gone")),
        (("shop", "shop.page", "Permanent: HTTP 404: gone"), ("shop", "shop.list", "Permanent: HTTP 404: gone")),
        (("shop", "shop.page", "Permanent: HTTP 404: gone"), ("shop", "shop.page", "NotFound: HTTP 404: gone")),
        (("shop", "shop.page", "Permanent: HTTP 404: gone"), ("shop", "shop.page", "Permanent: HTTP 410: gone")),
        (("shop", "shop.page", "Permanent: HTTP 404: gone"), ("shop", "shop.page", "Permanent: HTTP 404: moved")),
    ],
)
def test_source_kind_class_status_and_words_tell_failures_apart(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    first, second = (fingerprint(source, kind, failure(error)) for source, kind, error in (one, other))
    assert first != second


@pytest.mark.parametrize(
    ("error", "words_of_it"),
    [
        ("unexpected KeyError", ("KeyError", None, "")),
        ("Denied: HTTP 403", ("Denied", 403, "")),
        ("Permanent: HTTP 400: No such charge: ch_AbCdEfGhIj", ("Permanent", 400, "No such charge: *")),
        ("Permanent: it can't be read, nor can 3 others", ("Permanent", None, "it can't be read, nor can * other")),
        ("Permanent: the account is not configured", ("Permanent", None, "the account is not configured")),
        ("Permanent: NoSuchBucketPolicy: no policy", ("Permanent", None, "NoSuchBucketPolicy: no policy")),
        ("the API's cursor repeated", ("", None, "the API's cursor repeated")),
    ],
)
def test_what_is_kept_of_an_error(error: str, words_of_it: tuple[str, int | None, str]) -> None:
    assert failure(error) == words_of_it


def test_a_fingerprint_does_not_depend_on_the_process() -> None:
    assert fingerprint("shop", "shop.page", failure("Permanent: HTTP 404: No such customer: 'cus_1'")) == "06c905d8b5fa"
