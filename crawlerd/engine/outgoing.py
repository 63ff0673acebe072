"""Tasks that deliver what a sink keeps: what they send, and what the sink is told of their end."""

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
    from crawlerd.engine.sink_writer import Target
    from crawlerd.frontier.contract import Settled
    from crawlerd.sink import Outbox, Sink

KIND = "http.outbox"


class Asked(msgspec.Struct, frozen=True):
    """Of a task's arguments, what tells the batch; see `crawlerd.sinks.sqlite.outbox.Task`."""

    database: str
    batch: int
    token: int
    records: int


_asked = msgspec.json.Decoder(Asked).decode


def outbox_of(sink: Sink | None) -> Outbox | None:
    outbox: Outbox | None = getattr(sink, "outbox", None)
    return outbox


def filled(kind: str, payload: str) -> str | None:
    """A task's arguments with what is to be sent; None when that is nothing any more."""
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
    """What the sink is told of the end of a task that it has asked for; None where it has not ended so."""
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
    """Lets what was written have the tasks follow that the outbox asks for.

    instead: of tasks that are not committed as they are in the parcel; gets those that are not from now on.
    targets: of the runs.
    """
    errands = outbox.take_errands()
    for settled in parcel:
        settled = instead.get(settled.task.seq) or settled
        outcome = settled.outcome
        if isinstance(settled, Ahead) or not isinstance(outcome, Complete | Bury):
            continue
        tasks = targets[settled.task.run].each(errands.pop(settled.task.run, []))
        told = receipt(settled.task, outcome)
        if told and told.state == "split":  # its half goes on in another task
            outcome = Complete(errands=tasks)
        elif told and isinstance(outcome, Bury):
            outcome = msgspec.structs.replace(outcome, kept=True, errands=tasks)
        elif tasks:
            outcome = msgspec.structs.replace(outcome, errands=tasks)
        if outcome is not settled.outcome:
            instead[settled.task.seq] = msgspec.structs.replace(settled, outcome=outcome)
