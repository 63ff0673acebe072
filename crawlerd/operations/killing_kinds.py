"""Which kinds of tasks of a run have killed their worker processes."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crawlerd.frontier.reader_contract import FrontierReader

NAMED = 3


def killing(reader: FrontierReader, run: int) -> str:
    """A remark after the number of a run's dead letters; "" if no task was buried for killing its worker."""
    kinds = reader.killers(run)
    if not kinds:
        return ""
    more = f" and {len(kinds) - NAMED:,} more" if len(kinds) > NAMED else ""
    return f", since tasks of {', '.join(islice(kinds, NAMED))}{more} kill their worker processes"
