"""One account: what it waits for, its configured, lowered and learned limits, its buckets, quotas and last errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from crawlerd.core.lowered import LimitNote
from crawlerd.core.reasons import Reason
from crawlerd.operations import account_facts
from crawlerd.operations.problem import Unknown
from crawlerd.ratelimit.adaptive import Learned
from crawlerd.service.page.accounts_screen import GRAVE, SLOW
from crawlerd.service.page.asked import Shown
from crawlerd.service.page.charts import LEAST_SPAN
from crawlerd.service.page.page_texts import segment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from crawlerd.operations.account_facts import Account
    from crawlerd.service.page.asked import Asked

EACH = "each bucket"  # the name that `Live.limits_of` uses


class LimitRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the table of limits.

    name: the bucket; "" for the whole account.
    told: the configured limits.
    lowered: limits that people have lowered for a time.
    rate, concurrency: learned limits; None if nothing was learned.
    """

    name: str
    told: list[str] = []
    lowered: list[LimitNote] = []
    rate: float | None = None
    concurrency: int | None = None


def account(asked: Asked) -> Shown:
    name = asked.words["name"]
    if asked.reader is None:
        raise Unknown("nothing has been imported yet")
    try:
        found = account_facts.account(asked.reader, asked.live, name, asked.now, asked.settings)
        return context_of(found, asked.account_rates.of(found.name))
    except Unknown:
        near = account_facts.near(asked.reader, name, asked.now)
        return _unknown(name, near)


def context_of(found: Account, rates: Sequence[float | None]) -> Shown:
    """rates: its requests per second in the last ten minutes."""
    reason = found.waits.reason
    own = {(note.kind, note.name) for note in found.pauses}
    fullest = found.quotas[0] if found.quotas else None
    limits = limit_rows(found.limits, found.lowered, found.learned)
    known = [found.permitted, *(row.rate for row in limits if not row.name)]
    ceiling = min((each for each in known if each is not None), default=None)
    return Shown(
        "account",
        f"{found.name}: {reason}",
        {
            "account": found,
            "verdict": _sentence(found.waits.text),
            "tone": "bad" if reason in GRAVE else "warn" if reason in SLOW else "good",
            "is_paused": ("account", found.name) in own,
            "paused_buckets": {name.removeprefix(f"{found.name}/") for kind, name in own if kind == "bucket"},
            "limits": limits,
            "rates": rates,
            "ceiling": ceiling,
            "span": max(LEAST_SPAN, len(rates)),
            "fullest": fullest,
            "share": fullest and fullest.used / fullest.amount,
            "is_refused": reason is Reason.REFUSED,
        },
        json=f"/accounts/{segment(found.name)}",
    )


def limit_rows(
    told: Mapping[str, Sequence[str]] | None, lowered: Sequence[LimitNote], learned: Mapping[str, msgspec.Raw]
) -> list[LimitRow]:
    """The rows: first the whole account, then buckets by name. Those without any limit are left out."""
    known = {bucket: _learned(text) for bucket, text in learned.items()}
    names = {*(told or {}), *(note.bucket for note in lowered), *known}
    rows = [
        LimitRow(
            name=name,
            told=list((told or {}).get(name, ())),
            lowered=[note for note in lowered if note.bucket == name],
            rate=known[name].rate if name in known else None,
            concurrency=known[name].concurrency if name in known else None,
        )
        for name in sorted(names, key=lambda name: (name != "", name != EACH, name))
    ]
    return [row for row in rows if row.told or row.lowered or row.rate or row.concurrency]


def _sentence(text: str) -> str:
    """With a capital, unless it begins with the address of an API."""
    return text if "://" in text.split(" ", 1)[0] else f"{text[:1].upper()}{text[1:]}"


def _learned(text: msgspec.Raw) -> Learned:
    try:
        return msgspec.json.decode(text, type=Learned)
    except (msgspec.DecodeError, ValueError):  # written by another version
        return Learned()


def _unknown(name: str, near: Sequence[str]) -> Shown:
    heading = "There is no such account"
    detail = f"No account is called {name[:80]}, or it has not been used yet."
    if near:
        detail += " Near it are:"
    links = [(f"/accounts/{segment(each)}", each) for each in near]
    return Shown(
        "error", heading, {"heading": heading, "detail": detail, "links": links, "back": "/accounts"}, status=404
    )
