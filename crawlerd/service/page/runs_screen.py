"""The runs, the newest first, by a filter."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import msgspec

from crawlerd.core.wording import counted
from crawlerd.operations import run_history
from crawlerd.operations.problem import Unknown
from crawlerd.service.page.asked import Shown
from crawlerd.service.page.page_texts import by_state

if TYPE_CHECKING:
    from crawlerd.service.page.asked import Asked

LIMIT = 50
STATES = [("", "in any state"), *((state, state) for state in get_args(run_history.State))]


def runs(asked: Asked) -> Shown:
    import_name, state = asked.query.get("import") or None, asked.query.get("state") or None
    request = msgspec.convert(
        {"import_name": import_name, "state": state, "after": asked.query.after or None, "limit": LIMIT},
        run_history.RunsRequest,
    )
    try:
        found = run_history.runs(asked.reader, request) if asked.reader else run_history.Runs(runs=[])
    except Unknown:
        found = run_history.Runs(runs=[])
    return context_of(found, request)


def context_of(found: run_history.Runs, request: run_history.RunsRequest) -> Shown:
    query = {"import": request.import_name, "state": request.state}
    which = " ".join(filter(None, [request.state, request.import_name and f"of {request.import_name}"]))
    heading = f"Runs {which}" if which else "Runs"
    states, _ = by_state(run.state for run in found.runs)
    worst = states.split(", ")[0]
    return Shown(
        "runs",
        f"{heading}: {worst}" if worst else heading,
        {
            "heading": heading,
            "verdict": f"{_which(found, request)}: {states}.",
            "tone": "good" if all(run.complete or run.state == "running" for run in found.runs) else "warn",
            "runs": found.runs,
            "next": found.next,
            "first": request.after is None,
            "query": query,
            "states": STATES,
            "is_filtered": bool(which) or request.after is not None,
        },
        json="/runs",
    )


def _which(found: run_history.Runs, request: run_history.RunsRequest) -> str:
    """Which runs the page has, such as "The newest 50 runs"."""
    count = counted(len(found.runs), "run")
    if request.after is not None:
        return f"These {count}" if len(found.runs) > 1 else "This run"
    return f"The newest {count}" if found.next is not None else count
