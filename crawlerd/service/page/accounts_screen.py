"""The accounts by name, and how many of them wait for what."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from crawlerd.core.reasons import ORDER, Reason
from crawlerd.operations import account_facts
from crawlerd.operations.problem import Refused
from crawlerd.service.page.asked import Shown
from crawlerd.service.page.page_texts import WORDS, number

if TYPE_CHECKING:
    from crawlerd.operations.account_facts import Accounts, AccountsRequest
    from crawlerd.service.page.asked import Asked

LIMIT = 50
GRAVE = (Reason.REFUSED, Reason.OUTAGE, Reason.SINK, Reason.STORE)  # reasons for which somebody must act
SLOW = (Reason.PAUSED, Reason.QUOTA, Reason.THROTTLED)
# What to do about a reason.
CURES = {
    Reason.REFUSED: "Replace the refused key with a working one, then reload the configuration on the account's page.",
    Reason.OUTAGE: "Their APIs do not answer; single requests check whether they answer again.",
    Reason.THROTTLED: "Their APIs have asked to wait; nothing is lost, and no attempt is used.",
    Reason.QUOTA: "They continue when the window of their quota has moved on.",
    Reason.PAUSED: "People have paused them: see each one for who and why, and resume it when the reason is gone.",
    Reason.SINK: "Their records cannot be written: see Overview.",
    Reason.STORE: "The queue cannot be written: see Overview.",
}


def accounts(asked: Asked) -> Shown:
    text = asked.query.get("reason", "")
    if text not in ("", "look", *Reason):
        raise Refused(f"reason: {text[:80]!r} is not a reason; use one of {', '.join(Reason)}")
    request = account_facts.AccountsRequest(
        needs_a_look=text == "look",
        reason=Reason(text) if text not in ("", "look") else None,
        prefix=asked.query.get("prefix", ""),
        after=asked.query.get("after", ""),
        limit=LIMIT,
        counted=True,
    )
    if asked.reader is None:
        return context_of(account_facts.Accounts(accounts=[], counts={}, counted_at=asked.now), request)
    return context_of(account_facts.accounts(asked.reader, asked.live, request, asked.now, asked.settings), request)


def context_of(found: Accounts, request: AccountsRequest) -> Shown:
    counts = {Reason(reason): count for reason, count in (found.counts or {}).items() if count}
    ordered = sorted(counts.items(), key=lambda item: ORDER[item[0]])
    total = sum(counts.values())
    chosen = "look" if request.needs_a_look else request.reason or ""
    query = {"reason": chosen, "prefix": request.prefix}
    sentence = _verdict(counts, total)
    asked = {"needs_a_look": "true" if request.needs_a_look else None, "reason": request.reason or None}
    asked |= {"prefix": request.prefix or None, "after": request.after or None, "counted": "true"}
    return Shown(
        "accounts",
        f"Accounts: {_short(counts, total)}",
        {
            "verdict": sentence,
            "tone": "bad" if any(each in counts for each in GRAVE) else "warn" if _slow(counts) else "good",
            "cures": [CURES[reason] for reason, _ in ordered if reason in CURES][:2],
            "counts": [
                ("", "all", total),
                ("look", "need a look", None),
                *((r, WORDS.get(r, r), n) for r, n in ordered),
            ],
            "chosen": chosen,
            "counted_at": found.counted_at,
            "accounts": found.accounts,
            "next": found.next,
            "first": not request.after,
            "query": query,
            "is_filtered": bool(chosen or request.prefix or request.after),
        },
        json="/accounts?" + urlencode({key: value for key, value in asked.items() if value}),
    )


def _slow(counts: dict[Reason, int]) -> bool:
    return any(each in counts for each in SLOW)


def _short(counts: dict[Reason, int], total: int) -> str:
    grave = sum(counts.get(each, 0) for each in GRAVE)
    return f"{number(grave)} of {number(total)} cannot go on" if grave else f"{number(total)}"


def _verdict(counts: dict[Reason, int], total: int) -> str:
    if not total:
        return "No account has been used yet."
    said = []
    for reason in (*GRAVE, *SLOW):
        if count := counts.get(reason):
            said.append(f"{number(count)} {_PHRASES[reason][count != 1]}")
    what = f"Of {number(total)} account{'s' * (total != 1)}, "
    return what + (", ".join(said) if said else "none needs a look") + "."


_PHRASES = {  # for one account, for several
    Reason.REFUSED: ("has a key that is refused", "have keys that are refused"),
    Reason.OUTAGE: ("gets no answer", "get no answer"),
    Reason.SINK: ("is held up by a sink", "are held up by a sink"),
    Reason.STORE: ("is held up by the queue", "are held up by the queue"),
    Reason.PAUSED: ("is paused by people", "are paused by people"),
    Reason.QUOTA: ("is out of quota", "are out of quota"),
    Reason.THROTTLED: ("is throttled", "are throttled"),
}
