"""All forms of the page, with the resource that each one uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crawlerd.service.page import further_screens, import_actions

if TYPE_CHECKING:
    from crawlerd.service.page.page_forms import Form

FORMS: tuple[Form, ...] = (*import_actions.FORMS, *further_screens.FORMS)
