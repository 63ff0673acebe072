"""The fifteen questions of whoever looks after an import, answered by the page of a daemon in trouble alone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from crawlerd import __version__

if TYPE_CHECKING:
    from support.chromium import Chromium
    from support.faulty_daemon import FaultyDaemon

# What leads there from the overview, by its names, and what is read at the end.
QUESTIONS: dict[str, tuple[tuple[str, ...], str]] = {
    "is it importing?": ((), r"Importing at \d+% of what the limits permit; \d+ things need a look\."),
    "is it at the limit?": ((), r"Requests/s [\d.,]+ permitted [\d.,]+ · \d+%"),
    "what is stuck, and why?": ((), r"import locked: cannot start: sinks\.broken: cannot write .*it is a directory"),
    "when is it done?": (
        ("link:slow", "link:{run of slow}"),
        r"% of the tasks known so far are done; about [\d.]+ (?:s|min).* left",
    ),
    "which account fails?": (("link:Accounts", "link:.*key refused.*"), r"refused keyed ✕ key refused .*HTTP 401"),
    "did the last run finish, and what did it bring?": (
        ("link:well1", "link:{run of well1}"),
        r"It completed after .*: 6 records of 4 tasks",
    ),
    "how old is the data of each import?": ((), r"why data age last 10 .* dead ▲ .* \d+(?:\.\d)? (?:s|min) run"),
    "is the disk running out?": ((), r"Memory · disk [\d.]+ [MG]B [\d.,]+ [MGT]B free"),
    "how near is the quota?": (("link:quota",), r"3 of 3 requests of the hour are used"),
    "why is it slow?": (("link:slow",), r"account slow waits \(limit\): its pace of [\d.]+ requests per second"),
    "where does the time go?": ((), r"the API \d+% waiting for a thread \d+% parsing \d+% the sink \d+%"),
    "which tasks take longest?": (
        ("link:slow", "link:{run of slow}", "button:The slowest tasks"),
        r"took kind arguments [\d.]+ m?s shop\.(?:lines|orders)",
    ),
    "what changed since yesterday?": ((), r"Since yesterday 1 failed, ?\d+ completed,.* root: pause account paused"),
    "who has paused this?": (("link:Imports", "link:paused"), r"paused by root: they move house"),
    "how much memory does it take?": ((), r"Memory · disk [\d.]+ MB"),
    "which version is it?": (("link:About",), rf"crawlerd {re.escape(__version__)}"),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_is_answered(looking: Chromium, faults: FaultyDaemon, question: str) -> None:
    clicks, answer = QUESTIONS[question]
    looking.open("/")
    for click in clicks:
        kind, _, name = click.partition(":")
        if found := re.fullmatch(r"\{run of (\w+)\}", name):
            name = str(faults.run_of(found[1]))
        looking.first(kind, name).click()
    looking.until(
        lambda: re.search(answer, " ".join(looking.text.split())),
        lambda: f"no answer to {question!r} at {looking.driver.current_url} in:\n{looking.text}",
        60,
    )
