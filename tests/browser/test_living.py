"""A page that is left open: what moves, and what does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from selenium.webdriver.common.keys import Keys
from support.faulty_daemon import FaultyDaemon

if TYPE_CHECKING:
    from support.chromium import Chromium

# Samples each frame where the focus is, and what the page has replaced since.
_WATCH = """
window.watched = {changes: 0, places: new Set(), lost: 0};
const at = document.activeElement;
new MutationObserver(all => { watched.changes += all.length; })
  .observe(document.querySelector("main"), {subtree: true, childList: true, characterData: true});
const sample = () => {
  if (document.activeElement !== at) watched.lost++;
  const box = at.getBoundingClientRect();
  watched.places.add([box.x, box.y, box.width].map(Math.round).join());
  requestAnimationFrame(sample);
};
sample();
"""


def changes(chromium: Chromium) -> int:
    return int(chromium.driver.execute_script("return watched.changes"))


@pytest.mark.parametrize("path", ["/", "/imports/slow", "/runs/{run of slow}"])
def test_figures_move_and_nothing_moves_under_focus(looking: Chromium, faults: FaultyDaemon, path: str) -> None:
    looking.open(path.replace("{run of slow}", str(faults.run_of("slow"))))
    looking.find("link", "live")
    main = looking.driver.execute_script("return document.querySelector('main')")
    links = looking.all("link", ".*", main)
    looking.driver.execute_script("arguments[0].focus()", links[len(links) // 2])
    looking.driver.execute_script(_WATCH)
    looking.until(lambda: changes(looking) >= 5, "nothing on the page has changed", 60)
    lost, places = looking.driver.execute_script("return [watched.lost, [...watched.places]]")
    assert lost == 0
    assert len(places) == 1


def test_who_wants_it_still_gets_it_still(looking: Chromium) -> None:
    looking.open("/")
    header = "return document.querySelector('header')"
    looking.click("link", "live")
    looking.find("link", "paused", looking.driver.execute_script(header))
    looking.open("/runs")
    looking.open("/")
    looking.find("link", "paused", looking.driver.execute_script(header))  # remembered
    looking.driver.execute_script(_WATCH)
    started = looking.driver.execute_script("return performance.getEntriesByType('resource').map(each => each.name)")
    assert not [each for each in started if "events" in each or "live" in each]  # no stream that could change anything
    assert changes(looking) == 0
    looking.click("link", "paused", looking.driver.execute_script(header))
    looking.find("link", "live")
    looking.driver.execute_script(_WATCH)
    looking.until(lambda: changes(looking), "nothing on the page has changed", 60)


@pytest.mark.parametrize("path", ["/", "/accounts", "/dead"])
def test_all_is_reached_by_the_keyboard(looking: Chromium, path: str) -> None:
    looking.open("/")
    looking.click("link", "live")  # so that the number of links stays
    looking.open(path)
    shown = [*looking.all("link", ".+"), *looking.all("button", ".+"), *looking.all("field", ".*")]
    reached = looking.tabbed()
    assert reached[0] == "Skip to content"
    assert len(reached) >= len(shown) > 10
    assert [each for each in reached if each.startswith("!")] == []


def test_keys_lead_to_screens(looking: Chromium) -> None:
    looking.open("/")
    for key, path in {"i": "/imports", "r": "/runs", "a": "/accounts", "d": "/dead", "o": "/"}.items():
        looking.press("g")
        looking.press(key)
        looking.until(lambda path=path: looking.path == path, f"g {key} does not lead to {path}")
    looking.press("?")
    looking.find("heading", "Keys")
    looking.press(Keys.ESCAPE)
    looking.until(lambda: not looking.all("heading", "Keys"), "Escape does not close the help")
    looking.open("/accounts")
    looking.press("/")
    assert looking.driver.switch_to.active_element.tag_name == "input"
    looking.press("refu", Keys.ENTER)
    looking.until(lambda: "refu" in looking.path, "Enter does not filter")
    looking.find("link", "refused")


def test_a_page_left_open_goes_on_after_a_restart(chromium: Chromium, tmp_path_factory: pytest.TempPathFactory) -> None:
    with FaultyDaemon(tmp_path_factory.mktemp("restarted") / "i") as daemon:
        chromium.fresh(daemon.url)
        chromium.open("/")
        chromium.find("link", "live")
        chromium.driver.execute_script(_WATCH)
        chromium.until(lambda: changes(chromium), "nothing on the page has changed")
        chromium.expect("ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_EMPTY_RESPONSE")
        daemon.restart()
        seen = changes(chromium)
        chromium.until(lambda: changes(chromium) > seen + 1, "the page does not come back to life", 30)
        chromium.fresh("")
