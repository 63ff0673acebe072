"""The 20 fullest quota windows of an hour or longer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crawlerd.core.task import PART
from crawlerd.ratelimit.limiter import parse_limits
from crawlerd.ratelimit.quota import KEPT, Window, window_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from limits import RateLimitItem

    from crawlerd.core.configuration import LimitSpec
    from crawlerd.engine.engine import Engine
    from crawlerd.frontier.reader_contract import FrontierReader

FULLEST = 20
LEAST_SECONDS = 3600  # windows of this length or longer have a series


def fullest(engine: Engine, reader: FrontierReader, now: float) -> list[tuple[str, str, float]]:
    """Account, window and used share (1 is full), the fullest first. Only configured limits are included.

    now: Unix seconds.
    """
    windows = {key: found for key in reader.quota_keys() if (found := window_of(key)) is not None}
    buckets = reader.bucket_names([each.bucket for each in windows.values() if each.bucket])
    seconds: dict[str, int] = {}
    for key, window in windows.items():
        spec = engine.settings.limits.get(engine.insight.account_name(window.account).partition(PART)[0])
        item = spec and _item(spec, buckets.get(window.bucket, ""), window)
        if item and item.get_expiry() >= LEAST_SECONDS:
            seconds[key] = item.get_expiry()
    used = reader.charged({key: now - each * KEPT for key, each in seconds.items()})
    shares = sorted(((used[key] / windows[key].amount, key) for key in seconds), reverse=True)[:FULLEST]
    return [(*_labels(engine, buckets, windows[key]), min(1.0, share)) for share, key in shares]


def _item(spec: LimitSpec, bucket: str, window: Window) -> RateLimitItem | None:
    """The limit that a window belongs to; None if it is no longer configured."""
    items: Iterable[RateLimitItem] = parse_limits(spec.of_bucket(bucket) if window.bucket else spec.limits)
    wanted = window.amount, window.multiples, window.unit
    return next((each for each in items if (each.amount, each.multiples, each.GRANULARITY.name) == wanted), None)


def _labels(engine: Engine, buckets: Mapping[int, str], window: Window) -> tuple[str, str]:
    bucket = f"{buckets.get(window.bucket, window.bucket)} " if window.bucket else ""
    return engine.insight.account_name(window.account), f"{bucket}{window.text}"
