"""The default limits of a source: what its API permits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Notation = str | Sequence[str]  # one limit, such as "100/second", or several


class Limits:
    """The default limits of a source; an account may set its own."""

    def __init__(
        self,
        account: Notation = (),
        *,
        bucket: Notation = (),
        by_bucket: Mapping[str, Notation] | None = None,
        concurrency: int | Literal["auto"] | None = None,
        bucket_concurrency: Mapping[str, int] | None = None,
    ) -> None:
        """
        account: limits of the whole account.
        bucket: limits of each bucket.
        by_bucket: limits of single buckets, by name; they replace `bucket`.
        concurrency: most requests of an account at once; "auto" to learn how many are permitted.
        bucket_concurrency: most requests at once of single buckets, by name.
        """
        self.account = _several(account)
        self.bucket = _several(bucket)
        self.by_bucket = {name: _several(each) for name, each in (by_bucket or {}).items()}
        self.concurrency = concurrency
        self.bucket_concurrency = dict(bucket_concurrency or {})

    @classmethod
    def of(cls, limits: Limits | Notation) -> Limits:
        """Converts limits that are given for the account only."""
        return limits if isinstance(limits, Limits) else cls(limits)


def _several(limits: Notation) -> tuple[str, ...]:
    return (limits,) if isinstance(limits, str) else tuple(limits)
