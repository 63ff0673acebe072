"""The resources that the API can read."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import msgspec

from crawlerd.core.errors import CrawlerdError
from crawlerd.core.reasons import Reason, Subject
from crawlerd.frontier.letter_filter import LetterFilter
from crawlerd.operations import (
    about_facts,
    account_facts,
    daemon_facts,
    dead,
    import_facts,
    list_pages,
    pause_requests,
    run_history,
    run_plan,
    run_requests,
    sync_points,
)
from crawlerd.operations.overview import overview_report
from crawlerd.operations.pause_requests import check
from crawlerd.operations.problem import Refused, Unknown
from crawlerd.operations.reloading import noted
from crawlerd.operations.status_report import status_report
from crawlerd.operations.top_report import top_report
from crawlerd.operations.unused import unused
from crawlerd.operations.why import why
from crawlerd.service.control import ROOT
from crawlerd.service.health import health
from crawlerd.service.parameters import is_number

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from typing import Any

    from crawlerd.config.load import Settings
    from crawlerd.core.configuration import LimitSpec
    from crawlerd.core.pauses import Pausable
    from crawlerd.engine.engine import Engine
    from crawlerd.frontier.reader_contract import FrontierReader
    from crawlerd.frontier.reports import DeadLetter
    from crawlerd.operations.why import Why
    from crawlerd.service.notifying import Notifier
    from crawlerd.service.parameters import Parameters


class NoSuchResource(CrawlerdError):
    """There is no such resource, or it does not have this method."""


class ConfiguredNames:
    """Names in the configuration."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def configured(self, kind: Pausable) -> Collection[str]:
        return pause_requests.configured_names(self._settings, kind)

    def described(self) -> Mapping[str, str]:
        return pause_requests.described_sources(self._settings)

    def limits(self, account: str) -> LimitSpec | None:
        return self._settings.limits.get(account)


