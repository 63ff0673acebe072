"""Every screen, as a person with any eyes, any window and any browser gets it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from selenium.common.exceptions import NoAlertPresentException
from support.axe import findings
from support.chromium import PHONE, SCHEMES
from support.faulty_daemon import LONG
from support.installation import fetch

if TYPE_CHECKING:
    from support.chromium import Chromium
    from support.faulty_daemon import FaultyDaemon

# By the import that a number in the path is of: the newest run of it, or its first dead letter.
SCREENS = (
    "/",
    "/imports",
    "/imports/slow",
    "/imports/locked",
    "/imports/never",
    f"/imports/{LONG}",
    "/runs",
    "/runs?import=no-such-import",
    "/runs/{run of slow}",
    "/runs/{run of dead}",
    "/runs/{run of hostile}",
    "/accounts",
    "/accounts?prefix=no-such-account",
    "/accounts/refused",
    "/accounts/paused",
    "/accounts/hostile",
    f"/accounts/{LONG}",
    "/dead",
    "/dead?import=hostile",
    "/dead/{letter of hostile}",
    "/dead/{letter of dead}",
    "/operations",
    "/audit",
    "/about",
)
MISSING = (
    "/runs/999999",
    "/imports/no-such-import",
    "/accounts/refusd",
    "/dead/999999",
    "/no-such-page",
    "/%E2%80%AE%3Cscript%3Ealert(1)",
)
HARMFUL = re.compile("[\u202a-\u202e\u2066-\u2069\x00-\x08\x0b-\x1f\x7f-\x9f]")


def path_of(screen: str, faults: FaultyDaemon) -> str:
    if found := re.search(r"\{(run|letter) of (\w+)\}", screen):
        number = faults.run_of(found[2]) if found[1] == "run" else faults.letter_of(found[2])
        return screen.replace(found[0], str(number))
    return screen


def harmful(chromium: Chromium) -> list[str]:
    """What a text from an API has done to the page."""
    try:
        return [chromium.driver.switch_to.alert.text]
    except NoAlertPresentException:
        pass
    injected = "return document.querySelectorAll('[onclick], [onerror], main script, img[src=x]').length"
    found = [*HARMFUL.findall(chromium.driver.page_source)]
    return [*found, *["an element"] * chromium.driver.execute_script(injected)]


@pytest.mark.parametrize("screen", SCREENS)
def test_a_screen_is_for_everybody(looking: Chromium, faults: FaultyDaemon, screen: str) -> None:
    path = path_of(screen, faults)
    looking.open(path)
    assert len(looking.all("heading", ".*")) >= 1
    assert looking.title.endswith("crawlerd")
    wrong: dict[str, list[str]] = {
        scheme: found for scheme in SCHEMES if (found := looking.in_scheme(scheme, findings))
    }
    if found := harmful(looking):
        wrong["hostile texts"] = found
    wide = looking.too_wide()
    looking.size(*PHONE)
    if found := wide + looking.too_wide():
        wrong["scrolls sideways"] = found
    if found := findings(looking):
        wrong["phone"] = found
    if found := looking.complaints():
        wrong["console"] = found
    address = str(looking.find("link", "The same as JSON").get_attribute("href"))
    status, body = fetch(faults.daemon, address.removeprefix(faults.url))
    if status != 200 or not isinstance(json.loads(body), dict | list):
        wrong["the same as JSON"] = [address, body[:200]]
    headings = [each.text for each in looking.all("heading", ".*")]
    looking.without_script()
    looking.open(path)
    if (found := [each.text for each in looking.all("heading", ".*")]) != headings:
        wrong["without script"] = found
    assert wrong == {}


@pytest.mark.parametrize("screen", MISSING)
def test_what_is_not_there_is_said(looking: Chromium, screen: str) -> None:
    looking.expect("status of 404")
    looking.open(screen)
    assert findings(looking) == []
    assert harmful(looking) == []
    looking.click("link", "Overview")
    assert looking.path == "/"
    looking.sees("need a look")


def test_hostile_texts_are_shown_as_texts(looking: Chromium, faults: FaultyDaemon) -> None:
    looking.open(f"/dead/{faults.letter_of('hostile')}")
    looking.sees("<script>alert(1)</script>", "<b onclick=alert(")
    looking.open("/accounts/paused")
    looking.sees("they move house <b onclick=alert(3)>bold</b>")
    looking.open("/dead?import=hostile")
    assert len(looking.sees("<script>alert(1)")) < 20_000  # cut
