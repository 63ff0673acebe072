"""What a stream sends: what has changed, and only that."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from crawlerd.service.page.live_stream import AGAIN, SPOKEN, LiveStreams, Made, Sent
from crawlerd.service.page.rendering import regions

if TYPE_CHECKING:
    from collections.abc import Callable


def targets(message: bytes) -> list[str]:
    return re.findall(r'hx-target="#([\w-]+)"', message.decode())


def verdict(text: str) -> dict[str, str]:
    return {"verdict": f"<p><strong>{text}</strong></p>"}


def test_at_first_all_parts_are_sent_and_then_those_that_differ() -> None:
    sent = Sent()
    assert targets(sent.message(Made(0, "a", {"tiles": "1", "chart": "2"}))) == ["tiles", "chart"]
    assert sent.message(Made(1, "a", {"tiles": "1", "chart": "2"})) == b""
    assert targets(sent.message(Made(2, "a", {"tiles": "1", "chart": "3"}))) == ["chart"]


def test_a_key_that_a_form_has_for_itself_is_no_change() -> None:
    sent = Sent()
    sent.message(Made(0, "a", {"tiles": '<input name="key" value="1">'}))
    assert sent.message(Made(1, "a", {"tiles": '<input name="key" value="2">'})) == b""


def test_what_may_have_been_under_the_pointer_is_sent_again_after_a_while() -> None:
    sent = Sent()
    sent.message(Made(0, "a", {"tiles": "1"}))
    assert targets(sent.message(Made(AGAIN, "a", {"tiles": "1"}))) == ["tiles"]


def test_new_rows_are_counted_and_not_put_in() -> None:
    sent = Sent()
    sent.message(Made(0, "a", {"run-1": "1"}))
    message = sent.message(Made(1, "a", {"run-2": "1", "run-3": "1", "run-1": "2"}))
    assert targets(message) == ["run-1", "news"]
    assert b"2 new" in message


def test_a_verdict_is_read_aloud_once_a_minute_at_most() -> None:
    sent = Sent()
    assert "spoken" not in targets(sent.message(Made(0, "", verdict("at 90%"))))
    assert "spoken" not in targets(sent.message(Made(1, "", verdict("at 91%"))))
    assert "spoken" in targets(sent.message(Made(SPOKEN + 2, "", verdict("at 92%"))))
    assert "spoken" not in targets(sent.message(Made(SPOKEN + 3, "", verdict("at 93%"))))


def test_a_message_is_one_event_whatever_lines_it_has() -> None:
    message = Sent().message(Made(0, "now", {"tiles": "<p>\r\n\n\u2028x</p>"})).decode()
    assert message.endswith("\n\n")
    assert all(line.startswith("data: ") for line in message[:-2].split("\n"))
    assert "<title>now</title>" in message


def test_no_text_makes_a_part_of_its_own() -> None:
    body = "<!--[tiles--><dl>&lt;!--[x--&gt;</dl><!--tiles]--><p><!--[open--></p>"
    assert regions(body) == {"tiles": "<dl>&lt;!--[x--&gt;</dl>"}


def test_all_who_see_the_same_share_one_page() -> None:
    made = []

    def make() -> str:
        made.append(1)
        return f"<title>t</title><!--[tiles-->{len(made)}<!--tiles]-->"

    async def first_of_each(key: Callable[[int], str]) -> list[bytes]:
        streams = LiveStreams()
        opened = [streams.messages(key(number), make) for number in range(20)]
        found = await asyncio.gather(*(anext(each) for each in opened))
        for each in opened:
            await each.aclose()  # type: ignore[attr-defined]
        assert streams._made == {}
        return list(found)

    assert len(set(asyncio.run(first_of_each(lambda _: "same")))) == 1
    assert len(made) == 1
    assert len(set(asyncio.run(first_of_each(str)))) == 20
