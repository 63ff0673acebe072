"""All resources of the API, with their types: what the OpenAPI document is made from.

A test compares this list with what is answered.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from crawlerd.core.in_force import InForce, Reloaded
from crawlerd.core.lowered import LimitNote
from crawlerd.core.pauses import Pausable, PauseNote
from crawlerd.core.reasons import Subject
from crawlerd.engine.forgetting import Forgot
from crawlerd.frontier.figure_reports import KindFigures, SlowTask
from crawlerd.frontier.letter_filter import LetterFilter
from crawlerd.frontier.reports import Act, DeadGroup, DeadLetter, LetterCount, LetterPage, OperationReport
from crawlerd.operations.about_facts import About
from crawlerd.operations.account_facts import Account, Accounts, AccountsRequest
from crawlerd.operations.account_trial import AccountTrial, TrialRequest
from crawlerd.operations.backup_requests import BackupProgress, BackupRequest
from crawlerd.operations.daemon_facts import Config, Health, Info
from crawlerd.operations.dead import LettersRequest
from crawlerd.operations.forget_requests import ForgetRequest
from crawlerd.operations.import_facts import ImportLine, Imports
from crawlerd.operations.limit_requests import LimitRequest
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
    StreamLine,
)
from crawlerd.operations.run_plan import Plan
from crawlerd.operations.schedules import ScheduleReport
from crawlerd.operations.status_report import StatusReport
from crawlerd.operations.submitting import MOST, TasksSubmitted
from crawlerd.operations.sync_points import SyncPoints, SyncPointsChanged, SyncPointsRequest
from crawlerd.operations.top_report import TopReport
from crawlerd.operations.why import Why
from crawlerd.service.web.happenings import Happening

LIMIT = {"limit": int}
BY_NUMBER = {"after": int, **LIMIT}
BEFORE = {"before": int, **LIMIT}
ACTS = {"since": float, **BEFORE, "by": str, "act": str}
BY_NAME = {"after": str, **LIMIT}


class Task(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    kind: one that its source takes from outside.
    args: as of its kind.
    """

    kind: str
    args: dict[str, Any] = {}


class Tasks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `TasksRequest` reads."""

    tasks: Annotated[list[Task], msgspec.Meta(min_length=1, max_length=MOST)]


class Resource(NamedTuple):
    """
    path: below the root of the API; a word in braces is any.
    text: what it does, or is.
    answer: the type of what comes when all went well; None for null.
    body: the type of what is sent.
    query: types by name; of a Struct, each of its fields that is no list.
    needs_body: without a body, it is not done.
    status: when all went well.
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


