"""The resources of the API: each has a method and a path, and calls the engine."""

from __future__ import annotations

import hashlib
import logging
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, NamedTuple, get_args
from urllib.parse import unquote

import msgspec

from crawlerd.core.errors import CrawlerdError
from crawlerd.core.pauses import Pausable
from crawlerd.engine.pausing import ImportPaused
from crawlerd.frontier import open_reader
from crawlerd.frontier.acts_contract import Promise
from crawlerd.frontier.figure_reports import SlowTask
from crawlerd.frontier.reports import AttemptReport, DeadLetter
from crawlerd.frontier.sync_point_contract import RunUnderWay
from crawlerd.operations import (
    account_trial,
    backup_requests,
    dead,
    forget_requests,
    limit_requests,
    pause_requests,
    run_acts,
    run_history,
    run_requests,
    submitting,
    sync_points,
)
from crawlerd.operations.notify_trial import NotifyTrials
from crawlerd.operations.pause_requests import check
from crawlerd.operations.problem import Changed, ProblemCode, Refused, UnderWay, Unknown
from crawlerd.operations.problem import problem as problem_of
from crawlerd.operations.reloading import reload
from crawlerd.service import remote_reader
from crawlerd.service.control import ROOT
from crawlerd.service.parameters import Parameters, is_number
from crawlerd.service.readable import ConfiguredNames, NoSuchResource, Readable
from crawlerd.service.remote_reader import READER
from crawlerd.service.repeated import Mismatch, repeatable

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from crawlerd.core.lowered import LimitNote
    from crawlerd.engine.engine import Engine
    from crawlerd.frontier.contract import Frontier
    from crawlerd.frontier.reader_contract import FrontierReader
    from crawlerd.frontier.reports import LetterAct, OperationReport
    from crawlerd.service.notifying import Notifier
    from crawlerd.service.repeated import Keys, Repeatable

log = logging.getLogger(__name__)

BODY_BYTES = 1 << 20


LONG = ("backup", "dead", "forget")  # resources for which a POST is answered before its work is finished
HIDDEN = "(only the admin may see this)"


class Answer(NamedTuple):
    """An answer.

    status: of HTTP.
    body: JSON.
    tag: the ETag of the resource's state; "" for none.
    """

    status: int
    body: bytes
    tag: str = ""


def answer(
    engine: Engine,
    notifier: Notifier,
    keys: Keys,
    method: str,
    target: str,
    body: bytes,
    by: str,
    key: str | None = None,
    *,
    match: str | None = None,
    whole: bool = True,
) -> Answer:
    """Answers a request.

    target: path and query.
    by: the person who sends it.
    key: its Idempotency-Key, if it may be sent again.
    match: its If-Match: the state that is to be changed. If the state is another one, nothing is changed.
    whole: with the payloads of dead letters.
    """
    path, _, query = target.partition("?")
    reader = None
    try:
        reads = method == "GET" or path.startswith(f"{ROOT}{READER}/")
        again = None if reads else repeatable(key, method, target, body, by, match or "")
        reader = open_reader(engine.settings.daemon.state_dir)
        if reader is None:
            raise Unknown("nothing has been imported yet")
        words = [unquote(word) for word in path.removeprefix(ROOT).split("/")]
        resources = _Resources(engine, notifier, reader, by, Parameters(query), body, again, match, whole=whole)
        status = 202 if method == "POST" and words[0] in LONG else 200
        with nullcontext() if again is None else keys.one_at_a_time(again.key):
            return Answer(status, resources.kept() or resources.done(method, words), resources.tag)
    except _NAMED as error:
        return problem(next(code for kinds, code in _CODES if isinstance(error, kinds)), str(error))
    except (RecursionError, OverflowError):
        text = "a number of the request is too large, or its JSON is nested too deeply"
        return problem(ProblemCode.INVALID, text)
    except TimeoutError:
        return problem(ProblemCode.NO_ANSWER, "the daemon's dispatcher does not answer; see its log, and restart it")
    except CrawlerdError as error:
        return problem(ProblemCode.UNAVAILABLE, str(error))
    except Exception as error:
        log.exception("cannot answer %s %s", method, path)
        return problem(ProblemCode.INTERNAL, f"{type(error).__name__}: {error}; the daemon's log says more")
    finally:
        if reader:
            reader.close()


