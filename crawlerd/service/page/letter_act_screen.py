"""The question before dead letters are retried or dropped, with the number of letters."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from crawlerd.operations import dead
from crawlerd.service.page.asked import Shown
from crawlerd.service.page.dead_screen import NOTHING, how_many
from crawlerd.service.page.letter_filters import filter_of, query_of
from crawlerd.service.page.page_forms import local

if TYPE_CHECKING:
    from crawlerd.frontier.letter_filter import LetterFilter
    from crawlerd.frontier.reports import LetterAct, LetterCount
    from crawlerd.service.page.asked import Asked

DOES = {"retry": "retries", "drop": "drops"}
WHAT = {
    "retry": "Their tasks become ready again, with all their attempts. "
    "A task that fails again becomes a dead letter again.",
    "drop": "They are dropped for good: the records that they would have brought stay missing until a full run.",
}


def _asked(act: LetterAct, asked: Asked) -> Shown:
    which = filter_of(asked.query)
    count = dead.counted(asked.reader, which) if asked.reader else NOTHING
    if not count.count and not count.more:
        return nothing_to_do(act, which)
    return context_of(act, which, count, local(asked.query.get("back", "/dead")))


retry, drop = partial(_asked, "retry"), partial(_asked, "drop")


def nothing_to_do(act: LetterAct, which: LetterFilter) -> Shown:
    heading = f"Nothing to {act}"
    detail = f"No dead letter matches ({which.text}): they may have been retried or dropped already."
    return Shown("error", heading, {"heading": heading, "detail": detail, "links": [], "back": "/dead"})


def context_of(act: LetterAct, which: LetterFilter, count: LetterCount, back: str) -> Shown:
    meant = f"all dead letters that match: {which.text}" if which.narrow else "all dead letters"
    if count.more:
        heading = f"{act.capitalize()} {meant}?"
        some = f"at least {count.count:,}, counted among the newest {dead.MOST_READ:,}"
        sentence = f"There are {some}; use a narrower filter for the exact number. {WHAT[act]}"
    else:
        heading = f"{act.capitalize()} {how_many(count)}?"
        sentence = f"This {DOES[act]} {meant}. {WHAT[act]}"
    expected = {} if count.more else {"expect": str(count.count)}
    return Shown(
        "confirm",
        heading,
        {
            "heading": heading,
            "problem": None,
            "sentence": f"{sentence} Letters that die from now on are not affected.",
            "path": f"/dead/{act}",
            "fixed": {**query_of(which), **expected, "through": str(count.through)},
            "fields": [
                {
                    "name": "reason",
                    "label": "Why",
                    "value": "",
                    "required": act == "drop",
                    "hint": "Kept in the audit." + ("" if act == "drop" else " Optional."),
                }
            ],
            "button": heading.removesuffix("?"),
            "tone": "bad" if act == "drop" else "main",
            "back": back,
        },
    )