class Readable:
    """Answers one request."""

    def __init__(
        self, engine: Engine, notifier: Notifier, reader: FrontierReader, asked: Parameters, now: float
    ) -> None:
        """asked: the query.
        now: Unix seconds.
        """
        self._engine, self._notifier, self._reader, self._asked, self._now = engine, notifier, reader, asked, now
        self._live, self._settings = engine.insight, engine.settings

    def found(self, words: list[str]) -> Any:
        """The resource at a path. Raises NoSuchResource, Unknown or Refused.

        words: the words of the path.
        """
        match words:
            case ["why", subject, name] if subject in get_args(Subject):
                return self._why(subject, name)  # type: ignore[arg-type] # see above
            case ["imports", name, "plan"]:
                return self._plan(name)
            case ["overview"]:
                status = status_report(
                    self._reader, self._live, self._settings, self._now, held_up=self._live.trouble, counted=False
                )
                return overview_report(self._reader, self._live, self._settings, status, self._now)
            case ["status"]:
                return status_report(
                    self._reader,
                    self._live,
                    self._settings,
                    self._now,
                    held_up=self._live.trouble,
                    hooks=self._notifier.troubles(),
                )
            case ["about"]:
                return about_facts.about(self._settings, self._live)
            case ["top"]:
                told, hooks = self._live, self._notifier.troubles()
                return top_report(self._reader, told, self._settings, self._now, held_up=told.trouble, hooks=hooks)
            case ["imports"]:
                asked = import_facts.ImportsRequest(after=self._after, limit=self._asked.limit)
                return import_facts.imports(self._reader, self._live, self._settings, asked, self._now)
            case ["info"]:
                return daemon_facts.info(self._settings, self._now)
            case ["health"]:
                return self._health()
            case ["config"]:
                return daemon_facts.config(self._settings, self._live)
            case ["backup"]:
                return self._engine.backups.latest
            case ["imports", name]:
                return self._import(name)
            case ["imports", name, "runs"]:
                return run_history.runs(self._reader, self._runs_request(name))
            case ["imports", name, "syncpoints"]:
                streams = self._asked["streams"].split(",") if self._asked.get("streams") else []
                return sync_points.show(self._settings, self._reader, name, streams)
            case ["runs"]:
                return run_history.runs(self._reader, self._runs_request())
            case ["runs", number] if is_number(number):
                return run_history.detail(self._reader, self._live, int(number), self._now)
            case ["runs", number, "streams"] if is_number(number):
                return list_pages.streams(self._reader, int(number), self._after, self._asked.limit)
            case ["runs", number, "kinds"] if is_number(number):
                return list_pages.kinds(self._reader, int(number), self._after, self._asked.limit)
            case ["runs", number, "slowest"] if is_number(number):
                return list_pages.slowest(self._reader, int(number), self._asked.limit)
            case ["pauses"]:
                return list_pages.pauses(self._reader, self._after, self._asked.limit)
            case ["schedule"]:
                return self._schedules()
            case ["accounts"]:
                return self._accounts()
            case ["accounts", name]:
                return account_facts.account(self._reader, self._live, name, self._now, self._settings)
            case ["reload"]:
                return self._live.in_force()
            case ["forget"]:
                return self._engine.forgetting.progress()
            case ["audit"]:
                return list_pages.audit(
                    self._reader,
                    self._asked.since,
                    self._asked.after or None,
                    self._asked.limit,
                    self._asked.get("by", ""),
                    self._asked.get("act", ""),
                )
            case ["dead"]:
                return list_pages.letters(self._reader, self._letters(), self._asked.after, self._asked.limit)
            case ["dead", "newest"]:
                return dead.newest(self._reader, self._letters(), self._asked.after or None, self._asked.limit)
            case ["dead", "count"]:
                return dead.counted(self._reader, self._letters())
            case ["dead", "groups"]:
                run = self._asked.number("run") if "run" in self._asked else None
                return list_pages.groups(self._reader, self._asked.get("import"), run, self._after, self._asked.limit)
            case ["dead", number] if is_number(number):
                return self._letter(int(number))
            case ["operations"]:
                return list_pages.operations(self._reader, self._asked.after or None, self._asked.limit)
            case ["operations", number] if is_number(number):
                return dead.operation(self._reader, int(number))
        raise NoSuchResource(f"there is no GET {ROOT}{'/'.join(words)[:200]}")

    @property
    def _after(self) -> str:
        return self._asked.get("after", "")

    def _letters(self) -> LetterFilter:
        wanted = {key: value for key, value in self._asked.items() if key in LetterFilter.__struct_encode_fields__}
        which = msgspec.convert(wanted, LetterFilter, strict=False)
        dead.check(which)
        return which

    def _letter(self, number: int) -> DeadLetter:
        if (found := self._reader.dead_letter(number)) is None:
            raise Unknown(f"there is no dead letter {number}")
        return found

    def _why(self, subject: Subject, name: str) -> Why:
        try:
            found = why(self._reader, self._live, subject, name, self._now)
            return noted(found, self._live.in_force())
        except Unknown:
            if other := unused(self._reader, self._live, self._settings, subject, name):
                return other
            raise

    def _health(self) -> daemon_facts.Health:
        problem = health(self._engine)
        why_not = problem or self._live.trouble
        return daemon_facts.Health(alive=problem is None, ready=why_not is None, problem=why_not)

    def _import(self, name: str) -> import_facts.ImportLine:
        if name not in self._settings.imports and not self._reader.knows("import", name):
            check("import", [name], ConfiguredNames(self._settings), None)
        return import_facts.import_lines(self._reader, self._live, self._settings, [name], self._now)[0]

    def _runs_request(self, import_name: str | None = None) -> run_history.RunsRequest:
        asked = self._asked
        values = {**asked, "limit": asked.limit, "after": asked.after or None, "since": asked.since}
        if import_name is not None:
            values["import_name"] = import_name
        return msgspec.convert(values, run_history.RunsRequest, strict=False)

    def _accounts(self) -> account_facts.Accounts:
        asked = account_facts.AccountsRequest(
            needs_a_look=self._asked.get("needs_a_look") == "true",
            reason=self._reason(),
            prefix=self._asked.get("prefix", ""),
            counted=self._asked.get("counted") == "true",
            after=self._after,
            limit=self._asked.limit,
        )
        return account_facts.accounts(self._reader, self._live, asked, self._now, self._settings)

    def _reason(self) -> Reason | None:
        text = self._asked.get("reason", "")
        if text and text not in tuple(Reason):
            raise Refused(f"reason: {text[:80]!r} is not a reason; use one of {', '.join(Reason)}")
        return Reason(text) if text else None

    def _schedules(self) -> list_pages.Schedules:
        imports = self._settings.imports
        names = [self._asked["import"]] if "import" in self._asked else list(imports)
        count = self._asked.number("next", 1)
        return list_pages.schedule(imports, self._reader, self._now, names, count, self._after, self._asked.limit)

    def _plan(self, name: str) -> run_plan.Plan:
        check("import", [name], ConfiguredNames(self._settings), None)
        asked = {**self._asked, "streams": [each for each in self._asked.get("streams", "").split(",") if each]}
        request = msgspec.convert(asked, run_history.RunRequest, strict=False)
        run_requests.changed(self._settings, name, request, self._now)
        return run_plan.plan(self._settings, self._reader, name, request, self._now)
