"""Whether a new run is a full one, and why it is where nobody asked for that: pure."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from crawlerd.source import RunPlan

NAMED = 5  # streams that a reason names, before they are only counted


class Fullness(NamedTuple):
    """
    full: of all streams.
    why: None where it was asked for.
    streams: those that are read in full.
    """

    full: bool
    why: str | None
    streams: Sequence[str]


NOT_YET_CLEAN = "no run of it has ended clean yet"
NO_SYNC_POINTS = "its streams keep no sync points, so each run reads all of them"


def believed(cursors: Mapping[str, str], doubted: Collection[str], streams: Collection[str]) -> dict[str, str]:
    """The sync points that a new run of these streams may begin from. Those of what is doubted do not count, nor those
    that belong to no stream by their name, which is "<stream>" or "<stream>:…".

    doubted: streams, among them those that have come from elsewhere so far.
    """
    if not doubted:
        return dict(cursors)
    good = set(streams).difference(doubted)
    return {name: value for name, value in cursors.items() if name.partition(":")[0] in good}


def fullness(
    plan: RunPlan,
    said: Sequence[tuple[str, Sequence[str]]],
    doubted: Collection[str],
    news: str | None,
    *,
    clean: bool = False,
) -> Fullness:
    """
    clean: the last run has ended clean, and so has published what sync points there are.
    said: reasons of the source, with the streams, none for all.
    news: why nothing is believed of the sink.
    """
    if plan.full:
        return Fullness(True, None, plan.streams)
    if plan.since is not None:
        return Fullness(False, None, ())
    reasons = [f"the last full run has left a doubt about {_named(sorted(doubted))}"] if doubted else []
    reasons += [news] if news and not plan.cursors else []
    everything = set(plan.streams)
    reasons += [reason if everything <= set(of or everything) else f"{_named(of)}: {reason}" for reason, of in said]
    named = dict.fromkeys(stream for _, of in said for stream in of or plan.streams)
    full = not plan.cursors or everything <= named.keys()
    if full and not reasons:
        reasons = [NO_SYNC_POINTS if clean else NOT_YET_CLEAN]
    streams = plan.streams if full else list(named)
    return Fullness(full, "; ".join(reasons) or None, streams)


def setup(*options: Any) -> str:
    """A digest of what an import is told to read."""
    plain = [msgspec.to_builtins(each, enc_hook=repr) for each in options]
    return hashlib.blake2b(msgspec.json.encode(plain, order="deterministic"), digest_size=16).hexdigest()


def _named(streams: Sequence[str]) -> str:
    return ", ".join(streams) if len(streams) <= NAMED else f"{len(streams)} streams"
