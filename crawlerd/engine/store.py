"""The store thread, the only writer of the frontier. It writes each group of outcomes to the sinks first, then commits
it to the frontier in one transaction, then sends the dispatcher new task heads."""

from __future__ import annotations

import threading
import time
from collections import Counter
from queue import Empty
from typing import TYPE_CHECKING, assert_never

from crawlerd.core.errors import CrawlerdError, FrontierError, FrontierRefused, StorageFailed, SyncFailed
from crawlerd.core.log_events import Event, tell
from crawlerd.core.outcome import Bury, Complete
from crawlerd.core.reasons import Reason
from crawlerd.engine.letter_news import LetterNews
from crawlerd.engine.store_inbox import AskQuota, Outcomes, Refill, Signal, Sleep, Void, Wake
from crawlerd.frontier.contract import Ahead
from crawlerd.frontier.waiting_contract import Block
from crawlerd.ratelimit.quota import DurableWindows, Quota, grant, used_text

if TYPE_CHECKING:
    from crawlerd.core.task import Task
    from crawlerd.engine.clock import Clock
    from crawlerd.engine.prefetch import Prefetch
    from crawlerd.engine.protocols import CommitReceiver, StoreEvents
    from crawlerd.engine.sink_writer import SinkWriter
    from crawlerd.engine.store_inbox import StoreInbox
    from crawlerd.frontier.contract import Committed, Frontier, Settled
    from crawlerd.frontier.waiting_contract import Queue
    from crawlerd.ratelimit.quota import Ask, Grant

GROUP_TASKS = 2000
GROUP_SECONDS = 0.010
TROUBLE_SECONDS = 1.0  # between two tries while a disk is full or a sink refuses
BEAT_SECONDS = 1.0
NOTED_SECONDS = 5.0  # a shorter wait for a quota is not stored
IDLE_SECONDS = 5.0  # after this time without a commit, files are truncated that were kept large for speed


