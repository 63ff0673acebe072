"""The differences between the configuration in force and another one, and which of them need a restart. Pure."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from crawlerd.core.configuration import (
    AccountSpec,
    Daemon,
    ImportSpec,
    InboxSpec,
    LimitSpec,
    Renewal,
    SinkSpec,
    SpoolSpec,
)
from crawlerd.core.notify_spec import NotifySpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from crawlerd.config.load import Settings

DIGEST_BYTES = 16

# Keys of `[daemon]` that take effect without a restart, by the fields of `Daemon`; and the other keys.
AT_ONCE = (
    "worker_processes",
    "threads_per_process",
    "drain_seconds",
    "max_worker_memory_bytes",
    "log_level",
    "catch_up_seconds",
    "hash_key",
    "admin_token",
    "read_token",
    "metrics_token",
    "read_only",
    "metrics_imports",
)
AT_A_START = {
    "state_dir": "state_dir",
    "listen": "listen",
    "allow_remote": "allow_remote",
    "allowed_hosts": "allowed_hosts",
    "page": "page",
    "root_path": "root_path",
    "trusted_proxies": "trusted_proxies",
    "socket": "socket",
    "visibility_seconds": "visibility_timeout",
    "limiter_storage": "limiter_storage",
    "frontier": "frontier",
    "log_format": "log_format",  # programs that read a log rely on one format for the whole of it
}
KEYS = {
    "max_worker_memory_bytes": "max_worker_memory_mb",
    "catch_up_seconds": "catch_up_spread",
}  # the keys above whose fields have another name

Description = tuple[str, dict[str, Any]]  # as in `Settings.descriptions`


class Known(msgspec.Struct, frozen=True):
    """Digests of the settings in force, by name."""

    accounts: dict[str, bytes]
    imports: dict[str, bytes]
    descriptions: dict[str, bytes]
    sources: list[str]


class AccountChange(msgspec.Struct, frozen=True):
    """An account that is new or has changed."""

    spec: AccountSpec
    limits: LimitSpec
    renewal: Renewal | None = None


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """The differences from the configuration in force.

    daemon, sinks, spool, inbox, notify: all current values, since there are few.
    accounts, imports: those that are new or have changed. The options of an import are in msgspec's encoding.
    gone_accounts, gone_imports: the names of those that are no longer configured.
    sources: the names of those that accounts now use and did not use before.
    descriptions: those that are new or have changed, of sources made from a description.
    warnings: as in `Settings`.
    """

    daemon: Daemon
    sinks: dict[str, SinkSpec]
    spool: SpoolSpec | None = None
    inbox: InboxSpec | None = None
    accounts: list[AccountChange] = []
    imports: list[ImportSpec] = []
    gone_accounts: list[str] = []
    gone_imports: list[str] = []
    sources: list[str] = []
    descriptions: dict[str, Description] = {}
    warnings: list[str] = []
    notify: NotifySpec | None = None


def known(settings: Settings) -> Known:
    """Digests of a configuration. It may be changed at the same time: a change that is missed here is found by a later
    call."""
    return Known(
        accounts={name: _of_account(settings, name) for name in list(settings.accounts)},
        imports={name: _digest(spec) for name, spec in list(settings.imports.items())},
        descriptions={name: _digest(each) for name, each in list(settings.descriptions.items())},
        sources=list(settings.sources),
    )


def changes(old: Known, new: Settings) -> Changes:
    """The changes that put `new` in force."""
    accounts = [name for name in new.accounts if old.accounts.get(name) != _of_account(new, name)]
    return Changes(
        daemon=new.daemon,
        sinks=dict(new.sinks),
        spool=new.spool,
        inbox=new.inbox,
        accounts=[AccountChange(new.accounts[name], new.limits[name], new.renewals.get(name)) for name in accounts],
        imports=[spec for name, spec in new.imports.items() if old.imports.get(name) != _digest(spec)],
        gone_accounts=[name for name in old.accounts if name not in new.accounts],
        gone_imports=[name for name in old.imports if name not in new.imports],
        sources=sorted(new.sources.keys() - set(old.sources)),
        descriptions={
            name: each for name, each in new.descriptions.items() if old.descriptions.get(name) != _digest(each)
        },
        warnings=list(new.warnings),
        notify=new.notify,
    )


def daemon_changes(old: Daemon, new: Daemon) -> tuple[Daemon, list[str], list[str]]:
    """The daemon's settings that can be in force now; the keys that change now; and the keys that need a restart."""
    at_once = {name: getattr(new, name) for name in AT_ONCE if getattr(new, name) != getattr(old, name)}
    at_a_start = [key for name, key in AT_A_START.items() if getattr(new, name) != getattr(old, name)]
    changed = [f"daemon.{KEYS.get(name, name)}" for name in at_once]
    return msgspec.structs.replace(old, **at_once), changed, [f"daemon.{key}" for key in at_a_start]


def sink_changes(old: Mapping[str, SinkSpec], new: Mapping[str, SinkSpec]) -> tuple[list[str], list[str], list[str]]:
    """The names of new sinks, of removed ones, and of changed ones; the latter need a restart."""
    return (
        [name for name in new if name not in old],
        [name for name in old if name not in new],
        [name for name, spec in new.items() if name in old and old[name] != spec],
    )


def _of_account(settings: Settings, name: str) -> bytes:
    return _digest((settings.accounts.get(name), settings.limits.get(name), settings.renewals.get(name)))


def _digest(value: object) -> bytes:
    try:
        return blake2b(_digests.encode(value), digest_size=DIGEST_BYTES).digest()
    except OverflowError:  # an integer of more than 64 bits, which could not be sent to a worker either
        return bytes(DIGEST_BYTES)


# The form in which changes are sent from the process that reads the file to the one that uses it.


def pieces(found: Changes, size: int) -> Iterator[bytes]:
    """The changes, encoded in pieces. Each has a fixed number of accounts or imports, so that decoding one takes little
    time."""
    yield _encoder.encode(msgspec.structs.replace(found, accounts=[], imports=[]))
    for start in range(0, len(found.accounts), size):
        yield _encoder.encode(Piece(accounts=found.accounts[start : start + size]))
    for start in range(0, len(found.imports), size):
        yield _encoder.encode(Piece(imports=found.imports[start : start + size]))


class Piece(msgspec.Struct, frozen=True):
    """A part of `Changes`."""

    accounts: list[AccountChange] = []
    imports: list[ImportSpec] = []


def joined(pieces: Iterator[bytes]) -> Changes:
    """The changes that `pieces` has split."""
    found = _first.decode(next(pieces))
    accounts, imports = list[AccountChange](), list[ImportSpec]()
    for each in pieces:
        piece = _rest.decode(each)
        accounts += piece.accounts
        imports += piece.imports
    return msgspec.structs.replace(found, accounts=accounts, imports=imports)


def _encoded(value: Any) -> Any:
    return str(value)  # a path


def _decoded(kind: type, value: Any) -> Any:
    return Path(value) if issubclass(kind, Path) else value


_digests = msgspec.msgpack.Encoder(enc_hook=_encoded, order="deterministic")
_encoder = msgspec.msgpack.Encoder(enc_hook=_encoded)
_first = msgspec.msgpack.Decoder(Changes, dec_hook=_decoded)
_rest = msgspec.msgpack.Decoder(Piece, dec_hook=_decoded)
