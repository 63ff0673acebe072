"""A generic account at any HTTP API: it receives deliveries of records in batches, and requests from other accounts."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

import msgspec

from crawlerd.core import template
from crawlerd.core.durations import parse_duration
from crawlerd.core.jsontext import compact
from crawlerd.core.lenient_json import encoded, parsed
from crawlerd.source import (
    Api,
    Denied,
    ForAccount,
    NotFound,
    Output,
    Permanent,
    Response,
    Source,
    TaskArgs,
    Throttled,
    Transient,
    Unauthorized,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crawlerd.core.errors import About

MOST_IN_BATCH = 1000
OF_DATA = (400, 413, 422)  # statuses that refuse the data, not the sender or the address


class Delivery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An import's `deliver`: short for a sink of the type `http`, in addition to its own sink or in place of it.

    account: an account of the source `http`.
    path: below its base URL.
    batch: most records in a request.
    attempts: how often a batch is tried before it is a dead letter.
    retry_delay: the duration between two attempts.
    expires: a duration: how long after the beginning of its run a batch may wait for a receiver that throttles it or
        refuses the credentials. Then the next run delivers it, so that no run waits without end.
    accepted: the dotted path of the response's field with the number of accepted records; "" for no check.
    records: the field of the request's body that has the records; "" if the body is the list itself.
    fields: the fields of a delivered record, each a template of `crawlerd.core.template`; {} for unchanged records.
    """

    account: str
    path: str
    batch: int = 500
    attempts: int = 3
    retry_delay: str = "5s"
    expires: str = "1d"
    accepted: str = ""
    records: str = ""
    fields: dict[str, str] = {}

    def __post_init__(self) -> None:
        if not self.path.startswith("/"):
            raise ValueError('path must begin with "/"; it is below the base_url of the account')
        if not 1 <= self.batch <= MOST_IN_BATCH:
            raise ValueError(f"batch must be from 1 to {MOST_IN_BATCH}")
        if not 1 <= self.attempts <= 1000:
            raise ValueError("attempts must be from 1 to 1000")
        parse_duration(self.retry_delay)
        parse_duration(self.expires)
        template.check_path(self.path)
        template.check(self.fields)
        if self.accepted:
            template.check_dotted(self.accepted)


def _at(data: Any, path: str) -> Any:
    """The value at a dotted path; None if there is none."""
    return reduce(lambda value, name: value.get(name) if isinstance(value, dict) else None, path.split("."), data)


def _classify(response: Response) -> Exception | None:
    if response.status == 409:  # the first request with this key is still under way
        return Transient("HTTP 409: conflict")
    return None


http = Source(
    "http",
    auth=lambda token: {"Authorization": f"Bearer {token}"} if token else {},
    key_optional=True,
    classify=_classify,
)


def _check_accepted(response: Response, path: str, sent: int) -> None:
    """Checks the number of accepted records. An answer without a number counts as an error, but not as a refusal:
    dividing the batch would send all of it again, with other keys, down to each record."""
    try:
        accepted = _at(parsed(response.utf8()), path)
    except (ValueError, RecursionError):
        accepted = None
    if not isinstance(accepted, int) or isinstance(accepted, bool):
        raise Transient(f"the receiver's response has no number of accepted records at {path}", about="later")
    if accepted != sent:
        raise Transient(f"the receiver accepted {accepted} of {sent} records", about="data")


@dataclass(frozen=True)
class Send(TaskArgs, kind="http.outbox"):
    """Sends a batch of a sink of the type `http`. The data are in the sink's outbox, and are read from there when the
    task is performed.

    database, batch, token: the outbox, the batch in it, and the token of the task that sends it.
    records: how many the batch had when the task was made.
    field: the field of the body that has the records; "" if the body is the list itself.
    retry_seconds: between two attempts.
    expires_at: Unix seconds.
    idempotency_key, data: of the batch; null is a tombstone.
    what: its first record, for people.
    alone: its only record is the body, sent to a path of its own.
    """

    database: str
    batch: int
    token: int
    records: int
    method: str
    path: str
    field: str
    accepted: str
    attempts: int
    retry_seconds: float
    expires_at: float
    idempotency_key: str = ""
    data: tuple[msgspec.Raw, ...] = ()
    what: str = ""
    alone: bool = False

    @property
    def named(self) -> str:
        """What it delivers, for people."""
        others = len(self.data) - 1
        return f"{self.what} and {others} others" if others else self.what


