"""The page: what the module of operations knows, shown in a browser. The page adds nothing of its own.

asked: a request, as a screen sees it.
screens: all screens, and the navigation.
screen_answers: a screen as the answer to a request.
page_forms: what people can do on the page, through the API's resources.
actions: all forms.
rendering: the templates, and the functions that they may call.
page_texts: numbers, times and texts, escaped and cut.
charts: SVG.
live_stream: sends the parts of a page that have changed.
page_sampler: reads the counters once a second.
first_lines: a first configuration.
import_actions: what people can do to an import and a run.
letter_actions, letter_filters: what people can do to dead letters, and how they are selected.
further_screens: accounts, dead letters, operations, the audit, the daemon.
overview_screen, import_screen, imports_screen, run_screen, runs_screen, account_screen, accounts_screen, pause_screen,
    dead_screen, letter_screen, letter_act_screen, operations_screen, audit_screen, about_screen: the values that their
    templates show, taken from the module of operations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from crawlerd.service.page.screen_answers import Pages
    from crawlerd.service.web.context import PageContext


_pages: WeakKeyDictionary[PageContext, Pages] = WeakKeyDictionary()  # one for all listeners of a daemon


def routes(context: PageContext) -> list[BaseRoute]:
    """All routes of the page, for the server."""
    from crawlerd.service.page.screen_answers import Pages  # Jinja2 is loaded only if there is a page

    if (made := _pages.get(context)) is None:
        made = _pages[context] = Pages(context)
    return made.routes()


def login(root: str, title: str, detail: str, wanted: str, *, failed: bool) -> str:
    """The page that asks for a token.

    root: the path at which a proxy serves the page.
    title, detail: texts of the page.
    wanted: the path to go to afterwards.
    failed: a wrong token was given.
    """
    from crawlerd.service.page.rendering import render

    values = {"root": root, "title": title, "detail": detail, "wanted": wanted, "failed": failed}
    return render("login", {**values, "now": 0.0, "zone": None})
