"""Tasks that people and programs submit: through the daemon, or into the files while none runs; and what the inbox has
rejected."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import msgspec

from crawlerd.core.errors import FrontierError
from crawlerd.engine.joining import NotNow
from crawlerd.engine.pausing import ImportPaused
from crawlerd.engine.starting import SUBMITTED
from crawlerd.engine.submittable import NotATask, TaskRequest, task_of
from crawlerd.frontier.contract import StartedRun
from crawlerd.frontier.reports import Act
from crawlerd.frontier.submission_contract import Chunk, Rejection, Submitted
from crawlerd.operations.problem import Refused, Unknown

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from crawlerd.config.load import Settings
    from crawlerd.core.task import NewTask
    from crawlerd.engine.engine import Engine
    from crawlerd.frontier.acts_contract import Promise
    from crawlerd.frontier.contract import Frontier
    from crawlerd.frontier.reader_contract import FrontierReader

MOST = 500  # most tasks of one request


class TasksRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Tasks to submit to an import."""

    tasks: Annotated[list[TaskRequest], msgspec.Meta(min_length=1, max_length=MOST)]


class TasksSubmitted(msgspec.Struct, frozen=True, kw_only=True):
    """Submitted tasks.

    run: the run that has them.
    began: the run is new, and has no other tasks.
    added: how many tasks are new in it.
    repeated: how many it already had; these are not performed again.
    """

    run: int
    began: bool
    added: int
    repeated: int


class InboxReport(msgspec.Struct, frozen=True, kw_only=True):
    """The inbox.

    path: None if no inbox is configured.
    import_name: the import of its tasks.
    rejected: how many items were rejected in all.
    rejections: the newest of them.
    """

    path: str | None
    import_name: str | None = msgspec.field(name="import")
    rejected: int
    rejections: list[Rejection]


def by_engine(
    engine: Engine, name: str, body: bytes, by: str, promised: Callable[[Callable[[Any], bytes]], Promise | None]
) -> TasksSubmitted:
    """Submits tasks through the engine.

    promised: makes a promise to keep the answer, from a function that makes the answer from the frontier's result.
    """
    tasks = _tasks(engine.settings, name, msgspec.json.decode(body, type=TasksRequest))
    promise = promised(lambda result: msgspec.json.encode(_answer(result, len(tasks))))
    chunk = Chunk(act=_act(name, tasks, by, time.time()))
    joined = engine.joining.submit(name, tasks, began=f"by {by}", chunk=chunk, promise=promise)
    return TasksSubmitted(run=joined.run, began=joined.began, added=joined.added, repeated=len(tasks) - joined.added)


def here(
    settings: Settings, frontier: Frontier, name: str, request: TasksRequest, by: str, now: float
) -> TasksSubmitted:
    """Adds tasks to a frontier that no process works on. The next one that does performs them."""
    tasks = _tasks(settings, name, request)
    for note in frontier.pauses():
        if (note.kind, note.name) == ("import", name):
            raise ImportPaused(note)
    spec = settings.imports[name]
    if spec.priority is not None:
        tasks = [task.prioritised(spec.priority) for task in tasks]
    chunk = Chunk(act=_act(name, tasks, by, now))
    runs = frontier.running_runs(name)
    for run in reversed(runs):
        if frontier.run(run).sample is None and (found := frontier.submit(run, tasks, now, chunk)) is not None:
            return _answer(found, len(tasks))
    if runs:
        raise NotNow(f"run {runs[-1]} of import {name} takes only a sample: `crawlerd import {name}` ends it first")
    account = settings.accounts[spec.account]
    source = settings.sources[account.source]
    started = frontier.start_run(
        name,
        frontier.account_numbers({account.name: account.source})[account.name],
        tasks,
        full=False,
        now=now,
        ad_hoc=SUBMITTED,
        added=tuple(stream for stream in spec.streams if stream in source.added),
        began=f"by {by}",
        submitted=True,
        chunk=chunk,
    )
    return _answer(started, len(tasks))


def inbox_report(settings: Settings, reader: FrontierReader | None, most: int) -> InboxReport:
    found = reader.rejections(most) if reader else []
    inbox = settings.inbox
    return InboxReport(
        path=str(inbox.path) if inbox else None,
        import_name=inbox.import_name if inbox else None,
        rejected=found[0].id if found else 0,
        rejections=found,
    )


def _tasks(settings: Settings, name: str, request: TasksRequest) -> list[NewTask]:
    if name not in settings.imports:
        raise Unknown(f"there is no import {name} in the configuration")
    try:
        return [task_of(settings, name, each) for each in request.tasks]
    except NotATask as error:
        raise Refused(str(error)) from None


def _act(name: str, tasks: list[NewTask], by: str, now: float) -> Act:
    """The audit's entry."""
    return Act(now, by, "submit", f"import {name}", ", ".join(sorted({task.kind for task in tasks})), len(tasks))


def _answer(result: object, asked: int) -> TasksSubmitted:
    """The frontier's answer."""
    match result:
        case Submitted():
            return TasksSubmitted(run=result.run, began=False, added=result.added, repeated=asked - result.added)
        case StartedRun():
            return TasksSubmitted(run=result.run, began=True, added=asked, repeated=0)
    raise FrontierError("the frontier's answer is of an unexpected type")
