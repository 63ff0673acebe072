"""The daemon itself: its version, its health, and its configuration."""

from __future__ import annotations

import os
import platform
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from crawlerd.core.in_force import InForce
from crawlerd.core.version import __version__

if TYPE_CHECKING:
    from crawlerd.config.load import Settings
    from crawlerd.operations.live_facts import Live

API_VERSION = 1
SECRETS = ("admin_token", "read_token", "metrics_token", "hash_key", "frontier")


class Info(msgspec.Struct, frozen=True, kw_only=True):
    """The daemon.

    api: version of the API; within one version, fields are only added.
    now: the daemon's time, in Unix seconds.
    """

    name: str = "crawlerd"
    version: str = __version__
    api: int = API_VERSION
    pid: int
    host: str
    python: str
    state_dir: str
    now: float


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """The daemon's health.

    alive: its loops make progress.
    ready: it can import now.
    problem: why not; None if it can.
    """

    alive: bool
    ready: bool
    problem: str | None


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration in force.

    in_force: how the file differs from it; None if unknown.
    daemon: settings by name; for a secret, whether there is one.
    accounts, imports, sinks: their names, the first MOST_NAMES.
    """

    in_force: InForce | None
    daemon: dict[str, Any]
    accounts: list[str]
    imports: list[str]
    sinks: list[str]


MOST_NAMES = 500


def info(settings: Settings, now: float) -> Info:
    """The daemon.

    now: Unix seconds.
    """
    return Info(
        pid=os.getpid(),
        host=platform.node(),
        python=".".join(map(str, sys.version_info[:3])),
        state_dir=str(settings.daemon.state_dir),
        now=now,
    )


def config(settings: Settings, live: Live) -> Config:
    """The configuration, without any secret."""
    daemon: dict[str, Any] = msgspec.to_builtins(settings.daemon, enc_hook=str)
    for name in SECRETS:
        daemon[name] = bool(daemon[name])
    daemon["limiter_storage"] = _without_password(daemon["limiter_storage"])
    return Config(
        in_force=live.in_force(),
        daemon=daemon,
        accounts=_first(settings.accounts),
        imports=_first(settings.imports),
        sinks=_first(settings.sinks),
    )


def _first(names: Any) -> list[str]:
    return sorted(names)[:MOST_NAMES]


def _without_password(address: str) -> str:
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
