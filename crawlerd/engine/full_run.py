"""Decides whether a new run is a full one, and explains why when nobody has asked for that. Pure."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from crawlerd.source import RunPlan

NAMED = 5  # most streams that a reason names; more are only counted


class Fullness(NamedTuple):
    """Which streams a run reads in full, and why.

    full: whether it reads all streams in full.
    why: the reason; None when a person has asked for it, or no stream is read in full.
    streams: the streams that it reads in full.
    """

    full: bool
    why: str | None
    streams: Sequence[str]


NOT_YET_CLEAN = "no earlier run of it has ended clean"
NO_SYNC_POINTS = "its streams keep no sync points, so each run reads all of them"


def believed(cursors: Mapping[str, str], doubted: Collection[str], streams: Collection[str]) -> dict[str, str]:
    """The sync points that a new run of these streams may begin from. If any stream is doubted, leaves out the sync
    points of doubted streams, and those whose name is neither "<stream>" nor "<stream>:…".

    doubted: the streams in doubt, and those whose records came from another origin so far.
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
    """Decides which streams the planned run reads in full.

    said: the source's reasons for a full run, each with the streams; no streams means all.
    doubted: the streams in doubt.
    news: why the sync points for the sink were dropped, if they were.
    clean: the last run has ended clean, and so has published its sync points.
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
    """A digest of the options that decide what an import reads."""
    plain = [msgspec.to_builtins(each, enc_hook=repr) for each in options]
    return hashlib.blake2b(msgspec.json.encode(plain, order="deterministic"), digest_size=16).hexdigest()


def _named(streams: Sequence[str]) -> str:
    return ", ".join(streams) if len(streams) <= NAMED else f"{len(streams)} streams"