@http.handles(Send, stream="deliveries")
def send(api: Api, args: Send) -> Iterator[Output]:
    """Sends the batch. If the receiver refuses the data of the whole batch, the sink divides it. If it seems to refuse
    everything, the batch waits for a later run."""
    if not args.path:
        text = f"{args.named} has no value for a field of the path, or one that leads out of it (. or ..)"
        raise Permanent(text, about="data")
    gone = args.alone and bytes(args.data[0]) == b"null"
    status = 0

    def noted(response: Response) -> Exception | None:
        nonlocal status
        status = response.status
        return _classify(response)

    body: object = {args.field: args.data} if args.field else args.data
    if args.alone:
        body = None if gone else args.data[0]
    try:
        response = api.request(
            args.method,
            args.path,
            json=None if body is None else msgspec.Raw(encoded(body)),
            headers={"Idempotency-Key": args.idempotency_key},
            classify=noted,
        )
        if args.accepted and not gone:
            _check_accepted(response, args.accepted, len(args.data))
    except Permanent as error:
        if gone and status in (404, 410):  # the receiver does not have it any more either
            return
        about: About = "data" if status in OF_DATA or len(args.data) == 1 else "later"
        text = f"{error}, for {args.named}"
        raise type(error)(
            f"not delivered, the next run goes on: {text}" if about == "later" else text, about=about
        ) from None
    except (Transient, Throttled, Unauthorized) as error:
        text = f"{error}, for {args.named}"
        if time.time() >= args.expires_at:
            fault = error.fault if isinstance(error, Transient) else "task"
            late = f"not delivered in time, the next run goes on: {text}"
            raise Permanent(late, about="later", fault=fault) from None
        if not isinstance(error, Transient):
            raise
        attempts, delay, about = args.attempts, args.retry_seconds, error.about or "later"
        raise Transient(text, attempts=attempts, delay=delay, fault=error.fault, about=about) from None
    yield from ()


@dataclass(frozen=True)
class Answered(TaskArgs, kind="http.answered"):
    """The result of a Call, a kind of the source that requested it.

    about: from the Call.
    asked: the body of the Call.
    body: the response's body, JSON.
    error: why there is none, otherwise "".
    refused: the error is about the data of the request, not about the address or the sender.
    """

    about: msgspec.Raw
    asked: msgspec.Raw
    body: msgspec.Raw
    error: str = ""
    refused: bool = False


@dataclass(frozen=True)
class Call(TaskArgs, kind="http.call"):
    """A request for another account, `reply_to`, which gets Answered. A repeated request has the same key.

    url: on the account's own host.
    body: JSON.
    """

    method: str
    url: str
    body: msgspec.Raw
    idempotency_key: str
    reply_to: str
    about: msgspec.Raw


@http.handles(Call)
def call(api: Api, args: Call) -> Iterator[Output]:
    nothing = msgspec.Raw(b"null")
    try:
        response = api.request(
            args.method,
            args.url,
            json=args.body,
            headers={"Idempotency-Key": args.idempotency_key},
        )
        text = compact(response.utf8())
        text.decode()
        answered = Answered(args.about, args.body, msgspec.Raw(text))
    except Permanent as error:
        refused = not isinstance(error, Denied | NotFound)
        answered = Answered(args.about, args.body, nothing, error=str(error), refused=refused)
    except (ValueError, RecursionError) as error:
        answered = Answered(args.about, args.body, nothing, error=f"the response is not JSON: {error}")
    yield ForAccount(args.reply_to, answered)