def problem(code: ProblemCode, detail: str) -> Answer:
    return Answer(code.status, msgspec.json.encode(problem_of(code, detail)))


class OtherState(CrawlerdError):
    """The resource is no longer in the state that was to be changed."""


_CODES: tuple[tuple[tuple[type[Exception], ...], ProblemCode], ...] = (
    ((OtherState,), ProblemCode.PRECONDITION_FAILED),
    ((Mismatch,), ProblemCode.KEY_REUSED),
    ((UnderWay, RunUnderWay, run_requests.OtherRun), ProblemCode.UNDER_WAY),
    ((Unknown, NoSuchResource), ProblemCode.NOT_FOUND),
    ((ImportPaused,), ProblemCode.PAUSED),
    ((Changed,), ProblemCode.CHANGED),
    ((Refused, msgspec.DecodeError, ValueError), ProblemCode.INVALID),
)
_NAMED = tuple(kind for kinds, _ in _CODES for kind in kinds)


def tag_of(points: sync_points.SyncPoints) -> str:
    """An ETag: equal for equal sync points."""
    return f'"{hashlib.blake2b(msgspec.json.encode(points), digest_size=12).hexdigest()}"'


def without_payloads(found: Any) -> Any:
    """The same answer, for people who may not see the payloads of dead letters, nor what repeats them: the arguments of
    slow tasks, and the queries of URLs."""
    match found:
        case DeadLetter():
            return msgspec.structs.replace(found, payload=HIDDEN, history=without_payloads(found.history))
        case AttemptReport():
            path, mark, _ = found.url.partition("?")
            return msgspec.structs.replace(found, url=f"{path}{mark}{HIDDEN}" if mark else path)
        case SlowTask():
            return msgspec.structs.replace(found, about=HIDDEN)
        case list():
            return [without_payloads(each) for each in found]
        case dict():
            return {key: without_payloads(each) for key, each in found.items()}
        case msgspec.Struct():
            fields = {name: getattr(found, name) for name in found.__struct_fields__}
            return msgspec.structs.replace(found, **{name: without_payloads(each) for name, each in fields.items()})
    return found


