"""Pausing and resuming: requests, and their checks."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Protocol

import msgspec

from crawlerd.core.pauses import Pausable, PauseNote
from crawlerd.operations.problem import Refused, Unknown

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from crawlerd.config.load import Settings
    from crawlerd.frontier.reader_contract import FrontierReader

REASON_LENGTH = 500  # most characters of a reason
LONGEST = 3_653 * 86_400.0  # most seconds of a pause that has an end


class PauseRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request to pause.

    kind: what is named.
    names: what to pause; a bucket is ACCOUNT/BUCKET.
    reason: for the audit.
    until: Unix seconds; None: until somebody resumes it.
    """

    kind: Pausable
    names: list[str]
    reason: str
    until: float | None = None


class Names(Protocol):
    """What can be paused, in addition to what the frontier knows."""

    def configured(self, kind: Pausable) -> Collection[str]:
        """The names of imports, accounts or sources."""
        ...

    def described(self) -> Mapping[str, str]:
        """The configured sources made from descriptions, each with the installed source that makes it."""
        ...


def reason_of(text: str) -> str:
    """A person's reason. Raises Refused if it is empty or too long."""
    reason = text.strip()
    if not reason or len(reason) > REASON_LENGTH:
        raise Refused(f"give a reason of 1 to {REASON_LENGTH} characters, for the audit")
    return reason


def configured_names(settings: Settings, kind: Pausable) -> Collection[str]:
    """Names of a kind in a configuration. Buckets are not configured by name."""
    match kind:
        case "import":
            return settings.imports
        case "account":
            return settings.accounts
        case "source":
            return settings.sources
        case "bucket":
            return ()


def notes(request: PauseRequest, names: Names, reader: FrontierReader | None, by: str, now: float) -> list[PauseNote]:
    """The pauses to record. Raises Unknown for an unknown name, and Refused for an invalid request."""
    reason = reason_of(request.reason)
    if not request.names:
        raise Refused("give the names of what to pause")
    if request.until is not None and not request.until <= now + LONGEST:
        raise Refused("the end of the pause is more than ten years away")
    if request.until is not None and request.until <= now:
        raise Refused("the end of the pause is in the past")
    wanted = [each for name in request.names for each in members(request.kind, name, names)]
    check(request.kind, wanted, names, reader)
    return [
        PauseNote(kind=request.kind, name=name, reason=reason, by=by, since=now, until=request.until)
        for name in dict.fromkeys(wanted)
    ]


def members(kind: Pausable, name: str, names: Names) -> list[str]:
    """What a name stands for: for an installed source that makes others from descriptions, these; otherwise itself."""
    if kind != "source" or name in names.configured(kind):
        return [name]
    return [source for source, maker in names.described().items() if maker == name] or [name]


def described_sources(settings: Settings) -> Mapping[str, str]:
    """See `Names.described`."""
    return {name: entry for name, (entry, *_) in settings.descriptions.items()}


def not_paused(kind: Pausable, name: str) -> Unknown:
    return Unknown(f"{kind} {name[:80]} is not paused")


def check(kind: Pausable, wanted: Sequence[str], names: Names, reader: FrontierReader | None) -> None:
    """Raises Unknown for the first name that does not exist."""
    configured = names.configured(kind)
    for name in wanted:
        if name in configured or (reader and reader.knows(kind, name)):
            continue
        near = get_close_matches(name, configured, 1) if len(configured) <= 1_000 else []
        hint = f"; did you mean {near[0]}?" if near else ""
        if kind == "source" and not near:
            used = ", ".join(sorted(configured)[:10])
            hint = f" that an account uses; used sources: {used or 'none'}"
        form = "; write a bucket as ACCOUNT/BUCKET; it exists once it has been used" if kind == "bucket" else ""
        raise Unknown(f"there is no {kind} {name[:80]}{hint}{form}")
