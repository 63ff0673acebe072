"""The inbox: takes tasks that other programs put into a queue of persist-queue, checks them, and adds them to a run.

Tasks are taken in chunks. One transaction of the frontier adds the tasks of a chunk and stores a note of it; afterwards
the chunk is removed from the queue. If the process dies in between, the next one finds the note, so no task is taken
twice. At most one chunk is in memory.
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

LOOK_SECONDS = 1.0  # between two looks for tasks
ITEMS, ITEM_BYTES = 500, 4 << 20  # most items, and their bytes, in a chunk
MOST_OPEN = 20_000  # if a run has more open tasks, further tasks wait in the queue
AGAIN_SECONDS = 60.0  # between two looks at items that were there before: a person may have put one back
BEGAN = "the inbox"  # who has started its runs, for people


class Inbox:
    """Takes tasks from the inbox on a thread of its own, `watch`."""

    def __init__(self, settings: Settings, frontier: Frontier, store: StoreInbox, joining: Joining) -> None:
        self._settings, self._frontier, self._store, self._joining = settings, frontier, store, joining
        self.watch = QueueWatch("inbox", self._look, "tasks wait in the inbox")
        self._queue: AckQueue | None = None
        self._spec: InboxSpec | None = None  # the settings of the open queue
        self._left: Sequence[InboxItem] | None = None  # taken, but perhaps still in the queue; None: not known yet
        self._after = 0  # items up to this number were handled
        self._version: int | None = None  # the queue's version when it was last found empty
        self._looked_at = 0.0  # when all items were last looked at; monotonic seconds
        self._full: int | None = None  # a run that has MOST_OPEN tasks

    def take(self, spec: InboxSpec | None) -> None:
        """Applies another configuration. On the store's thread."""
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
                self.watch.rest(time.monotonic() - began)  # leaves the store to the runs for as long
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
        """Takes one chunk. Returns whether there may be more."""
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
        """Whether tasks must wait, because the run has enough to do or must end."""
        if self._full is not None and self._joining.open(self._full) >= MOST_OPEN // 2:
            return True
        self._full = None
        return self._joining.must_wait(spec.import_name)

    def _settle(self, queue: AckQueue, items: Sequence[InboxItem]) -> None:
        """Removes items that were taken from the queue, or marks them as rejected."""
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
        """A redaction of the credentials that must not be stored with an item."""
        imports, accounts = self._settings.imports, self._settings.accounts
        account = accounts.get(imports[spec.import_name].account) if spec.import_name in imports else None
        return redaction((account.secret,) if account else ())
