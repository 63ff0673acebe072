"""What people can do to an import and a run, with the questions before it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from crawlerd.core.wording import agreeing
from crawlerd.operations import sync_points
from crawlerd.operations.pause_requests import reason_of
from crawlerd.operations.problem import Refused, Unknown
from crawlerd.service.page import page_texts
from crawlerd.service.page.asked import Shown
from crawlerd.service.page.import_screen import as_text
from crawlerd.service.page.page_forms import Form, local
from crawlerd.service.parameters import is_number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crawlerd.service.page.asked import Asked


def full(asked: Asked) -> Shown:
    """Asks before an import is read in full again."""
    name = asked.words["name"]
    if name not in asked.settings.imports:
        raise Unknown(f"there is no import {name[:80]}")
    streams = ", ".join(asked.settings.imports[name].streams)
    return _asking(
        f"Read all data of {name} again?",
        "A full run reads everything that the API has, and tombstones records that no longer exist there. "
        "It may take long and use much of a quota.",
        f"/imports/{page_texts.segment(name)}/run",
        {"full": "true"},
        [_field("streams", "Streams", f"Empty for all: {streams}. Or some of them, separated by commas.")],
        "Start a full run",
        asked,
    )


def cancel(asked: Asked) -> Shown:
    number = asked.words["number"]
    if asked.reader is None or not is_number(number) or not (found := asked.reader.runs([int(number)])):
        raise Unknown(f"there is no run {number[:40]}")
    run = found[0]
    left = run.ready + run.delayed + run.waiting
    return _asking(
        f"Cancel run {number} of {run.import_name}?",
        f"{left:,} unfinished tasks are dropped; the {run.records:,} records that it has written stay. "
        "Its sync points are not published, so the next run reads the same again. A pause keeps the tasks instead.",
        f"/runs/{number}/cancel",
        {},
        [_field("reason", "Why", "Kept in the audit.", required=True)],
        f"Cancel run {number}",
        asked,
        tone="bad",
    )


def edit(asked: Asked) -> Shown:
    """Asks for the new value of a sync point."""
    name, point = asked.words["name"], asked.query.get("point", "")
    known = sync_points.show(asked.settings, asked.reader, name).points
    if point not in known:
        raise Unknown(f"import {name[:80]} has no sync point {point[:80]}")
    value = known[point]
    return _asking(
        f"Change the sync point {point} of {name}?",
        "The next run reads what has changed since. "
        "An earlier value reads more again, which is safe; a later one misses changes.",
        f"/imports/{page_texts.segment(name)}/syncpoints",
        {"name": name, "point": point},
        [
            _field("value", "Its value", "JSON or plain text. Empty: the stream is read in full.",
                   value="" if value is None else as_text(value)),
            _field("typed", "The name of the import, to confirm", name, required=True),
        ],
        "Change it",
        asked,
        tone="bad",
    )  # fmt: skip


def _asking(
    heading: str,
    text: str,
    path: str,
    fixed: dict[str, str],
    fields: list[dict[str, Any]],
    button: str,
    asked: Asked,
    *,
    tone: str = "main",
) -> Shown:
    values = {
        "heading": heading,
        "problem": None,
        "sentence": text,
        "path": path,
        "fixed": fixed,
        "fields": fields,
        "button": button,
        "tone": tone,
        "back": local(asked.query.get("back", "/")),
    }
    return Shown("confirm", heading, values)


def _field(name: str, label: str, hint: str, *, value: str = "", required: bool = False) -> dict[str, Any]:
    return {"name": name, "label": label, "hint": hint, "value": value, "required": required}


def _wanted_run(fields: Mapping[str, str]) -> dict[str, Any]:
    streams = [each.strip() for each in fields.get("streams", "").split(",")]
    return {"full": fields.get("full") == "true", "streams": [each for each in streams if each]}


def _wanted_point(fields: Mapping[str, str]) -> dict[str, Any]:
    if fields.get("typed", "").strip() != fields.get("name"):
        raise Refused("the typed name is not the import's name, so nothing was changed")
    text = fields.get("value", "").strip()
    value: Any = text or None
    if text[:1] in ("{", '"'):
        try:
            value = json.loads(text)
        except ValueError as error:
            raise Refused(f"the value is not JSON: {error}") from None
    return {"points": {fields.get("point", ""): value}}


def _started(words: Mapping[str, str], answer: Any) -> str:
    runs = ", ".join(str(run) for run in answer["runs"][:5])
    if not runs:
        return f"{words['name']} has nothing to start."
    return f"Run {runs} of {words['name']} {'continues' if answer['resumed'] else 'has started'}."


FORMS = (
    Form("/imports/{name:path}/run", "imports", "POST", "/imports/{name}/run", _wanted_run, _started),
    Form(
        "/imports/{name:path}/syncpoints",
        "imports",
        "PUT",
        "/imports/{name}/syncpoints",
        _wanted_point,
        lambda words, answer: f"The sync point of {words['name']} is changed.",
    ),
    Form(
        "/runs/{number}/cancel",
        "runs",
        "POST",
        "/runs/{number}/cancel",
        lambda fields: {"reason": reason_of(fields.get("reason", ""))},
        lambda words, answer: (
            f"Run {words['number']} is cancelled. Requests under way, whose answers are dropped: {answer['requests']}."
        ),
    ),
    Form(
        "/runs/{number}/retry",
        "runs",
        "POST",
        "/runs/{number}/retry",
        lambda fields: {},
        lambda words, answer: f"{agreeing(answer['retried'], 'dead letter')} tried again, of run {words['number']}.",
    ),
)
