"""What is said about a PostgreSQL server that cannot be used, without the password."""

from __future__ import annotations

import psycopg
import pytest

from crawlerd.core.errors import FrontierError
from crawlerd.frontier.postgresql.session import Place as FrontierPlace
from crawlerd.postgres import said
from crawlerd.sink import SinkError
from crawlerd.sinks.postgresql.failures import Place as SinkPlace
from crawlerd.sinks.postgresql.failures import failure


@pytest.mark.parametrize(
    ("password", "text", "shown"),
    [
        ("hunter2x", "cannot use hunter2x, or myhunter2xy", "cannot use …, or my…y"),
        ("a", "a database that is not there", "… database that is not there"),
        ("no", "no route, but notes", "… route, but notes"),
        ("p.*", "all of pages, and p.*", "all of pages, and …"),
    ],
)
def test_a_password_is_hidden_and_a_short_one_leaves_words_whole(password: str, text: str, shown: str) -> None:
    place = SinkPlace(f"postgresql://me:{password}@db/crawl", "shop")
    assert place.without_secrets(text) == shown


def test_both_say_what_to_do_about_a_connection_that_is_refused() -> None:
    """libpq gives no SQLSTATE for it."""
    place = SinkPlace("postgresql://me:hunter2x@db:5433/crawl", "shop")
    error = psycopg.OperationalError('connection failed: FATAL:  password authentication failed for user "me"')
    assert str(failure(place, error)) == (
        "PostgreSQL db:5433/crawl, schema shop cannot be reached "
        '(FATAL:  password authentication failed for user "me"): '
        "correct the password in the URL, or the role's"
    )
    assert said(FrontierPlace(place.url), error) == said(place, error)


@pytest.mark.parametrize(
    ("place", "error"),
    [
        (SinkPlace("postgresql://me:se%cret@db", "shop"), SinkError),
        (FrontierPlace("postgresql://me:se%cret@db"), FrontierError),
    ],
)
def test_a_url_that_cannot_be_read_is_not_shown(place: SinkPlace | FrontierPlace, error: type[Exception]) -> None:
    with pytest.raises(error) as found:
        place.facts()
    assert "cret" not in str(found.value)
    assert f"the URL of the {place.subject} cannot be read" in str(found.value)
