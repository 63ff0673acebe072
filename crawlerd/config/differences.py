"""What differs between the configuration in force and another one, and what of that needs a restart. Pure."""

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

# Keys of `[daemon]` whose new values hold without a restart, by the fields of `Daemon`; and those of the others.
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
    "log_format": "log_format",  # whoever reads a log relies on one form from its first line to its last
}
KEYS = {
    "max_worker_memory_bytes": "max_worker_memory_mb",
    "catch_up_seconds": "catch_up_spread",
}  # of those at once, where they are called otherwise

Description = tuple[str, dict[str, Any]]  # as of `Settings.descriptions`


class Known(msgspec.Struct, frozen=True):
    """Digests of what is in force, by name."""

    accounts: dict[str, bytes]
    imports: dict[str, bytes]
    descriptions: dict[str, bytes]
    sources: list[str]


class AccountChange(msgspec.Struct, frozen=True):
    """An account that is new, or configured otherwise."""

    spec: AccountSpec
    limits: LimitSpec
    renewal: Renewal | None = None


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What differs from the configuration in force.

    daemon, sinks, spool, inbox, notify: all of them as they are now, since there are few.
    accounts, imports: those that are new or different. An import's options are as msgspec encodes them.
    gone_accounts, gone_imports: names of those that are not configured any more.
    sources: names of those that accounts use now, and did not so far.
    descriptions: of sources that are made from one, as far as they are new or different.
    warnings: as of `Settings`.
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
    """Digests of a configuration, which may be changed meanwhile: a change that is missed is another one's."""
    return Known(
        accounts={name: _of_account(settings, name) for name in list(settings.accounts)},
        imports={name: _digest(spec) for name, spec in list(settings.imports.items())},
        descriptions={name: _digest(each) for name, each in list(settings.descriptions.items())},
        sources=list(settings.sources),
    )


def changes(old: Known, new: Settings) -> Changes:
    """What is to change for `new` to be in force."""
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
    """The daemon's settings that can be in force now; the keys of those that change; and the keys of others that need a
    restart."""
    at_once = {name: getattr(new, name) for name in AT_ONCE if getattr(new, name) != getattr(old, name)}
    at_a_start = [key for name, key in AT_A_START.items() if getattr(new, name) != getattr(old, name)]
    changed = [f"daemon.{KEYS.get(name, name)}" for name in at_once]
    return msgspec.structs.replace(old, **at_once), changed, [f"daemon.{key}" for key in at_a_start]


def sink_changes(old: Mapping[str, SinkSpec], new: Mapping[str, SinkSpec]) -> tuple[list[str], list[str], list[str]]:
    """The names of those that are new, of those that are gone, and of those that are different, which needs a
    restart."""
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
    except OverflowError:  # an integer of more than 64 bits: no worker can be told either
        return bytes(DIGEST_BYTES)


# Between the process that reads the file and the one that uses it.


def pieces(found: Changes, size: int) -> Iterator[bytes]:
    """The same, encoded, in pieces of a fixed number of accounts or imports: to decode one takes little time."""
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
    """What `pieces` has cut."""
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
