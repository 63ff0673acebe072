"""A request, as a screen sees it; and the answer of a screen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from crawlerd.config.load import Settings
    from crawlerd.engine.insight import Insight
    from crawlerd.frontier.reader_contract import FrontierReader
    from crawlerd.operations.history import History
    from crawlerd.operations.recent_rates import RecentRates
    from crawlerd.service.parameters import Parameters
    from crawlerd.service.web.context import PageContext


@dataclass(frozen=True)
class Asked:
    """A request.

    reader: None while there is no frontier.
    words: the words of the path, by name.
    query: the filter.
    now: Unix seconds.
    may_act, may_see_payloads: what the person may do.
    """

    context: PageContext
    reader: FrontierReader | None
    words: Mapping[str, str]
    query: Parameters
    now: float
    history: History
    run_rates: RecentRates[int]
    account_rates: RecentRates[str]
    may_act: bool
    may_see_payloads: bool

    @property
    def live(self) -> Insight:
        return self.context.engine.insight

    @property
    def settings(self) -> Settings:
        return self.context.engine.settings


@dataclass(frozen=True)
class Shown:
    """The answer of a screen.

    template: its name without suffix.
    values: the values for the template.
    title: the page's title, with the state, such as "4 need a look".
    json: path of the same data as JSON, below the API's root; None if there is none.
    """

    template: str
    title: str
    values: Mapping[str, object] = field(default_factory=dict)
    json: str | None = None
    status: int = 200


@dataclass(frozen=True)
class Screen:
    """A screen.

    path: in the form that starlette uses.
    place: its entry in the navigation.
    live: parts of it are updated automatically.
    show: makes its answer, from the module of operations.
    """

    path: str
    place: str
    show: Callable[[Asked], Shown]
    live: bool = False
