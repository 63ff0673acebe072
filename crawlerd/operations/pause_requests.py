"""Pausing and resuming: what is asked for, whether it can be done, and what was done."""

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

REASON_LENGTH = 500  # characters of a reason, at most
LONGEST = 3_653 * 86_400.0  # seconds of a pause that has an end


class PauseRequest(msgspec.Struct, frozen=True, kw_only=True):
    """
    names: what is to be paused; of buckets ACCOUNT/BUCKET.
    reason: for whoever looks at it later.
    until: Unix seconds; None: until somebody resumes it.
    """

    kind: Pausable
    names: list[str]
    reason: str
    until: float | None = None


class Names(Protocol):
    """What there is to be paused, beside what the frontier knows."""

    def configured(self, kind: Pausable) -> Collection[str]:
        """Names of imports, accounts or sources."""
        ...

    def described(self) -> Mapping[str, str]:
        """The configured sources that are made of descriptions, each with the installed source that makes them."""
        ...


def reason_of(text: str) -> str:
    """What a person gives as the reason. Refused for none, or a long one."""
    reason = text.strip()
    if not reason or len(reason) > REASON_LENGTH:
        raise Refused(f"give a reason of 1 to {REASON_LENGTH} characters: others will want to know it")
    return reason


def configured_names(settings: Settings, kind: Pausable) -> Collection[str]:
    """Of a configuration; buckets are not configured by name."""
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
    """What is to be noted. Unknown for a name that is none, Refused for what makes no sense."""
    reason = reason_of(request.reason)
    if not request.names:
        raise Refused("name what is to be paused")
    if request.until is not None and not request.until <= now + LONGEST:
        raise Refused("the time until which it is to be paused is more than ten years away")
    if request.until is not None and request.until <= now:
        raise Refused("the time until which it is to be paused is over already")
    wanted = [each for name in request.names for each in members(request.kind, name, names)]
    check(request.kind, wanted, names, reader)
    return [
        PauseNote(kind=request.kind, name=name, reason=reason, by=by, since=now, until=request.until)
        for name in dict.fromkeys(wanted)
    ]


def members(kind: Pausable, name: str, names: Names) -> list[str]:
    """What a name stands for: an installed source that makes others of descriptions, for these; else for itself."""
    if kind != "source" or name in names.configured(kind):
        return [name]
    return [source for source, maker in names.described().items() if maker == name] or [name]


def described_sources(settings: Settings) -> Mapping[str, str]:
    """See `Names.described`."""
    return {name: entry for name, (entry, *_) in settings.descriptions.items()}


def not_paused(kind: Pausable, name: str) -> Unknown:
    return Unknown(f"{kind} {name[:80]} is not paused")


def check(kind: Pausable, wanted: Sequence[str], names: Names, reader: FrontierReader | None) -> None:
    """Unknown for the first name that is none."""
    configured = names.configured(kind)
    for name in wanted:
        if name in configured or (reader and reader.knows(kind, name)):
            continue
        near = get_close_matches(name, configured, 1) if len(configured) <= 1_000 else []
        hint = f"; did you mean {near[0]}?" if near else ""
        if kind == "source" and not near:
            used = ", ".join(sorted(configured)[:10])
            hint = f" that an account uses; those that are used: {used or 'none'}"
        form = "; a bucket is named ACCOUNT/BUCKET, once it has been used" if kind == "bucket" else ""
        raise Unknown(f"there is no {kind} {name[:80]}{hint}{form}")
