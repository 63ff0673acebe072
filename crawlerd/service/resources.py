"""What the daemon answers over its socket, as resources: each a method, a path, and what it asks of the engine."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING, NamedTuple, get_args
from urllib.parse import parse_qs, unquote

import msgspec

from crawlerd.core.errors import CrawlerdError
from crawlerd.core.pauses import Pausable
from crawlerd.core.reasons import Subject
from crawlerd.engine.pausing import ImportPaused
from crawlerd.frontier import open_reader
from crawlerd.operations import account_facts, pause_requests, run_history
from crawlerd.operations.dead import Retried, RetryRequest, retry_act
from crawlerd.operations.pause_requests import check
from crawlerd.operations.problem import Problem, Refused, Unknown
from crawlerd.operations.why import why
from crawlerd.service.control import ROOT

if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

    from crawlerd.engine.engine import Engine
    from crawlerd.frontier.reader_contract import FrontierReader

log = logging.getLogger(__name__)

BODY_BYTES = 1 << 20
MOST = 500  # of a list, at once


class Answer(NamedTuple):
    """An HTTP status, and a body in JSON."""

    status: int
    body: bytes


class _NoSuchResource(CrawlerdError):
    """Nothing is there, or not with this method."""


class _Configured:
    """Names of what the configuration has."""

    def __init__(self, engine: Engine) -> None:
        self._settings = engine.settings

    def configured(self, kind: Pausable) -> Collection[str]:
        return pause_requests.configured_names(self._settings, kind)


def answer(engine: Engine, method: str, target: str, body: bytes, by: str) -> Answer:
    """target: path and query. by: the person who asks."""
    path, _, query = target.partition("?")
    reader = None
    try:
        reader = open_reader(engine.settings.daemon.state_dir)
        if reader is None:
            raise Unknown("nothing has been imported yet")
        words = [unquote(word) for word in path.removeprefix(ROOT).split("/")]
        asked = {key: values[-1] for key, values in parse_qs(query).items()}
        found = _Resources(engine, reader, by, asked, body).found(method, words)
        return Answer(200, msgspec.json.encode(found))
    except (Unknown, _NoSuchResource) as error:
        return problem(404, "Not Found", str(error))
    except (Refused, msgspec.DecodeError, ValueError) as error:
        return problem(400, "Bad Request", str(error))
    except ImportPaused as error:
        return problem(409, "Conflict", str(error))
    except TimeoutError:
        return problem(503, "Service Unavailable", "the dispatcher does not answer")
    except CrawlerdError as error:
        return problem(503, "Service Unavailable", str(error))
    except Exception as error:
        log.exception("cannot answer %s %s", method, path)
        return problem(500, "Internal Server Error", f"{type(error).__name__}: {error}; the daemon's log says more")
    finally:
        if reader:
            reader.close()


def _is_number(word: str) -> bool:
    """A number that a database holds."""
    return word.isascii() and word.isdecimal() and len(word) <= 18


def problem(status: int, title: str, detail: str) -> Answer:
    return Answer(status, msgspec.json.encode(Problem(status, title, detail)))


class _Resources:
    """One request."""

    def __init__(self, engine: Engine, reader: FrontierReader, by: str, asked: dict[str, str], body: bytes) -> None:
        self._engine, self._reader, self._by, self._asked, self._body = engine, reader, by, asked, body
        self._now = time.time()

    def found(self, method: str, words: list[str]) -> Any:
        match method, words:
            case "GET", ["why", subject, name] if subject in get_args(Subject):
                return why(self._reader, self._engine, subject, name, self._now)  # type: ignore[arg-type] # see above
            case "POST", ["imports", name, "run"]:
                return self._run_now(name)
            case "GET", ["runs"]:
                return run_history.runs(self._reader, self._runs_request())
            case "GET", ["runs", number] if _is_number(number):
                return run_history.detail(self._reader, self._engine, int(number), self._now)
            case "POST", ["runs", number, "cancel"] if _is_number(number):
                return self._cancel(int(number))
            case "GET", ["pauses"]:
                return self._reader.pauses()
            case "POST", ["pauses"]:
                return self._pause()
            case "DELETE", ["pauses", kind, name] if kind in get_args(Pausable):
                return self._resume(kind, name)  # type: ignore[arg-type] # see above
            case "GET", ["accounts"]:
                return self._accounts()
            case "GET", ["accounts", name]:
                return account_facts.account(self._reader, self._engine, name, self._now)
            case "GET", ["audit"]:
                return self._reader.audit(since=self._since(), limit=self._limit())
            case "POST", ["dead", "retry"]:
                numbers = msgspec.json.decode(self._body, type=RetryRequest).numbers
                return Retried(self._engine.runs.retry_dead(numbers, retry_act(numbers, self._by, self._now)))
        raise _NoSuchResource(f"there is no {method} {ROOT}{'/'.join(words)[:200]}")

    def _runs_request(self) -> run_history.RunsRequest:
        asked = {**self._asked, "limit": self._limit()}
        if not _is_number(self._asked.get("after", "0")):
            raise Refused("after: the number of a run")
        request = msgspec.convert(asked, run_history.RunsRequest, strict=False)
        if not math.isfinite(request.since):
            raise Refused("since: Unix seconds")
        return request

    def _since(self) -> float:
        since = float(self._asked.get("since", 0))
        if not math.isfinite(since):
            raise Refused("since: Unix seconds")
        return since

    def _limit(self) -> int:
        return max(1, min(int(self._asked.get("limit", 100)), MOST))

    def _accounts(self) -> account_facts.Accounts:
        asked = account_facts.AccountsRequest(
            needs_a_look=self._asked.get("needs_a_look") == "true",
            after=self._asked.get("after", ""),
            limit=self._limit(),
        )
        return account_facts.accounts(self._reader, self._engine, asked, self._now)

    def _run_now(self, name: str) -> run_history.RunStarted:
        check("import", [name], _Configured(self._engine), None)
        request = msgspec.json.decode(self._body or b"{}", type=run_history.RunRequest)
        started = self._engine.runs.run_now(name, full=request.full, allow_shrink=request.allow_shrink, by=self._by)
        return run_history.RunStarted(runs=started.runs, resumed=started.resumed)

    def _cancel(self, run: int) -> run_history.Cancelled:
        request = msgspec.json.decode(self._body, type=run_history.CancelRequest)
        act = run_history.cancel_act(run, request, self._by, self._now)
        under_way = self._engine.requests_of(run)
        if not self._engine.runs.cancel(run, act):
            raise run_history.not_running(self._reader, run)
        return run_history.Cancelled(requests=under_way)

    def _pause(self) -> list[Any]:
        request = msgspec.json.decode(self._body, type=pause_requests.PauseRequest)
        noted = pause_requests.notes(request, _Configured(self._engine), self._reader, self._by, self._now)
        for note in noted:
            self._engine.pauses.pause(note)
        return noted

    def _resume(self, kind: Pausable, name: str) -> list[Any]:
        if not self._engine.pauses.resume(kind, name, self._by):
            raise pause_requests.not_paused(kind, name)
        return []
