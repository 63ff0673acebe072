"""What a run of an import would take, estimated without sending a request: requests, time, share of quotas."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from crawlerd.core.lowered import Lowered
from crawlerd.core.notation import BurstLimit
from crawlerd.ratelimit.hold import EFFICIENCY, PACED_WINDOW
from crawlerd.ratelimit.limiter import parse_limits
from crawlerd.ratelimit.quota import KEPT, QUOTA_WINDOW, window_of
from crawlerd.ratelimit.quota_ahead import seconds_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from limits import RateLimitItem

    from crawlerd.config.load import Settings
    from crawlerd.frontier.reader_contract import FrontierReader
    from crawlerd.frontier.reports import RunReport
    from crawlerd.operations.run_history import RunRequest

LOOKED_AT = 100  # newest completed runs that are searched for one of the same kind
QUOTA_SECONDS = 3600  # for limits with a window of this length or longer, the share that a run takes is reported


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """A quota and what a run would use of it.

    limit: a quota of the account.
    share: the share that the run would use (1 is all; it may be more).
    used: the share that is used now; None if unknown.
    """

    limit: str
    share: float
    used: float | None = None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a run would take.

    full: the run would read everything.
    requests: about how many; None if unknown.
    at_most: `requests` is an upper bound.
    seconds: the time at the account's limits, including what is used of its quotas; None if unknown.
    quotas: those of the account.
    based_on: sentences that say how this is known, and what is unknown.
    """

    import_name: str
    full: bool
    requests: int | None
    at_most: bool
    seconds: float | None
    quotas: list[Share]
    based_on: list[str]


def plan(settings: Settings, reader: FrontierReader | None, name: str, request: RunRequest, now: float) -> Plan:
    """Estimates a run. Raises KeyError if the import is not configured.

    reader: None while nothing has been imported.
    now: Unix seconds.
    """
    spec = settings.imports[name]
    runs = _runs(reader, name) if reader else []
    known, full = _known(runs, whole=request.whole, changes=request.since is not None)
    told: list[str] = []
    requests, at_most = None, False
    if request.since is not None:
        told.append("How much has changed since then is not known.")
    elif known is None:
        told.append(f"No {'full' if full else 'incremental'} run of it has completed, so it is unknown what one takes.")
    else:
        requests = known.done
        when = datetime.fromtimestamp(known.started_at, UTC)
        kind = "full" if known.full else "incremental"
        told.append(f"Run {known.id}, its last {kind} one ({when:%Y-%m-%d %H:%M} UTC), did {known.done:,} tasks.")
        if known.full and not full:
            at_most = True
            told.append("No incremental run has completed yet, which takes no more.")
        if request.streams and {*request.streams} != {*spec.streams}:
            at_most = True
            told.append(f"It read more than {', '.join(request.streams)}.")
        if request.sample is not None:
            at_most = True
            most = (request.sample + 1) * len(request.streams or spec.streams)
            if most < requests:
                requests = most
                told.append(f"The first {request.sample:,} records of each stream need no more than that many.")
    limits = settings.limits[spec.account]
    notes = Lowered(reader.lowered()).of(spec.account) if reader else []
    items = parse_limits([*limits.limits, *(limit for note in notes for limit in note.limits)])
    told += [f"{note.subject}: {note.text}." for note in notes]
    learned = _rate(reader, spec.account) if reader else None
    if learned is not None:
        told.append(f"The account has been observed to permit {learned:.3g} requests per second.")
    elsewhere = bool(settings.daemon.limiter_storage)
    charges = {} if elsewhere else _charges(reader, spec.account, items, now)
    seconds = None if requests is None else _seconds(requests, items, learned, charges, now)
    if not items and learned is None:
        told.append("The account has no limit of its own, so that the time is not known.")
    if limits.bucket_limits or limits.by_bucket:
        told.append("Its buckets have limits as well, which may make it slower.")
    long = [item for item in items if item.get_expiry() >= QUOTA_SECONDS]
    if elsewhere and long:
        told.append("How much of its quotas is used is only known in [daemon] limiter_storage.")
    quotas = []
    for item in long:
        used = None if elsewhere else _used(charges.get(item, ()), item, now)
        if requests is not None:
            quotas.append(Share(limit=str(item), share=requests / item.amount, used=used))
        if used is not None and used >= 1 and requests:
            wait = seconds_until(charges[item], item.amount, item.get_expiry(), 1, now)
            free = datetime.fromtimestamp(now + wait, UTC)
            told.append(f"All of {item} is used: the first request can start at {free:%Y-%m-%d %H:%M} UTC.")
    return Plan(
        import_name=name,
        full=full,
        requests=requests,
        at_most=at_most,
        seconds=seconds,
        quotas=quotas,
        based_on=told,
    )


def _known(runs: Sequence[RunReport], *, whole: bool, changes: bool) -> tuple[RunReport | None, bool]:
    """The newest run from which another one can be estimated, and whether that one reads everything. An import that has
    read everything twice in a row is taken to do so each time."""
    if whole:
        return next((run for run in runs if run.full), None), True
    if not runs:
        return None, not changes
    return runs[0], runs[0].full and len(runs) > 1 and runs[1].full and not changes


def _runs(reader: FrontierReader, name: str) -> Sequence[RunReport]:
    """The runs that completed as configured, the newest first."""
    found = reader.run_page(import_name=name, state="completed", since=0.0, after=None, most=LOOKED_AT)
    return [run for run in found if not run.ad_hoc and not run.part]


def _rate(reader: FrontierReader, account: str) -> float | None:
    text = reader.learned_of(account).get("")
    rate = msgspec.json.decode(text, type=dict[str, float | None]).get("rate") if text else None
    return rate or None


def _charges(
    reader: FrontierReader | None, account: str, items: Sequence[RateLimitItem], now: float
) -> Mapping[RateLimitItem, Sequence[tuple[float, int]]]:
    """What was charged to the account's quotas."""
    longest = max((item.get_expiry() for item in items), default=0)
    if reader is None or longest < QUOTA_WINDOW:
        return {}
    found = reader.charges_of(account, now - longest * KEPT).items()
    windows = [(window, charges) for key, charges in found if (window := window_of(key)) and not window.bucket]
    return {
        item: charges
        for item in items
        for window, charges in windows
        if (window.amount, window.multiples, window.unit) == (item.amount, item.multiples, item.GRANULARITY.name)
    }


def _used(charges: Iterable[tuple[float, int]], item: RateLimitItem, now: float) -> float:
    return sum(count for at, count in charges if at > now - item.get_expiry() * KEPT) / item.amount


def _seconds(
    requests: int,
    items: Iterable[RateLimitItem],
    learned: float | None,
    charges: Mapping[RateLimitItem, Sequence[tuple[float, int]]],
    now: float,
) -> float | None:
    """The time that the slowest limit takes. A limit of up to a minute is spread evenly; a longer one may be used up at
    once."""
    times = [] if learned is None else [requests / learned]
    for item in items:
        rate = item.amount / item.get_expiry()
        if isinstance(item, BurstLimit):
            times.append(max(0.0, requests - item.burst) / rate)
        elif item.get_expiry() <= PACED_WINDOW:
            times.append(requests / rate / EFFICIENCY)
        else:
            times.append(seconds_until(charges.get(item, ()), item.amount, item.get_expiry(), requests, now))
    return max(times, default=None)
