"""`crawlerd import --plan`: prints what runs would take."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from crawlerd.cli.answers import tell_list
from crawlerd.cli.context import reader_of
from crawlerd.cli.tables import about
from crawlerd.cli.terminal import say
from crawlerd.core.redaction import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crawlerd.config.load import Settings
    from crawlerd.operations.run_history import RunRequest
    from crawlerd.operations.run_plan import Plan, Share


def tell_plans(settings: Settings, names: Sequence[str], request: RunRequest) -> None:
    """Prints the plans. Reads only files; no API is asked."""
    from crawlerd.operations.run_plan import plan

    with reader_of(settings.daemon.state_dir) as reader:
        plans = [plan(settings, reader, name, request, time.time()) for name in names]
    tell_list(plans, plans, _print)


def _print(plans: Sequence[Plan]) -> None:
    for each in plans:
        say(_sentence(each))
        for text in each.based_on:
            say(shown(f"  {text}"))


def _sentence(plan: Plan) -> str:
    kind = "a full run" if plan.full else "an incremental run"
    how = "at most" if plan.at_most else "about"
    requests = (
        "an unknown number of requests"
        if plan.requests is None
        else f"{how} {plan.requests:,} request{'s' * (plan.requests != 1)}"
    )
    took = "unknown time" if plan.seconds is None else f"{about(plan.seconds)} at the limit"
    shares = [f"{100 * each.share:.3g}% of {each.limit}{_used(each)}" for each in plan.quotas]
    return f"{plan.import_name}: {kind}: {', '.join([requests, took, *shares])}"


def _used(share: Share) -> str:
    return f" ({100 * share.used:.3g}% is used)" if share.used else ""
