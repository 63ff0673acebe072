"""The list of screens about accounts, dead letters, operations, the audit and the daemon, with their forms."""

from __future__ import annotations

from crawlerd.service.page import about_screen, letter_actions, pause_screen
from crawlerd.service.page.about_screen import about, backup
from crawlerd.service.page.account_screen import account
from crawlerd.service.page.accounts_screen import accounts
from crawlerd.service.page.asked import Screen
from crawlerd.service.page.audit_screen import audit
from crawlerd.service.page.dead_screen import dead_letters
from crawlerd.service.page.letter_act_screen import drop, retry
from crawlerd.service.page.letter_screen import letter
from crawlerd.service.page.operations_screen import operation, operations
from crawlerd.service.page.pause_screen import pause

SCREENS = (
    Screen("/accounts", "accounts", accounts, live=True),
    Screen("/accounts/{name:path}", "accounts", account, live=True),
    Screen("/pause", "accounts", pause),
    Screen("/dead", "dead", dead_letters, live=True),
    Screen("/dead/retry", "dead", retry),
    Screen("/dead/drop", "dead", drop),
    Screen("/dead/{number}", "dead", letter),
    Screen("/operations", "operations", operations, live=True),
    Screen("/operations/{number}", "operations", operation, live=True),
    Screen("/audit", "audit", audit),
    Screen("/about", "about", about),
    Screen("/about/backup", "about", backup),
)
FORMS = (*pause_screen.FORMS, *letter_actions.FORMS, *about_screen.FORMS)
