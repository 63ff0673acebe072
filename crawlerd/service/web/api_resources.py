"""All resources of the API, with their types. The OpenAPI document is made from this list.

A test compares the list with what is answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import msgspec

from crawlerd.core.in_force import InForce, Reloaded
from crawlerd.core.lowered import LimitNote
from crawlerd.core.pauses import Pausable, PauseNote
from crawlerd.core.reasons import Subject
from crawlerd.engine.forgetting import Forgot
from crawlerd.frontier.letter_filter import LetterFilter
from crawlerd.frontier.reports import DeadLetter, LetterCount, LetterPage, OperationReport
from crawlerd.operations.about_facts import About
from crawlerd.operations.account_facts import Account, Accounts, AccountsRequest
from crawlerd.operations.account_trial import AccountTrial, TrialRequest
from crawlerd.operations.backup_requests import BackupProgress, BackupRequest
from crawlerd.operations.daemon_facts import Config, Health, Info
from crawlerd.operations.dead import LettersRequest
from crawlerd.operations.forget_requests import ForgetRequest
from crawlerd.operations.import_facts import ImportLine, Imports
from crawlerd.operations.limit_requests import LimitRequest
from crawlerd.operations.list_pages import Acts, Groups, Kinds, Operations, Pauses, Schedules, SlowTasks, Streams
from crawlerd.operations.notify_trial import NotifyTrials
from crawlerd.operations.overview import OverviewReport
from crawlerd.operations.pause_requests import PauseRequest
from crawlerd.operations.run_acts import Dropped, DropRequest, RunRetried
from crawlerd.operations.run_history import (
    Cancelled,
    CancelRequest,
    RunDetail,
    RunRequest,
    Runs,
    RunsRequest,
    RunStarted,
)
from crawlerd.operations.run_plan import Plan
from crawlerd.operations.status_report import StatusReport
from crawlerd.operations.submitting import MOST, TasksSubmitted
from crawlerd.operations.sync_points import SyncPoints, SyncPointsChanged, SyncPointsRequest
from crawlerd.operations.top_report import TopReport
from crawlerd.operations.why import Why
from crawlerd.service.parameters import MOST as MOST_ITEMS
from crawlerd.service.web.happenings import Happening

if TYPE_CHECKING:
    from collections.abc import Iterable

LIMIT = {"limit": Annotated[int, msgspec.Meta(ge=1, le=MOST_ITEMS)]}
BY_NUMBER = {"after": int, **LIMIT}
ACTS = {"since": float, **BY_NUMBER, "by": str, "act": str}
BY_NAME = {"after": str, **LIMIT}


class Task(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A task to submit.

    kind: a kind of task that its source accepts from outside.
    args: the arguments for this kind.
    """

    kind: str
    args: dict[str, Any] = {}


class Tasks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body that `TasksRequest` reads."""

    tasks: Annotated[list[Task], msgspec.Meta(min_length=1, max_length=MOST)]


class Resource(NamedTuple):
    """A resource of the API.

    path: below the root of the API; a word in braces stands for any value.
    text: what it does, or is.
    answer: the type of the answer on success; None for null.
    body: the type of the request's body.
    query: types by parameter; of a Struct, each field that is not a list.
    needs_body: a request without a body is refused.
    status: the status on success.
    tagged: it has an ETag, or takes If-Match.
    """

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    text: str
    answer: Any
    body: Any = None
    query: Any = {}  # noqa: RUF012 - a NamedTuple's default is not shared by accident
    needs_body: bool = True
    status: int = 200
    tagged: bool = False

    def parameters(self) -> dict[str, Any]:
        """The types of the query's parameters. A list is given as names with commas between them."""
        found: dict[str, Any] = {}
        for part in self.query if isinstance(self.query, tuple) else (self.query,):
            found |= part if isinstance(part, dict) else {f.encode_name: f.type for f in msgspec.structs.fields(part)}
        return found


