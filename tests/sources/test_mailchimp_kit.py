"""What else Mailchimp has, by the kit for sources: each task twice, in another order, the next run, and errors."""

from __future__ import annotations

from support.mailchimp_api import KEY
from support.mailchimp_marketing import Marketing

from crawlerd.sources.mailchimp.marketing import STREAMS
from crawlerd.sources.mailchimp.members import mailchimp
from crawlerd.testing import check


def test_whatever_happens_it_is_the_same() -> None:
    with Marketing(lists=2, campaigns=9, contacts=9, most=7) as api:
        found = check(mailchimp, base_url=api.url, secret=KEY, streams=STREAMS)
        keys = {stream: set(rows) for stream, rows in found.items()}
        keys["email_activity"] = {key.rpartition("/")[0] for key in keys["email_activity"]}
        assert keys == api.living()
        assert api.bad == []


def test_the_streams_are_left_out_unless_they_are_named() -> None:
    assert mailchimp.streams == ("lists", "members")
    assert set(STREAMS) == set(mailchimp.optional)
