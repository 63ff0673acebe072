"""The question before something is paused: why, and for how long."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, get_args

from crawlerd.core.durations import parse_duration
from crawlerd.core.pauses import Pausable
from crawlerd.operations.pause_requests import reason_of
from crawlerd.operations.problem import Refused
from crawlerd.service.page.asked import Shown
from crawlerd.service.page.page_forms import Form, local
from crawlerd.service.page.page_texts import segment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from crawlerd.operations.overview import ImportRow
    from crawlerd.service.page.asked import Asked

WHAT = {
    "account": "No more of its tasks start, in any import",
    "import": "No more tasks of its runs start, and no run starts by its schedule",
    "bucket": "No more tasks of this bucket start; the rest of the account continues",
    "source": "No more tasks of any of its accounts start",
}


def paused(asked: Asked, rows: Iterable[ImportRow]) -> dict[str, tuple[str, str] | None]:
    """What to resume for each import, as the kind and the name: the import itself or its account; None for neither."""
    notes = {(note.kind, note.name) for note in asked.reader.pauses()} if asked.reader else set()
    found: dict[str, tuple[str, str] | None] = {}
    for row in rows:
        subjects: list[tuple[Pausable, str]] = [("import", row.line.name), ("account", row.line.account or "")]
        found[row.line.name] = next((each for each in subjects if each in notes), None)
    return found


def pause(asked: Asked) -> Shown:
    kind, name = asked.query.get("kind", ""), asked.query.get("name", "")
    if kind not in get_args(Pausable) or not name:
        detail = "Choose what to pause: an import, an account, a bucket or a source, by its name."
        return Shown("error", "Nothing to pause", {"heading": "Nothing to pause", "detail": detail, "links": []})
    return context_of(kind, name, local(asked.query.get("back", "/")))


def context_of(kind: str, name: str, back: str) -> Shown:
    heading = f"Pause {kind} {name[:200]}?"
    return Shown(
        "confirm",
        heading,
        {
            "heading": heading,
            "problem": None,
            "sentence": f"{WHAT[kind]}, until somebody resumes it. Requests that are out come to their end. "
            "The pause outlives a restart, and everybody sees who made it and why.",
            "path": f"/pause/{kind}/{segment(name)}",
            "fixed": {},
            "fields": [
                {"name": "reason", "label": "Why", "value": "", "required": True, "hint": "Kept in the audit."},
                {
                    "name": "for",
                    "label": "For how long",
                    "value": "",
                    "required": False,
                    "hint": "Such as 2h or 3d. Empty: until somebody resumes it.",
                },
            ],
            "button": f"Pause {name[:80]}",
            "tone": "main",
            "back": back,
        },
    )


def wanted(fields: Mapping[str, str]) -> dict[str, Any]:
    """The body of the request to the API."""
    until = None
    if text := fields.get("for", "").strip():
        try:
            until = time.time() + parse_duration(text)
        except ValueError as error:
            raise Refused(f"for how long: {error}") from None
    reason = reason_of(fields.get("reason", ""))
    return {"kind": fields.get("kind", ""), "names": [fields.get("name", "")], "reason": reason, "until": until}


def _paused(words: Mapping[str, str], answer: Any) -> str:
    return " ".join(f"{note['kind'].capitalize()} {note['name']} is paused." for note in answer)


def _tried(words: Mapping[str, str], answer: Any) -> str:
    return f"{_TRIALS[answer['state']].format(answer['name'])}: {answer['text']}."


# By the outcome of a trial.
_TRIALS = {
    "works": "The key of {} works",
    "refused": "The API refuses the key of {}",
    "failed": "The API accepts no such request with the key of {}",
    "throttled": "The API asks to wait, so the key of {} is not tested",
    "unanswered": "The API does not answer, so the key of {} is not tested",
    "waits": "Its limits leave no room for a request yet, so the key of {} is not tested",
    "untested": "The key of {} is not tested",
}
FORMS = (
    Form("/pause/{kind}/{name:path}", "accounts", "POST", "/pauses", wanted, _paused),
    Form(
        "/resume/{kind}/{name:path}",
        "accounts",
        "DELETE",
        "/pauses/{kind}/{name}",
        lambda fields: {},
        lambda words, answer: f"{words['kind'].capitalize()} {words['name']} is resumed.",
    ),
    Form(
        "/accounts/{name:path}/test",
        "accounts",
        "POST",
        "/accounts/{name}/test",
        lambda fields: {},
        _tried,
    ),
)
