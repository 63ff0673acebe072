"""The inbox: tasks that other programs put into a queue of persist-queue are taken, checked, and given to a run.

A chunk is noted in the frontier in the transaction that takes its tasks, and leaves the queue afterwards. Killed
between the two, the next process finds the note, and takes nothing twice. Its thread has one chunk in memory at most.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from crawlerd.core.log_events import Event, tell
from crawlerd.core.redaction import printable, redaction
from crawlerd.engine.queue_watch import QueueWatch
from crawlerd.engine.submittable import LARGEST, SHOWN, NotATask, request_of, task_of
from crawlerd.frontier.submission_contract import Chunk, InboxItem, Rejection
from crawlerd.sinks.ack_queue import AckQueue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crawlerd.config.load import Settings
    from crawlerd.core.configuration import InboxSpec
    from crawlerd.core.redaction import Redaction
    from crawlerd.core.task import NewTask
    from crawlerd.engine.joining import Joining
    from crawlerd.engine.store_inbox import StoreInbox
    from crawlerd.frontier.contract import Frontier
    from crawlerd.sinks.ack_queue import Item

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0  # between looks for tasks
ITEMS, ITEM_BYTES = 500, 4 << 20  # that one chunk has
MOST_OPEN = 20_000  # tasks of the run; with more, the others wait in the queue
AGAIN_SECONDS = 60.0  # between looks at items that were there before: somebody may have put one back
BEGAN = "the inbox"  # who has started its runs


class Inbox:
    """watch: its thread."""

    def __init__(self, settings: Settings, frontier: Frontier, store: StoreInbox, joining: Joining) -> None:
        self._settings, self._frontier, self._store, self._joining = settings, frontier, store, joining
        self.watch = QueueWatch("inbox", self._look, "tasks wait in the inbox")
        self._queue: AckQueue | None = None
        self._spec: InboxSpec | None = None  # of the queue that is open
        self._left: Sequence[InboxItem] | None = None  # noted, and perhaps in the queue still; None: not known yet
        self._after = 0  # items up to it were dealt with
        self._version: int | None = None  # of the queue, when there was nothing more in it
        self._looked_at = 0.0  # at all items; monotonic
        self._full: int | None = None  # a run that has MOST_OPEN tasks

    def take(self, spec: InboxSpec | None) -> None:
        """Another configuration, on the store's thread."""
        self._settings.inbox = spec
        self.watch.wake()

    # the thread

    def _look(self) -> float:
        spec = self._settings.inbox
        try:
            queue = self._opened(spec)
            if spec is None or queue is None:
                return LOOK_SECONDS
            while not self.watch.stopping:
                began = time.monotonic()
                if not self._take_chunk(spec, queue):
                    return LOOK_SECONDS
                self.watch.rest(time.monotonic() - began)  # what runs has the store for as long
        except BaseException:
            self._close()
            raise
        self._close()
        return LOOK_SECONDS

    def _opened(self, spec: InboxSpec | None) -> AckQueue | None:
        if self._queue is not None and (spec != self._spec or not self._queue.intact):
            self._close()
        if spec is not None and self._queue is None:
            self._queue, self._spec = AckQueue(spec.path, spec.mode), spec
            self._after, self._version, self._full = 0, None, None
        return self._queue

    def _close(self) -> None:
        if self._queue is not None:
            self._queue.close()
            self._queue = None

    def _take_chunk(self, spec: InboxSpec, queue: AckQueue) -> bool:
        """Whether there may be more."""
        if self._left is None:
            self._left = self._store.call(self._frontier.inbox_items).result()
        if self._left:
            self._settle(queue, self._left)
        version = queue.version()
        if version == self._version:
            return False
        if self._must_wait(spec):
            return False
        if time.monotonic() - self._looked_at > AGAIN_SECONDS:
            self._after, self._looked_at = 0, time.monotonic()
        items = queue.next(after=self._after, most=ITEMS, most_bytes=ITEM_BYTES, largest=LARGEST)
        if not items:
            queue.complain()
            if self._after == 0:
                self._version = version
            return False
        chunk, tasks = self._checked(spec, items)
        if tasks:
            joined = self._joining.submit(spec.import_name, tasks, began=BEGAN, chunk=chunk)
            self._full = joined.run if joined.open >= MOST_OPEN else None
            log.debug("inbox: %d tasks for run %d, %d of them new", len(tasks), joined.run, joined.added)
        else:
            self._joining.note(chunk)
        for each in chunk.rejections:
            tell(
                Event.TASK_REJECTED,
                "inbox: item %d was rejected: %s",
                *(each.item, each.reason),
                import_name=spec.import_name,
                item=each.item,
                reason=each.reason,
            )
        self._left = chunk.items
        self._settle(queue, chunk.items)
        self._after = items[-1].number
        return True

    def _must_wait(self, spec: InboxSpec) -> bool:
        """The run has enough to do, or is to end."""
        if self._full is not None and self._joining.open(self._full) >= MOST_OPEN // 2:
            return True
        self._full = None
        return self._joining.must_wait(spec.import_name)

    def _settle(self, queue: AckQueue, items: Sequence[InboxItem]) -> None:
        """Items that were noted leave the queue, or are marked in it."""
        taken = [(each.number, each.put_at) for each in items if not each.rejected]
        queue.settle(taken, [(each.number, each.put_at) for each in items if each.rejected])
        self._left = ()

    def _checked(self, spec: InboxSpec, items: Sequence[Item]) -> tuple[Chunk, list[NewTask]]:
        tasks: list[NewTask] = []
        noted: list[InboxItem] = []
        rejections: list[Rejection] = []
        known = self._credentials(spec)
        for item in items:
            try:
                tasks.append(task_of(self._settings, spec.import_name, request_of(item.data, item.size)))
            except NotATask as error:
                text = (item.data or b"")[: 4 * SHOWN].decode(errors="replace")
                text = printable(known.text(text))[:SHOWN]
                rejections.append(Rejection(item.number, item.put_at, text, known.text(str(error))))
            noted.append(InboxItem(item.number, item.put_at, bool(rejections and rejections[-1].item == item.number)))
        return Chunk(noted, rejections), tasks

    def _credentials(self, spec: InboxSpec) -> Redaction:
        """What must not be kept of what was put."""
        imports, accounts = self._settings.imports, self._settings.accounts
        account = accounts.get(imports[spec.import_name].account) if spec.import_name in imports else None
        return redaction((account.secret,) if account else ())
