"""Reads a frontier through the socket of its daemon: for members of the daemon's group, who may not read its files."""

from __future__ import annotations

import inspect
from functools import cache
from typing import TYPE_CHECKING, Any, cast, get_type_hints
from urllib.parse import quote

import msgspec

from crawlerd.core import erasure, estimate, lowered, pauses, schedule_rules
from crawlerd.core.errors import FrontierError
from crawlerd.frontier import (
    acts_contract,
    figure_reports,
    letter_filter,
    metric_contract,
    reports,
    submission_contract,
)
from crawlerd.frontier.reader_contract import FrontierReader
from crawlerd.operations.problem import Refused, Unknown
from crawlerd.service.control import must_ask

if TYPE_CHECKING:
    from crawlerd.service.control import Asked

READER = "reader"  # the resource; after it comes the name of the method
READ_SECONDS = 60.0  # seconds within which the daemon must answer
METHODS = {name for name in dir(FrontierReader) if not name.startswith("_") and name != "close"}
_MODULES = (
    acts_contract,
    erasure,
    estimate,
    figure_reports,
    letter_filter,
    lowered,
    metric_contract,
    pauses,
    reports,
    schedule_rules,
    submission_contract,
)
_NAMES: dict[str, Any] = {key: value for module in _MODULES for key, value in vars(module).items()} | {
    "Collection": list,
    "Iterable": list,
    "Mapping": dict,
    "Sequence": list,
}


class Read(msgspec.Struct, frozen=True):
    """What a method has returned, in msgpack, since that permits tuples as keys."""

    packed: bytes


def remote_reader(daemon: Asked) -> FrontierReader:
    """A reader for the frontier of a running daemon. Its methods raise FrontierError if the daemon cannot be asked."""
    return cast("FrontierReader", _RemoteReader(daemon))


def read(reader: FrontierReader, name: str, body: bytes) -> Read:
    """The result of a reader's method. Raises Unknown if there is no such method, and Refused if arguments are missing.

    name: the method.
    body: its arguments by name, as JSON.
    """
    if name not in METHODS:
        raise Unknown(f"a frontier has no method {name[:100]}; the command and the daemon have different versions")
    given = msgspec.json.decode(body or b"{}", type=dict[str, Any])
    types = hints(name)
    arguments = {key: msgspec.convert(value, types[key], strict=False) for key, value in given.items() if key in types}
    try:
        inspect.signature(getattr(FrontierReader, name)).bind(reader, **arguments)
    except TypeError as error:
        raise Refused(f"{name}: {error}") from None
    return Read(msgspec.msgpack.encode(getattr(reader, name)(**arguments)))


@cache
def hints(name: str) -> dict[str, Any]:
    """The types of a method's arguments and of its result, as they are sent over the socket."""
    return get_type_hints(getattr(FrontierReader, name), _NAMES)


class _RemoteReader:
    def __init__(self, daemon: Asked) -> None:
        self._daemon = daemon

    def close(self) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        if name not in METHODS:
            raise AttributeError(name)
        signature = inspect.signature(getattr(FrontierReader, name))

        def ask(*arguments: Any, **named: Any) -> Any:
            given = signature.bind(self, *arguments, **named).arguments
            body = {key: value for key, value in given.items() if key != "self"}
            place = f"{READER}/{quote(name)}"
            try:
                found = must_ask(self._daemon, "POST", place, Read, body, seconds=READ_SECONDS)
                return msgspec.msgpack.decode(found.packed, type=hints(name)["return"])
            except Unknown as error:
                raise FrontierError(str(error)) from None
            except msgspec.DecodeError as error:
                raise FrontierError(f"the daemon has another version; restart it: {error}") from None

        return ask
