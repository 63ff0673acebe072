"""How much of an account's quotas is used: of its windows of a minute or longer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from crawlerd.ratelimit.limiter import parse_limits
from crawlerd.ratelimit.quota import KEPT, window_of

if TYPE_CHECKING:
    from crawlerd.frontier.reader_contract import FrontierReader

MOST = 100


class QuotaLine(msgspec.Struct, frozen=True, kw_only=True):
    """A quota of an account.

    bucket: "" for the whole account.
    limit: in the notation of the configuration, such as "10000/day".
    used: requests in the window that ends now.
    amount: requests that the limit permits in a window.
    """

    bucket: str
    limit: str
    used: int
    amount: int


def quotas(reader: FrontierReader, account: str, now: float) -> list[QuotaLine]:
    """The quotas that were used recently, the fullest first.

    now: Unix seconds.
    """
    windows = {key: found for key in reader.quota_keys_of(account, MOST) if (found := window_of(key)) is not None}
    names = reader.bucket_names([each.bucket for each in windows.values() if each.bucket])
    since = {key: now - parse_limits([each.text])[0].get_expiry() * KEPT for key, each in windows.items()}
    used = reader.charged(since)
    lines = [
        QuotaLine(bucket=names.get(each.bucket, ""), limit=each.text, used=used[key], amount=each.amount)
        for key, each in windows.items()
        if used[key]
    ]
    return sorted(lines, key=lambda line: (-line.used / line.amount, line.bucket, line.limit))
