"""The type of what each command prints with --json: options, schemas and tests are made from this list."""

from __future__ import annotations

from typing import NamedTuple

RESULTS, REPORTS, OPERATIONS = "crawlerd.cli.results", "crawlerd.frontier.reports", "crawlerd.operations"


class Output(NamedTuple):
    """The JSON output of a command.

    type: the type, as MODULE:NAME; "" for any JSON.
    many: the output is an array of this type.
    items: the field that has the items of a list.
    other: the output with an option, by that option.
    """

    type: str
    many: bool = False
    items: str = ""
    other: dict[str, Output] = {}  # noqa: RUF012 - a NamedTuple's default is not shared by accident

    @property
    def is_list(self) -> bool:
        """Whether the command takes --jsonl."""
        return self.many or bool(self.items) or any(each.is_list for each in self.other.values())


# By the words of the command. None: the command prints no result.
OUTPUTS: dict[str, Output | None] = {
    "": None,
    "run": None,
    "run show": Output(f"{OPERATIONS}.run_history:RunDetail"),
    "run cancel": Output(f"{OPERATIONS}.run_history:Cancelled"),
    "run retry": Output(f"{OPERATIONS}.run_acts:RunRetried"),
    "run drop": Output(f"{OPERATIONS}.run_acts:Dropped"),
    "runs": Output(f"{OPERATIONS}.run_history:Runs", items="runs"),
    "import": Output(
        f"{OPERATIONS}.import_report:ImportReport",
        other={
            "--no-wait": Output(f"{RESULTS}:AskedFor"),
            "--plan": Output(f"{OPERATIONS}.run_plan:Plan", many=True),
        },
    ),
    "imports": Output(f"{OPERATIONS}.import_facts:Imports", items="imports"),
    "imports rename": Output(f"{RESULTS}:ImportRenamed"),
    "status": Output(f"{RESULTS}:StatusNow", other={"--check": Output(f"{RESULTS}:StatusCheck")}),
    "top": Output(f"{OPERATIONS}.top_report:TopReport"),
    "why": Output(f"{OPERATIONS}.why:Why"),
    "schedule": Output(f"{OPERATIONS}.schedules:ScheduleReport", many=True),
    "reload": Output("crawlerd.core.in_force:Reloaded"),
    "notify test": Output(f"{OPERATIONS}.notify_trial:NotifyTrials"),
    "submit": Output(f"{OPERATIONS}.submitting:TasksSubmitted"),
    "inbox": Output(f"{OPERATIONS}.submitting:InboxReport", items="rejections"),
    "audit": Output(f"{REPORTS}:Act", many=True),
    "pause": Output("crawlerd.core.pauses:PauseNote", many=True),
    "resume": Output(f"{RESULTS}:Resumed", many=True),
    "accounts": Output(f"{OPERATIONS}.account_facts:Accounts", items="accounts"),
    "accounts show": Output(f"{OPERATIONS}.account_facts:Account"),
    "accounts test": Output(f"{OPERATIONS}.account_trial:AccountTrial"),
    "accounts limit": Output("crawlerd.core.lowered:LimitNote", other={"--off": Output(f"{RESULTS}:LimitEnded")}),
    "syncpoint show": Output(f"{OPERATIONS}.sync_points:SyncPoints"),
    "syncpoint set": Output(f"{OPERATIONS}.sync_points:SyncPointsChanged"),
    "syncpoint clear": Output(f"{OPERATIONS}.sync_points:SyncPointsChanged"),
    "syncpoint copy": Output(f"{OPERATIONS}.sync_points:SyncPointsChanged"),
    "dead list": Output(f"{REPORTS}:DeadLetter", many=True),
    "dead groups": Output(f"{REPORTS}:DeadGroup", many=True),
    "dead show": Output(f"{REPORTS}:DeadLetter"),
    "dead retry": Output(f"{REPORTS}:OperationReport", other={"--dry-run": Output(f"{RESULTS}:Counted")}),
    "dead drop": Output(f"{REPORTS}:OperationReport", other={"--dry-run": Output(f"{RESULTS}:Counted")}),
    "dead export": Output(f"{RESULTS}:LettersExported"),
    "dead import": Output(f"{RESULTS}:LettersTaken"),
    "operations": Output(f"{REPORTS}:OperationReport", many=True),
    "operations cancel": Output(f"{REPORTS}:OperationReport"),
    "frontier check": Output(f"{RESULTS}:Checked"),
    "frontier vacuum": Output(f"{RESULTS}:Shrunk"),
    "frontier copy": Output(f"{RESULTS}:Copied"),
    "backup": Output(f"{OPERATIONS}.backing_up:MadeBackup"),
    "restore": Output(f"{OPERATIONS}.putting_back:Restored"),
    "frontier restore": Output(f"{RESULTS}:Replaced"),
    "frontier new": Output(f"{RESULTS}:Replaced"),
    "frontier backup": Output(f"{RESULTS}:FileWritten"),
    "sink check": Output(f"{RESULTS}:Checked", many=True),
    "sink forget": Output(
        "crawlerd.engine.forgetting:Forgot",
        other={"--dry-run": Output(f"{OPERATIONS}.forget_requests:Forgettable")},
    ),
    "sink copy": Output(f"{RESULTS}:FileWritten"),
    "config check": Output(f"{RESULTS}:ConfigurationChecked"),
    "config show": Output(f"{RESULTS}:Setting", many=True),
    "config schema": Output(""),
    "source test": Output(f"{RESULTS}:PageTried"),
    "source schema": Output(""),
    "sources": Output(f"{RESULTS}:SourceLine", many=True),
    "streams": Output(f"{RESULTS}:StreamName", many=True),
    "show tree": Output("crawlerd.sources.aws.tree:Node"),
    "init": Output(f"{RESULTS}:FirstConfiguration"),
    "new source": Output(f"{RESULTS}:FolderMade"),
    "token new": Output(f"{RESULTS}:TokenMade"),
    "demo": Output(f"{RESULTS}:DemoReport"),
}
