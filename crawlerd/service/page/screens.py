"""All screens, and the navigation."""

from __future__ import annotations

from crawlerd.service.page.asked import Screen
from crawlerd.service.page.further_screens import SCREENS as FURTHER
from crawlerd.service.page.import_actions import cancel, edit, full
from crawlerd.service.page.import_screen import import_
from crawlerd.service.page.imports_screen import imports
from crawlerd.service.page.overview_screen import overview
from crawlerd.service.page.run_screen import run
from crawlerd.service.page.runs_screen import runs

# After the key `g`, the first letter of a place goes there.
PLACES = (
    ("overview", "/", "Overview"),
    ("imports", "/imports", "Imports"),
    ("runs", "/runs", "Runs"),
    ("accounts", "/accounts", "Accounts"),
    ("dead", "/dead", "Dead letters"),
    ("operations", "/operations", "Operations"),
    ("audit", "/audit", "Audit"),
    ("about", "/about", "About"),
)
SCREENS = (
    Screen("/", "overview", overview, live=True),
    Screen("/imports", "imports", imports, live=True),
    Screen("/imports/{name:path}/full", "imports", full),
    Screen("/imports/{name:path}/syncpoints", "imports", edit),
    Screen("/imports/{name:path}", "imports", import_, live=True),
    Screen("/runs", "runs", runs, live=True),
    Screen("/runs/{number}/cancel", "runs", cancel),
    *FURTHER,
    Screen("/runs/{number}", "runs", run, live=True),
)