class _Resources:
    """Answers one request."""

    def __init__(
        self,
        engine: Engine,
        notifier: Notifier,
        reader: FrontierReader,
        by: str,
        asked: Parameters,
        body: bytes,
        again: Repeatable | None,
        match: str | None,
        *,
        whole: bool,
    ) -> None:
        """again: the request's key, if it may be sent again.
        match, whole: as in `answer`.
        """
        self._match, self._whole, self.tag = match, whole, ""
        self._notifier = notifier
        self._engine, self._reader, self._by, self._asked, self._body = engine, reader, by, asked, body
        self._again, self._is_kept = again, False
        self._now = time.time()

    def kept(self) -> bytes | None:
        """The answer that was given to the same request before; None if there is none. Raises Mismatch if the key was
        used for another request."""
        if self._again is None or (kept := self._reader.kept_answer(self._again.key, self._now)) is None:
            return None
        if kept.digest != self._again.digest:
            raise Mismatch("this Idempotency-Key was used for another request: use a new key for each request")
        return kept.body

    def done(self, method: str, words: list[str]) -> bytes:
        """Does what the request asks for. If that does not change the frontier, the answer is kept afterwards."""
        body = msgspec.json.encode(self._found(method, words))
        if not self._is_kept and (promise := self._promise(lambda result: body)):
            self._engine.keep(promise)
        return body

    def _promise(self, answer: Callable[[Any], bytes]) -> Promise | None:
        """A promise to keep the answer in the same transaction that does the work.

        answer: as in `Promise`.
        """
        if self._again is None:
            return None

        def kept(result: Any) -> bytes:
            self._is_kept = True
            return answer(result)

        return Promise(self._again.key, self._again.digest, self._now, kept)

    def _found(self, method: str, words: list[str]) -> Any:
        if method == "GET":
            return self._read(words)
        match method, words:
            case "POST", ["imports", name, "run"]:
                return self._run_now(name)
            case "POST", ["imports", name, "tasks"]:
                return submitting.by_engine(self._engine, name, self._body, self._by, self._promise)
            case "PUT", ["imports", name, "syncpoints"]:
                return self._change_sync_points(name)
            case "POST", ["runs", number, "cancel"] if is_number(number):
                return self._cancel(int(number))
            case "POST", ["runs", number, "retry"] if is_number(number):
                return self._retry_run(int(number))
            case "POST", ["runs", number, "drop"] if is_number(number):
                return self._drop_run(int(number))
            case "POST", ["pauses"]:
                return self._pause()
            case "DELETE", ["pauses", kind, name] if kind in get_args(Pausable):
                return self._resume(kind, name)  # type: ignore[arg-type] # see above
            case "POST", ["accounts", name, "test"]:
                request = msgspec.json.decode(self._body or b"{}", type=account_trial.TrialRequest)
                return account_trial.try_account(self._engine, name, request)
            case "POST", ["notify", "test"]:
                self._is_kept = True  # a second message does no harm, and the message may be about a full disk
                return NotifyTrials(hooks=self._notifier.test())
            case "POST", ["reload"] | ["config", "reload"]:
                return reload(self._engine)
            case "PUT", ["accounts", name, "limit"]:
                return self._lower(name)
            case "DELETE", ["accounts", name, "limit"]:
                return self._end_lowered(name)
            case "POST", ["backup"]:
                wanted = msgspec.json.decode(self._body, type=backup_requests.BackupRequest)
                return backup_requests.begun(self._engine, wanted, self._by, self._now)
            case "POST", ["forget"]:
                return forget_requests.begun(self._engine, self._body, self._by, self._now)
            case "POST", ["dead", ("retry" | "drop") as act]:
                return self._begin(act)
            case "POST", ["operations", number, "cancel"] if is_number(number):
                return self._cancel_operation(int(number))
            case "POST", [word, name] if word == READER:
                return remote_reader.read(self._reader, name, self._body)
        raise NoSuchResource(f"there is no {method} {ROOT}{'/'.join(words)[:200]}")

    def _read(self, words: list[str]) -> Any:
        found = Readable(self._engine, self._notifier, self._reader, self._asked, self._now).found(words)
        if isinstance(found, sync_points.SyncPoints) and not self._asked.get("streams"):
            self.tag = tag_of(found)
        return found if self._whole else without_payloads(found)

    def _begin(self, act: LetterAct) -> OperationReport:
        request = msgspec.json.decode(self._body, type=dead.LettersRequest)
        operation, audited = dead.begun(self._reader, act, request, self._by, self._now)
        return self._engine.bulk.begin(operation, audited, self._promise(msgspec.json.encode))

    def _cancel_operation(self, number: int) -> OperationReport:
        if not self._engine.bulk.cancel(number, dead.cancel_act(number, self._by, self._now)):
            raise dead.not_under_way(self._reader, number)
        return dead.operation(self._reader, number)

    def _run_now(self, name: str) -> run_history.RunStarted:
        check("import", [name], ConfiguredNames(self._engine.settings), None)
        request = msgspec.json.decode(self._body or b"{}", type=run_history.RunRequest)
        promise = self._promise(lambda new: msgspec.json.encode(run_history.RunStarted(runs=[new.run], resumed=False)))
        started = self._engine.runs.run_now(
            name,
            full=request.whole,
            allow_shrink=request.allow_shrink,
            by=self._by,
            spec=run_requests.changed(self._engine.settings, name, request, self._now),
            promise=promise,
        )
        if started.resumed:
            run_requests.agree(request, self._reader.runs(started.runs))
        return run_history.RunStarted(runs=started.runs, resumed=started.resumed)

    def _change_sync_points(self, name: str) -> sync_points.SyncPointsChanged:
        request = msgspec.json.decode(self._body, type=sync_points.SyncPointsRequest)
        settings, by, now = self._engine.settings, self._by, self._now

        def work(frontier: Frontier) -> sync_points.SyncPointsChanged:
            if self._match is not None:
                now_tag = tag_of(sync_points.show(settings, self._reader, name))
                if self._match.strip() not in ("*", now_tag):
                    raise OtherState(f"the sync points of {name} have changed since you looked: look again")
            planned = sync_points.plan(settings, frontier, name, request, by, now)
            with frontier.answering(self._promise(lambda _: msgspec.json.encode(planned.changed))):
                return planned.write(frontier)

        return self._engine.runs.with_frontier(work)

    def _cancel(self, run: int) -> run_history.Cancelled:
        request = msgspec.json.decode(self._body, type=run_history.CancelRequest)
        act = run_history.cancel_act(run, request, self._by, self._now)
        under_way = self._engine.insight.requests_of(run)
        cancelled = run_history.Cancelled(requests=under_way)
        if not self._engine.runs.cancel(run, act, self._promise(lambda result: msgspec.json.encode(cancelled))):
            raise run_history.not_running(self._reader, run)
        return cancelled

    def _retry_run(self, run: int) -> run_acts.RunRetried:
        numbers = run_acts.letters_of(self._reader, run)
        act = run_acts.retry_act(run, numbers, self._by, self._now)
        left = run_acts.are_left(numbers)
        promise = self._promise(lambda result: msgspec.json.encode(run_acts.RunRetried(retried=result[0], left=left)))
        return run_acts.RunRetried(retried=self._engine.runs.retry_dead(numbers, act, promise), left=left)

    def _drop_run(self, run: int) -> run_acts.Dropped:
        request = msgspec.json.decode(self._body, type=run_acts.DropRequest)
        run_acts.check_drop(self._reader, run, self._engine.settings.imports, under_way=True)
        act = run_acts.drop_act(run, request, self._by, self._now)
        dropped = run_acts.Dropped(run=run)
        promise = self._promise(lambda result: msgspec.json.encode(dropped))
        if not self._engine.runs.cancel(run, act, promise, forget=True):
            raise run_acts.dropped_already(run)
        return dropped

    def _pause(self) -> list[Any]:
        request = msgspec.json.decode(self._body, type=pause_requests.PauseRequest)
        noted = pause_requests.notes(request, ConfiguredNames(self._engine.settings), self._reader, self._by, self._now)
        self._engine.pauses.pause(*noted, promise=self._promise(lambda runs: msgspec.json.encode(noted)))
        return noted

    def _resume(self, kind: Pausable, name: str) -> list[Any]:
        if not self._engine.pauses.resume(kind, name, self._by, self._promise(lambda runs: b"[]")):
            raise pause_requests.not_paused(kind, name)
        return []

    def _lower(self, account: str) -> LimitNote:
        request = msgspec.json.decode(self._body, type=limit_requests.LimitRequest)
        configured = ConfiguredNames(self._engine.settings)
        noted = limit_requests.note(account, request, configured, self._reader, self._by, self._now)
        self._engine.lowering.lower(noted, self._promise(lambda result: msgspec.json.encode(noted)))
        return noted

    def _end_lowered(self, account: str) -> None:
        bucket = self._asked.get("bucket", "")
        if not self._engine.lowering.end(account, bucket, self._by, self._promise(lambda result: b"null")):
            raise limit_requests.not_lowered(account, bucket)