class Store:
    """Writes outcomes to the sinks and the frontier. Runs on a thread of its own between `start` and `stop`. Other
    threads talk to it through its inbox.

    progress_at: when its thread was last seen running; monotonic seconds.
    counts: counts of commits, sinks and runs, for metrics.
    """

    def __init__(
        self,
        frontier: Frontier,
        clock: Clock,
        inbox: StoreInbox,
        writer: SinkWriter,
        prefetch: Prefetch,
        dispatcher: CommitReceiver,
        events: StoreEvents,
    ) -> None:
        self._frontier, self._clock, self._inbox = frontier, clock, inbox
        self._writer, self._prefetch, self._dispatcher, self._events = writer, prefetch, dispatcher, events
        self._windows = DurableWindows(frontier.quota_rows)
        self._letters = LetterNews(lambda run: frontier.run(run).import_name)
        self._asks: list[Ask] = []
        self._void: list[Void] = []
        self._unanswered = 0  # portions whose sender still waits for an answer
        self._wanted: Counter[Queue] = Counter()  # how many task heads the dispatcher wants, by queue
        self._held: set[int] = set()  # runs whose sinks refuse, as far as an event was noted for them
        self._stopping = frontier.stopping
        frontier.away = self._away
        self._thread = threading.Thread(target=self._run, name="store")
        self._committed_at, self._rested = 0.0, False  # whether files have been truncated since the last commit
        self._trouble: str | None = None
        self.progress_at, self.counts = time.monotonic(), writer.counts
        self._attempts, self._stamps = 0, 0.0  # attempts to commit, and the sum of the times their outcomes came

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Commits the outcomes received so far, then ends the thread. Outcomes that cannot be committed, for example on
        a full disk, are lost: their tasks are done again after the next start."""
        self._stopping.set()
        self._inbox.stop()
        if self._thread.ident is not None:  # the thread was started
            self._thread.join()

    # read by others

    @property
    def trouble(self) -> str | None:
        """What holds up all runs, or else some of them: a full disk, or a sink that refuses."""
        return self._trouble or next(iter(self.stuck.values()), None)

    @property
    def disk_trouble(self) -> bool:
        """Whether the frontier itself cannot be written."""
        return self._trouble is not None

    @property
    def stuck(self) -> dict[int, str]:
        """Runs that are held up, with the reason."""
        return dict.fromkeys(self._writer.targets, self._trouble) if self._trouble else self._writer.stuck()

    @property
    def stuck_sinks(self) -> set[str]:
        """The names of the sinks that refuse."""
        targets = self._writer.targets
        return {
            target.sink_name
            for run in self._writer.stuck()
            if (target := targets.get(run)) is not None and target.sink_name is not None
        }

    # the thread

    def _run(self) -> None:
        try:
            while self._step():
                pass
        except BaseException as error:  # noqa: BLE001 - top of a thread
            self._inbox.fail()
            self._events.failed(error)

    def _step(self) -> bool:
        group, size, going_on = self._collect()
        due = self._frontier.next_due()
        overdue = (due is not None and due <= self._clock.now()) or self._writer.due(time.monotonic())
        if group or self._asks or self._void or self._inbox.notes or overdue or self._frontier.chores:
            self._commit(group, size)
        elif not self._rested and time.monotonic() - self._committed_at > IDLE_SECONDS:
            self._rested = self._frontier.idle()
            self._events.idle()
        for bucket, block in self._prefetch.let_sleep().items():
            self._inbox.block(bucket, block)
        self._prefetch.wake_unblocked()
        self.progress_at = time.monotonic()
        self._events.beat()
        return going_on

    def _collect(self) -> tuple[list[Settled], int, bool]:
        """Takes outcomes from the inbox until a group is full or its time is over. Answers other messages meanwhile.
        Returns the group, the bytes of its records, and False when the thread must end after it."""
        group: list[Settled] = []
        size, going_on = 0, True
        messages = self._inbox.messages
        due = self._frontier.next_due()
        wait = BEAT_SECONDS if due is None else min(BEAT_SECONDS, max(0.0, due - self._clock.now()))
        wait = min(wait, max(0.0, self._prefetch.unblocked_at - time.monotonic()))
        if self._frontier.chores:
            wait = min(wait, GROUP_SECONDS)
        while len(group) < GROUP_TASKS:
            if self._wanted and messages.empty():
                self._refill()
            try:
                message = messages.get(timeout=wait)
            except Empty:
                break
            match message:
                case Outcomes():
                    group += message.group
                    size += message.size
                    self._unanswered += message.portions
                    attempts = len(message.group) - message.portions
                    self._attempts += attempts
                    self._stamps += attempts * message.at
                case Void():
                    self._void.append(message)
                case Refill():
                    self._wanted[message.queue] += message.count
                case Signal.CALL:
                    self._answer_call()
                case AskQuota():
                    self._asks.append(message.ask)
                case Sleep():
                    self._prefetch.drowsy.append(message)
                case Wake():
                    self._prefetch.wake(message.count)
                case Signal.STOP:
                    going_on = False
                    break
                case _:
                    assert_never(message)
            if group or self._asks:
                wait = self._committed_at + GROUP_SECONDS - time.monotonic()
                if wait <= 0 and messages.empty():
                    break
                wait = max(wait, 0.0)
        self._refill()
        return group, size, going_on

    def _refill(self) -> None:
        wanted, self._wanted = self._wanted, Counter()
        if wanted:
            self._prefetch.refill(wanted)

    def _answer_call(self) -> bool:
        """Runs the next function that another thread has sent. Returns whether there was one."""
        call = self._inbox.next_call()
        if call is None:
            return False
        future, function = call
        try:
            result = function()
            self._follow_writer()
            future.set_result(result)
        except (SyncFailed, FrontierRefused) as error:  # the frontier must not be used any more
            future.set_exception(error)
            raise
        except CrawlerdError as error:
            self._give_up_abandoned()
            future.set_exception(error)
        except BaseException:
            future.set_exception(FrontierError("the store has stopped"))  # otherwise its caller would wait forever
            raise
        return True

    def _commit(self, group: list[Settled], size: int) -> None:
        received = len(group)
        void, self._void = self._void, []
        asks, self._asks = self._asks, []
        notes = self._inbox.take_notes()
        for event in notes.events:
            self._frontier.happened(*event, self._clock.now())
        grants: list[Grant] = []

        def charge() -> None:
            grants[:] = [each for ask in asks if (each := grant(self._windows, ask, self._clock.now()))]

        group, late = self._fence(group) if self._writer.fenced else (group, [])
        mark, began = self._frontier.mark, time.monotonic()
        delivered = self._writer.deliver(group, self._clock.now(), began, mark)
        sink_seconds = time.monotonic() - began if delivered.written else 0.0
        self._writer.void({each.token for each in void})
        group, ahead = self._portions(delivered.group)
        while True:
            if self._writer.fenced:  # a run may have been cancelled since the last try
                group, gone = self._fence(group)
                late = [*late, *gone, *(each for each in ahead if each.task.run in self._writer.fenced)]
                ahead = [each for each in ahead if each.task.run not in self._writer.fenced]
            if undone := self._writer.undone():
                delivered = self._writer.deliver_again(undone, [*group, *ahead], delivered, self._clock.now(), mark)
                group, ahead = self._portions(delivered.group)
            began = time.monotonic()
            try:
                self.counts.changed(delivered.totals, self._writer.targets, self._frontier.tallied)
                committed = self._frontier.commit(
                    group,
                    now=self._clock.now(),
                    blocked=notes.blocked,
                    learned=notes.learned,
                    outages=notes.outages,
                    charge=charge,
                    totals=delivered.totals,
                    written=delivered.written,
                    ahead=[each for each in ahead if isinstance(each.outcome, Complete)],
                    void=[(each.task, each.token) for each in void],
                )
                break
            except StorageFailed as error:
                if not error.full:
                    raise
                if self._frontier.shared:
                    self._frontier.shared.give_up()
                self._away(str(error))
                while self._answer_call():  # callers get the error, unless they need no disk
                    pass
                if self._stopping.wait(TROUBLE_SECONDS):
                    return
        if self._trouble:
            self._away("")
        self._committed_at, self._rested = time.monotonic(), False
        self.counts.committed(len(group), self._committed_at - began)
        self.counts.waited(self._attempts, self._attempts * self._committed_at - self._stamps, sink_seconds)
        self._attempts, self._stamps = 0, 0.0
        # Outcomes that wait for a sink are bounded in another way: tasks of their runs are not leased.
        self._inbox.committed(received, size)
        late, fenced = self._portions(late)
        self._answer(ahead, fenced)
        touched = self._prefetch.done([*group, *late] if late else group)
        if grants:
            self._dispatcher.granted(grants)
            self._note_used_up([each for each in grants if not each.starts])
        self.arrived(committed)
        self._follow_writer()
        self._prefetch.drop_empty(touched)
        self._dispatcher.has_room()

    def _note_used_up(self, refused: list[Grant]) -> None:
        """Stores with the next commit which buckets wait for a quota, so that people can see it even after a crash."""
        accounts: dict[int, Block] = {}
        now = self._clock.now()
        for each in refused:
            assert isinstance(each.quota, Quota)  # noqa: S101 - shared windows are asked for elsewhere
            if each.until - now < NOTED_SECONDS:
                continue
            block = Block(each.until, Reason.QUOTA, used_text(each.quota.item, each.used))
            if each.quota.bucket:
                self._inbox.block(each.quota.bucket, block)
            else:
                accounts[each.quota.account] = block
        for bucket, account in self._prefetch.awake_of(accounts) if accounts else ():
            self._inbox.block(bucket, accounts[account])

    def _portions(self, group: list[Settled]) -> tuple[list[Settled], list[Ahead]]:
        """Separates the outcomes of a group from its portions."""
        portions = [each for each in group if isinstance(each, Ahead)] if self._unanswered else []
        return [each for each in group if not isinstance(each, Ahead)] if portions else group, portions

    def _answer(self, ahead: list[Ahead], fenced: list[Ahead]) -> None:
        """Answers the senders of portions: `ahead` was written or buried, `fenced` belongs to abandoned runs."""
        dropped, self._writer.dropped = self._writer.dropped, []
        for portion in ahead:
            self._dispatcher.stored(portion.token, portion.outcome.error if isinstance(portion.outcome, Bury) else "")
        for portion in (*fenced, *dropped):
            self._dispatcher.stored(portion.token, "its run was abandoned")
        self._unanswered -= len(ahead) + len(fenced) + len(dropped)

    def arrived(self, committed: Committed) -> None:
        """Passes on which tasks have become ready and which runs have ended. Called on the store's thread."""
        for run, count in committed.enqueued.items():
            if run in self._writer.targets:
                self.counts.enqueued[self._writer.targets[run].source] += count
        if committed.borrowed:
            self._events.borrowed(committed.borrowed)
        for long in committed.long:
            name = self._frontier.run(long.run).import_name
            tell(
                Event.RUN_GROWS,
                "import %s: run %d has done %s tasks, the last full run %s: a list may have no end",
                *(name, long.run, f"{long.done:,}", f"{long.usual:,}"),
                run=long.run,
                import_name=name,
                tasks=long.done,
                usual=long.usual,
            )
        self._letters.tell(committed.first_letters)
        self._prefetch.arrived(committed)
        if committed.ended:
            self._letters.forget(committed.ended)
            self._held.difference_update(committed.ended)
            for run in committed.ended:
                self._writer.end(run)
            self._events.ended(committed.ended)

    def _fence(self, group: list[Settled]) -> tuple[list[Settled], list[Settled]]:
        """Separates the outcomes that count from those of abandoned runs. The dispatcher, which keeps throttled tasks
        in memory, is told to drop those of abandoned runs."""
        fenced = self._writer.fenced
        if late := [settled for settled in group if settled.task.run in fenced]:
            self._dispatcher.withdraw({settled.task.run for settled in late}, self._withdrawn)
            group = [settled for settled in group if settled.task.run not in fenced]
        return group, late

    def _follow_writer(self) -> None:
        """Withdraws the tasks of runs whose sink has begun to refuse, or that were paused, from the dispatcher. Offers
        them again when the sink accepts records, or the run is resumed."""
        writer = self._writer
        if writer.fell_out:
            self._dispatcher.withdraw(writer.fell_out, self._withdrawn)
            stuck = writer.stuck()
            for run in writer.fell_out.intersection(stuck):
                self._held.add(run)
                self._inbox.note_event(run, f"the sink holds it up: {stuck[run]}")
            writer.fell_out = set()
        for sink in writer.replaced:
            self._events.replaced(sink)
        writer.replaced = []
        self._give_up_abandoned()
        if writer.came_back:
            self._prefetch.offer_runs(list(writer.came_back))
            for run in self._held.intersection(writer.came_back):
                self._inbox.note_event(run, "the sink takes records again")
            self._held -= writer.came_back
            writer.came_back = set()

    def _away(self, trouble: str) -> None:
        """See `WaitingTasks.away`. Requests go out meanwhile, until the backlog is full."""
        if trouble and trouble != self._trouble:
            tell(Event.FRONTIER_HELD, "%s; nothing is lost, trying again every second", trouble, error=trouble)
        elif self._trouble and not trouble:
            tell(Event.FRONTIER_RELEASED, "recovered: %s", self._trouble, error=self._trouble)
        self._trouble, self.progress_at = trouble or None, time.monotonic()
        self._events.beat()

    def _give_up_abandoned(self) -> None:
        """Reports the runs that were abandoned since the last call."""
        if self._writer.abandoned:
            abandoned, self._writer.abandoned = self._writer.abandoned, []
            self._dispatcher.withdraw(abandoned, self._withdrawn)
            self._events.ended(abandoned)

    def _withdrawn(self, tasks: list[Task]) -> None:
        self._inbox.call(lambda: self._take_back(tasks))

    def _take_back(self, tasks: list[Task]) -> None:
        """Takes back tasks that the dispatcher had in memory and has not leased."""
        self._prefetch.withdrawn(tasks)
        again = {task.run for task in tasks if task.run in self._writer.serving}  # runs that were resumed meanwhile
        self._prefetch.offer_runs(list(again))
