"""What a message says: how much of what, a bounded text, and nothing that a chat obeys."""

from __future__ import annotations

import json
import re

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from crawlerd.core.notice_message import FIELDS, LINE, LISTED, LONGEST, SHOWN, message, with_title
from crawlerd.core.notice_message import test_message as message_of_a_test
from crawlerd.core.notices import Notice
from crawlerd.core.notify_spec import EVENTS

NOW = 1_800_000_000.0


def notice(number: int, event: str = "outage", state: str = "began", text: str = "does not answer") -> Notice:
    until = NOW + 60 if state == "over" else None
    return Notice(event, f"https://{number}.example", text, state, NOW, until)  # type: ignore[arg-type] # of the sets


def batch(*notices: Notice) -> dict[str, Notice]:
    return {f"{each.event} {each.subject}": each for each in notices}


def test_one_trouble_reads_like_a_sentence() -> None:
    found = message("web1", batch(notice(1)), {}, NOW)
    assert found.title == "crawlerd on web1: 1 outage"
    assert found.text.splitlines() == [
        "crawlerd on web1: 1 outage",
        "outage https://1.example: does not answer (since 2027-01-15 08:00 UTC)",
    ]


def test_a_storm_is_counted_and_not_listed() -> None:
    found = message("web1", batch(*map(notice, range(500))), {"outage": 1500}, NOW)
    assert found.title == "crawlerd on web1: 2,000 or more outages"
    lines = found.text.splitlines()
    assert len(lines) == SHOWN + 2
    assert lines[-1] == "… and 1,990 more: `crawlerd status`"
    document = found.document
    assert (document["count"], document["more"], len(document["events"])) == (2000, 1900, LISTED)


def test_what_is_over_comes_last() -> None:
    found = message("web1", batch(notice(1, state="over"), notice(2, "refused")), {}, NOW)
    assert found.title == "crawlerd on web1: 1 account that is refused, 1 trouble is over"
    assert found.text.splitlines()[2].startswith("over: outage https://1.example: does not answer (since")
    assert found.document["counts"] == {"refused": 1, "over": 1}


def test_a_hostile_text_mentions_nobody_in_slack() -> None:
    found = message("web1", batch(notice(1, text="<!channel> <https://evil.example|ok> &")), {}, NOW)
    assert "<" not in found.document["slack"]
    assert "&lt;!channel&gt;" in found.document["slack"]
    assert "<!channel>" not in found.title


@given(st.lists(st.tuples(st.sampled_from(EVENTS), st.sampled_from(["began", "over"]), st.text(max_size=400))))
def test_a_message_is_bounded_whatever_is_in_it(given_: list[tuple[str, str, str]]) -> None:
    notices = [notice(number, *each) for number, each in enumerate(given_)] or [notice(0)]
    found = message("h" * 64, batch(*notices), {}, NOW)
    assert len(found.text) <= LONGEST + LINE + 200
    assert "\n" not in found.title
    assert set(found.document) | {"token"} == set(FIELDS)
    assert found.document["count"] == len(notices)
    json.loads(msgspec.json.encode(found.document))


def test_a_test_says_so() -> None:
    found = message_of_a_test("web1", NOW)
    assert found.document["test"] is True
    assert set(found.document) | {"token"} == set(FIELDS)


def test_the_title_is_one_argument() -> None:
    words = with_title(["mail", "-s", "{title}", "{other}"], "crawlerd on x: 1 outage")
    assert words == ["mail", "-s", "crawlerd on x: 1 outage", "{other}"]
    assert not re.search("[\r\n]", words[2])