WORDS: dict[str, Any] = {  # the types of words in braces; all others are text
    "run": int,
    "letter": int,
    "operation": int,
    "subject": Subject,
    "kind": Pausable,
}
RESOURCES = (
    Resource("GET", "info", "The daemon's version and process.", Info),
    Resource("GET", "health", "Whether the daemon is alive, and can import.", Health),
    Resource("GET", "status", "The state of imports and accounts at a glance.", StatusReport),
    Resource("GET", "overview", "The imports that need a look, and what has happened since yesterday.", OverviewReport),
    Resource("GET", "top", "Accounts by backlog, runs with their estimated ends, and the last errors.", TopReport),
    Resource("GET", "why/{subject}/{name}", "Why something waits, and until when.", Why),
    Resource("GET", "about", "The daemon's files and disks, and the packages it uses.", About),
    Resource("GET", "config", "The settings in force, without secrets.", Config),
    Resource("POST", "config/reload", "Reads the configuration file again.", Reloaded),
    Resource(
        "GET", "reload", "The configuration in force: when it was read, and what is wrong or needs a restart.", InForce
    ),
    Resource("POST", "reload", "Reads the configuration file again; same as config/reload.", Reloaded),
    Resource("GET", "schedule", "When imports start next.", Schedules, query={"import": str, "next": int, **BY_NAME}),
    Resource("GET", "imports", "The imports, by name.", Imports, query=BY_NAME),
    Resource("GET", "imports/{name}", "One import.", ImportLine),
    Resource(
        "GET", "imports/{name}/plan", "What a run would read, and how long it would take.", Plan, query=RunRequest
    ),
    Resource(
        "GET", "imports/{name}/runs", "The runs of an import, the newest first.", Runs, query=(RunsRequest, LIMIT)
    ),
    Resource("POST", "imports/{name}/run", "Starts a run of an import now.", RunStarted, RunRequest, needs_body=False),
    Resource("POST", "imports/{name}/tasks", "Submits tasks: all of them, or none.", TasksSubmitted, Tasks),
    Resource(
        "GET",
        "imports/{name}/syncpoints",
        "The sync points of an import.",
        SyncPoints,
        query={"streams": str},
        tagged=True,
    ),
    Resource(
        "PUT",
        "imports/{name}/syncpoints",
        "Changes sync points of an import.",
        SyncPointsChanged,
        SyncPointsRequest,
        tagged=True,
    ),
    Resource("GET", "runs", "The runs, the newest first.", Runs, query=(RunsRequest, LIMIT)),
    Resource("GET", "runs/{run}", "One run.", RunDetail),
    Resource("GET", "runs/{run}/streams", "What a run has imported, by stream.", Streams, query=BY_NAME),
    Resource("GET", "runs/{run}/kinds", "The tasks of a run, by kind.", Kinds, query=BY_NAME),
    Resource("GET", "runs/{run}/slowest", "The slowest tasks of a run.", SlowTasks, query=LIMIT),
    Resource("POST", "runs/{run}/cancel", "Cancels a run.", Cancelled, CancelRequest),
    Resource("POST", "runs/{run}/retry", "Retries the dead letters of a run.", RunRetried),
    Resource("POST", "runs/{run}/drop", "Ends a run and forgets it.", Dropped, DropRequest),
    Resource("GET", "accounts", "The accounts, and what they wait for.", Accounts, query=(AccountsRequest, LIMIT)),
    Resource("GET", "accounts/{name}", "One account.", Account),
    Resource(
        "POST",
        "accounts/{name}/test",
        "Tests the key of an account with one request.",
        AccountTrial,
        TrialRequest,
        needs_body=False,
    ),
    Resource("PUT", "accounts/{name}/limit", "Lowers the limits of an account for a time.", LimitNote, LimitRequest),
    Resource("DELETE", "accounts/{name}/limit", "Removes lowered limits.", None, query={"bucket": str}),
    Resource(
        "GET",
        "dead",
        "Dead letters that match a filter, the oldest first.",
        LetterPage,
        query=(LetterFilter, BY_NUMBER),
    ),
    Resource(
        "GET",
        "dead/newest",
        "Dead letters that match a filter, the newest first.",
        LetterPage,
        query=(LetterFilter, BY_NUMBER),
    ),
    Resource(
        "GET",
        "dead/count",
        "How many dead letters match; only the newest are counted if there are very many.",
        LetterCount,
        query=LetterFilter,
    ),
    Resource(
        "GET",
        "dead/groups",
        "Dead letters by their failure.",
        Groups,
        query={"import": str, "run": int, **BY_NAME},
    ),
    Resource("GET", "dead/{letter}", "One dead letter.", DeadLetter),
    Resource(
        "POST",
        "dead/retry",
        "Retries all dead letters that match a filter.",
        OperationReport,
        LettersRequest,
        status=202,
    ),
    Resource(
        "POST", "dead/drop", "Drops all dead letters that match a filter.", OperationReport, LettersRequest, status=202
    ),
    Resource("GET", "operations", "Retries and drops of many dead letters.", Operations, query=BY_NUMBER),
    Resource("GET", "operations/{operation}", "One operation.", OperationReport),
    Resource(
        "POST", "operations/{operation}/cancel", "Cancels an operation; what it has done is kept.", OperationReport
    ),
    Resource("GET", "pauses", "What is paused, by whom and why.", Pauses, query=BY_NAME),
    Resource("POST", "pauses", "Pauses imports, accounts, buckets or sources.", list[PauseNote], PauseRequest),
    Resource("DELETE", "pauses/{kind}/{name}", "Resumes an import, account, bucket or source.", list[PauseNote]),
    Resource(
        "GET",
        "audit",
        "What people did, the newest first.",
        Acts,
        query=ACTS,
    ),
    Resource("GET", "backup", "The latest backup that was requested here.", BackupProgress | None),
    Resource("POST", "backup", "Makes a backup.", BackupProgress, BackupRequest, status=202),
    Resource("GET", "forget", "The latest deletion by POST forget.", Forgot | None),
    Resource("POST", "forget", "Deletes imported data for good.", Forgot | None, ForgetRequest, status=202),
    Resource("POST", "notify/test", "Sends a test message through each hook.", NotifyTrials),
    Resource("GET", "events", "Events as they happen.", Happening, query={"kinds": str}),
)


def resource_at(method: str, path: str) -> Resource | None:
    """The resource that answers a request. path: below the root of the API.

    Of two that match, the one with fewer words in braces: `dead/count` is no letter.
    """
    words = path.split("/")
    for each in sorted(RESOURCES, key=lambda resource: resource.path.count("{")):
        parts = each.path.split("/")
        if (each.method, len(parts)) != (method, len(words)):
            continue
        if all(part == word or part.startswith("{") for part, word in zip(parts, words, strict=True)):
            return each
    return None


def refused_parameter(method: str, path: str, names: Iterable[str]) -> str | None:
    """Why a query is refused: of a misspelled filter, all would be taken to match. None if it is not."""
    resource = resource_at(method, path)
    known = resource.parameters() if resource else {}
    for name in names if resource else ():
        if name not in known:
            use = f"; use {', '.join(known)}" if known else ", and this resource has none"
            return f"there is no parameter {name[:80]!r}{use}"
    return None