WORDS: dict[str, Any] = {  # the types of words in braces; the others are text
    "run": int,
    "letter": int,
    "operation": int,
    "subject": Subject,
    "kind": Pausable,
}
RESOURCES = (
    Resource("GET", "info", "Which daemon it is.", Info),
    Resource("GET", "health", "Whether it is alive, and can import.", Health),
    Resource("GET", "status", "The state at a glance.", StatusReport),
    Resource("GET", "overview", "The imports that need a look, and what has happened since.", OverviewReport),
    Resource("GET", "top", "What is busy now.", TopReport),
    Resource("GET", "why/{subject}/{name}", "Why something waits, and until when.", Why),
    Resource("GET", "about", "Its files and disks, and what it is made of.", About),
    Resource("GET", "config", "The settings in force, without secrets.", Config),
    Resource("POST", "config/reload", "Reads the configuration file again.", Reloaded),
    Resource("GET", "reload", "Which configuration is in force.", InForce),
    Resource("POST", "reload", "The same as config/reload.", Reloaded),
    Resource("GET", "schedule", "When imports start next.", list[ScheduleReport], query={"import": str, "next": int}),
    Resource("GET", "imports", "The imports, by name.", Imports, query=BY_NAME),
    Resource("GET", "imports/{name}", "One import.", ImportLine),
    Resource("GET", "imports/{name}/plan", "What a run would do.", Plan, query=RunRequest),
    Resource("GET", "imports/{name}/runs", "Its runs, the newest first.", Runs, query=RunsRequest),
    Resource("POST", "imports/{name}/run", "Starts it now.", RunStarted, RunRequest, needs_body=False),
    Resource("POST", "imports/{name}/tasks", "Submits tasks: all of them, or none.", TasksSubmitted, Tasks),
    Resource(
        "GET", "imports/{name}/syncpoints", "How far it has come.", SyncPoints, query={"streams": str}, tagged=True
    ),
    Resource("PUT", "imports/{name}/syncpoints", "Changes that.", SyncPointsChanged, SyncPointsRequest, tagged=True),
    Resource("GET", "runs", "The runs, the newest first.", Runs, query=RunsRequest),
    Resource("GET", "runs/{run}", "One run.", RunDetail),
    Resource("GET", "runs/{run}/streams", "What it has brought, by stream.", list[StreamLine]),
    Resource("GET", "runs/{run}/kinds", "Its tasks, by kind.", list[KindFigures]),
    Resource("GET", "runs/{run}/slowest", "Its slowest tasks.", list[SlowTask]),
    Resource("POST", "runs/{run}/cancel", "Ends it.", Cancelled, CancelRequest),
    Resource("POST", "runs/{run}/retry", "Retries its dead letters.", RunRetried),
    Resource("POST", "runs/{run}/drop", "Ends it and forgets it.", Dropped, DropRequest),
    Resource("GET", "accounts", "The accounts, and what they wait for.", Accounts, query=AccountsRequest),
    Resource("GET", "accounts/{name}", "One account.", Account),
    Resource("POST", "accounts/{name}/test", "Tries its key.", AccountTrial, TrialRequest, needs_body=False),
    Resource("PUT", "accounts/{name}/limit", "Lowers its limits for a time.", LimitNote, LimitRequest),
    Resource("DELETE", "accounts/{name}/limit", "Ends that.", None, query={"bucket": str}),
    Resource("GET", "dead", "Dead letters that match.", list[DeadLetter], query=(LetterFilter, BY_NUMBER)),
    Resource("GET", "dead/newest", "The same, the newest first.", LetterPage, query=(LetterFilter, BEFORE)),
    Resource("GET", "dead/count", "How many match, as far as that is quick.", LetterCount, query=LetterFilter),
    Resource("GET", "dead/groups", "Dead letters by their failure.", list[DeadGroup], query={"import": str, **LIMIT}),
    Resource("GET", "dead/{letter}", "One dead letter.", DeadLetter),
    Resource("POST", "dead/retry", "Retries all that match.", OperationReport, LettersRequest, status=202),
    Resource("POST", "dead/drop", "Drops all that match.", OperationReport, LettersRequest, status=202),
    Resource("GET", "operations", "What is done to many dead letters.", list[OperationReport], query=BY_NUMBER),
    Resource("GET", "operations/{operation}", "One of them.", OperationReport),
    Resource("POST", "operations/{operation}/cancel", "Stops it; what is done stays done.", OperationReport),
    Resource("GET", "pauses", "What is paused, by whom and why.", list[PauseNote]),
    Resource("POST", "pauses", "Pauses imports, accounts, buckets or sources.", list[PauseNote], PauseRequest),
    Resource("DELETE", "pauses/{kind}/{name}", "Resumes one.", list[PauseNote]),
    Resource(
        "GET",
        "audit",
        "What people did, the oldest first.",
        list[Act],
        query=ACTS,
    ),
    Resource("GET", "backup", "The latest backup that was asked for here.", BackupProgress | None),
    Resource("POST", "backup", "Makes one.", BackupProgress, BackupRequest, status=202),
    Resource("GET", "forget", "What was forgotten last.", Forgot | None),
    Resource("POST", "forget", "Deletes for good.", Forgot | None, ForgetRequest, status=202),
    Resource("POST", "notify/test", "Sends a test message to people.", NotifyTrials),
    Resource("GET", "events", "What happens, as it happens.", Happening, query={"kinds": str}),
)
