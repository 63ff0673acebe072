"""Tasks that deliver the records of a sink's outbox: fills in what they send, and reports their end to the outbox."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from crawlerd.core.errors import SinkError, Transient
from crawlerd.core.outcome import Bury, Complete
from crawlerd.frontier.contract import Ahead
from crawlerd.sink import Receipt
from crawlerd.sinks import batch_to_send

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crawlerd.core.outcome import Outcome
    from crawlerd.core.task import Task
    from crawlerd.engine.sink_target import Target
    from crawlerd.frontier.contract import Settled
    from crawlerd.sink import Outbox, Sink

KIND = "http.outbox"


class Asked(msgspec.Struct, frozen=True):
    """The part of a task's arguments that identifies its batch; see `crawlerd.sinks.sqlite.outbox.Task`."""

    database: str
    batch: int
    token: int
    records: int


_asked = msgspec.json.Decoder(Asked).decode


def outbox_of(sink: Sink | None) -> Outbox | None:
    outbox: Outbox | None = getattr(sink, "outbox", None)
    return outbox


def filled(kind: str, payload: str) -> str | None:
    """The arguments of a task, with the records to send; None when there are none any more. Raises Transient when the
    outbox cannot be read."""
    if kind != KIND:
        return payload
    asked = _asked(payload)
    try:
        sending = batch_to_send(Path(asked.database), asked.batch, asked.token)
    except SinkError as error:
        raise Transient(str(error)) from None
    if sending is None:
        return None
    arguments: dict[str, object] = msgspec.json.decode(payload, type=dict[str, msgspec.Raw])
    arguments |= {
        "idempotency_key": sending.idempotency_key,
        "what": sending.what,
        "data": [msgspec.Raw(b"null" if each is None else each) for each in sending.data],
    }
    if sending.method:
        arguments |= {"method": sending.method, "path": sending.path, "alone": True}
    return msgspec.json.encode(arguments).decode()


def receipt(task: Task, outcome: Outcome) -> Receipt | None:
    """The receipt for the sink, when a delivery task has ended; None for other tasks, and if it will be retried."""
    if task.kind != KIND or not isinstance(outcome, Complete | Bury):
        return None
    asked = _asked(task.payload)
    if isinstance(outcome, Complete):
        return Receipt(asked.batch, asked.token, "done")
    if outcome.about == "later":
        return Receipt(asked.batch, asked.token, "later")
    return Receipt(asked.batch, asked.token, "split" if outcome.about == "data" and asked.records > 1 else "refused")


def follow(
    outbox: Outbox, parcel: list[Settled], instead: dict[int, Settled | None], targets: Mapping[int, Target]
) -> None:
    """Adds the tasks that the outbox has asked for to the outcomes that were written.

    parcel: the outcomes that were written.
    instead: changed outcomes, by task number, which replace those of the parcel; this adds more.
    targets: the targets of the runs.
    """
    errands = outbox.take_errands()
    for settled in parcel:
        settled = instead.get(settled.task.seq) or settled
        outcome = settled.outcome
        if isinstance(settled, Ahead) or not isinstance(outcome, Complete | Bury):
            continue
        tasks = targets[settled.task.run].each(errands.pop(settled.task.run, []))
        told = receipt(settled.task, outcome)
        if told and told.state == "split":  # its records are sent by new tasks, each with half of them
            outcome = Complete(errands=tasks)
        elif told and isinstance(outcome, Bury):
            outcome = msgspec.structs.replace(outcome, kept=True, errands=tasks)
        elif tasks:
            outcome = msgspec.structs.replace(outcome, errands=tasks)
        if outcome is not settled.outcome:
            instead[settled.task.seq] = msgspec.structs.replace(settled, outcome=outcome)
