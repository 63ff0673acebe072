"""Checks submitted tasks: the import's source must know their kind, and their arguments must fit it."""

from __future__ import annotations

from dataclasses import MISSING, fields, replace
from typing import TYPE_CHECKING

import msgspec

from crawlerd.core.errors import CrawlerdError
from crawlerd.core.hiding import is_hidden
from crawlerd.core.redaction import printable, redaction
from crawlerd.engine import outgoing
from crawlerd.engine.kinds import decoder, new_task
from crawlerd.engine.starting import ImportGone

if TYPE_CHECKING:
    from crawlerd.config.load import Settings
    from crawlerd.core.task import NewTask

LARGEST = 1 << 20  # most bytes of a task
SHOWN = 300  # most characters of an invalid item that a message shows
AS_JSON = 'a task is a JSON object, such as {"kind": "shop.customer", "args": {"id": "cus_1"}}'

HOLDS_KEY = "its arguments hold the credential of account {}, or what looks like one that was hidden"


class NotATask(CrawlerdError):
    """A submitted item is not a valid task, and trying again will not help."""


class TaskRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A task as other programs write it.

    args: the fields of the kind's arguments; fields with defaults may be left out.
    """

    kind: str
    args: msgspec.Raw = msgspec.Raw(b"{}")


_request = msgspec.json.Decoder(TaskRequest).decode
_arguments = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def request_of(data: bytes | None, size: int) -> TaskRequest:
    """Decodes an item of a queue. Raises NotATask when it is not a task.

    data: the item; None when it is too large to read.
    size: its size in bytes.
    """
    if data is None:
        raise NotATask(f"it has {size:,} bytes, and a task has at most {LARGEST:,}" if size else "it is empty")
    try:
        return _request(data)
    except msgspec.ValidationError as error:
        raise NotATask(f"{AS_JSON}: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NotATask(
            f"it is not JSON ({error}): open the queue with the JSON serializer of persist-queue (`from "
            "persistqueue.serializers import json`), whose default writes pickles, which are not read"
        ) from None


def task_of(settings: Settings, import_name: str, request: TaskRequest) -> NewTask:
    """Encodes a submitted task for the frontier. Raises NotATask when it is invalid, ImportGone when there is no such
    import."""
    spec = settings.imports.get(import_name)
    account = settings.accounts.get(spec.account) if spec else None
    source = settings.sources.get(account.source) if account else None
    if account is None or source is None:
        raise ImportGone(import_name)
    known = redaction((account.secret,))
    if known.found(f"{request.kind} {bytes(request.args).decode(errors='replace')}"):
        raise NotATask(HOLDS_KEY.format(account.name))
    kind = source.kinds.get(request.kind)
    if kind is None or request.kind == outgoing.KIND:
        kinds = [name for name in source.kinds if name != outgoing.KIND]
        raise NotATask(f"source {source.name} has no kind {_quoted(request.kind)}; {_instead(request.kind, kinds)}")
    names = [each.name for each in fields(kind.args)]  # type: ignore[arg-type] # a dataclass
    try:
        for name in _arguments(request.args):
            if name not in names:
                raise NotATask(f"{request.kind} has no argument {_quoted(name)}; {_instead(name, names)}")
        args = decoder(kind.args)(bytes(request.args).decode())
        task = new_task(source, replace(args))  # type: ignore[type-var] # with the defaults of the source's arguments
    except NotATask:
        raise
    except (msgspec.MsgspecError, OverflowError) as error:
        problem = printable(str(error))[:SHOWN]
        raise NotATask(f"the arguments do not fit {request.kind}: {problem}; it takes {_taken(kind.args)}") from None
    except Exception as error:  # noqa: BLE001 - methods of the source's arguments may raise anything
        problem = printable(f"{type(error).__name__}: {error}")[:SHOWN]
        raise NotATask(f"{request.kind} cannot be queued with these arguments: {problem}") from None
    if len(task.payload) > LARGEST:
        raise NotATask(f"its arguments have {len(task.payload):,} bytes, and a task has at most {LARGEST:,}")
    if is_hidden(task.payload) or known.found(task.payload):
        raise NotATask(HOLDS_KEY.format(account.name))
    return task


def _taken(arguments: type) -> str:
    """The arguments of a kind, for people."""
    texts = []
    for each in fields(arguments):
        optional = not (each.default is MISSING and each.default_factory is MISSING)
        texts.append(f"{each.name} ({printable(str(each.type))}{', optional' * optional})")
    return ", ".join(texts)[: 2 * SHOWN] or "no arguments"


def _instead(word: str, names: list[str]) -> str:
    from crawlerd.config.problems import instead  # imported late: it imports pydantic, which few commands need

    return instead(word, names)


def _quoted(text: str) -> str:
    return f'"{printable(text)[:SHOWN]}"'
