"""A real browser: Debian's chromium without a window, looked at and used as a person would."""

from __future__ import annotations

import base64
import os
import re
import shutil
import time
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException, WebDriverException
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Self

    from selenium.webdriver.remote.webelement import WebElement

T = TypeVar("T")

PHONE = (360, 740)
DESK = (1280, 900)
SCHEMES = ("light", "dark")
_SELECTORS = {
    "link": "a[href]",
    "button": "button, input[type=submit], summary",
    "field": "input:not([type=hidden], [type=submit]), textarea, select",
    "heading": "h1, h2, h3, h4",
    "row": "tr",
    "dialog": "dialog",
}
# Visible elements of a kind whose accessible name matches.
_FIND = """
const [selector, pattern, root] = arguments, wanted = new RegExp("^(?:" + pattern + ")$", "is");
const text = e => (e.innerText ?? e.textContent).replace(/\\s+/g, " ").trim();
const named = e => document.getElementById(e.getAttribute("aria-labelledby"));
const name = e => e.getAttribute("aria-label") ?? (named(e) && text(named(e)))
  ?? (e.labels?.length ? [...e.labels].map(text).join(" ") : e.tagName == "INPUT" ? e.value : text(e));
return [...(root ?? document).querySelectorAll(selector)].filter(
  e => e.checkVisibility({visibilityProperty: true}) && wanted.test(name(e)));
"""
# What is wider than the window and does not scroll in a box of its own.
_WIDE = """
const wide = document.documentElement.clientWidth;
if (document.documentElement.scrollWidth <= wide) return [];
return [...document.body.querySelectorAll("*")].filter(e => e.getBoundingClientRect().right > wide + 1)
  .map(e => e.tagName + "." + e.getAttribute("class") + ": " + e.textContent.slice(0, 40));
"""
# Notes what gets the focus from now on. Returns how many elements there are to reach.
_REACH = """
window.reached = [];
addEventListener("focusin", ({target}) => {
  if (target === document.body) return;
  const {outlineStyle, outlineWidth} = getComputedStyle(target);
  const unseen = outlineStyle == "none" || parseFloat(outlineWidth) < 1;
  reached.push((unseen ? "!" : "") + (target.getAttribute("aria-label") ?? target.textContent).trim().slice(0, 60));
});
document.body.tabIndex = -1;
document.body.focus();
document.body.removeAttribute("tabindex");
return [...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, summary, [tabindex='0']")]
  .filter(each => each.checkVisibility({visibilityProperty: true})).length;
"""


class Chromium:
    """One window, used again by each test: `fresh` forgets what the last one did.

    folder: for its profile and the driver's log.
    """

    def __init__(self, folder: Path) -> None:
        programs = [shutil.which(name) for name in ("chromium", "chromedriver")]
        assert all(programs), "install Debian's chromium and chromium-driver: the page is tested in them"
        options = ChromeOptions()
        options.binary_location = str(programs[0])
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        for argument in (
            "--headless=new",
            "--disable-gpu",
            "--disable-dev-shm-usage",  # a container's is small
            "--disable-background-networking",
            "--disable-component-update",
            "--no-first-run",
            "--force-prefers-reduced-motion",
            f"--user-data-dir={folder / 'profile'}",
            *(["--no-sandbox"] if os.geteuid() == 0 else []),
        ):
            options.add_argument(argument)
        service = ChromeService(str(programs[1]), log_output=str(folder / "chromedriver.log"))
        self.driver = Chrome(options=options, service=service)
        self.origin = ""
        self._complaints: list[str] = []
        self._expected: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.driver.quit()

    def fresh(self, origin: str) -> None:
        """A desk, the light scheme, scripts on, no cookies, nothing open, nothing heard.

        origin: what the paths of `open` are below, such as http://127.0.0.1:9090."""
        self.driver.get("about:blank")
        for other in self.driver.window_handles[1:]:
            self.driver.switch_to.window(other)
            self.driver.close()
        self.driver.switch_to.window(self.driver.window_handles[0])
        self._send("Network.clearBrowserCookies")
        self._send("Emulation.setScriptExecutionDisabled", value=False)
        self.size(*DESK)
        self.scheme("light")
        self.complaints()
        self._complaints.clear()
        self._expected.clear()
        self.origin = origin.rstrip("/")

    def _send(self, method: str, **parameters: Any) -> Any:
        return self.driver.execute_cdp_cmd(method, parameters)

    # what the person has

    def size(self, width: int, height: int) -> None:
        """In CSS pixels; below 500 it is a phone."""
        self._send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        self._send("Emulation.setPageScaleFactor", pageScaleFactor=1)

    def scheme(self, scheme: str) -> None:
        """The system's colors: light or dark."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._send("Emulation.setEmulatedMedia", features=features)

    def in_scheme(self, scheme: str, look: Callable[[Chromium], T]) -> T:
        self.scheme(scheme)
        try:
            return look(self)
        finally:
            self.scheme("light")

    def without_script(self) -> None:
        """For pages that are opened from now on."""
        self._send("Emulation.setScriptExecutionDisabled", value=True)

    # what it shows

    def open(self, path: str) -> None:
        self.driver.get(self.origin + path)

    @property
    def path(self) -> str:
        """With the query."""
        parts = urlsplit(self.driver.current_url)
        return parts.path + (f"?{parts.query}" if parts.query else "")

    @property
    def title(self) -> str:
        return self.driver.title

    @property
    def text(self) -> str:
        """All that is visible."""
        return self._settled(lambda: self.driver.find_element(By.TAG_NAME, "body").text)

    def sees(self, *texts: str, seconds: float = 15.0) -> str:
        """Waits until all are visible. Returns all that is."""
        shown = ""

        def missing() -> list[str]:
            nonlocal shown
            shown = self.text
            folded = " ".join(shown.split())
            return [each for each in texts if each not in folded]

        self.until(lambda: not missing(), lambda: f"no {missing()} at {self.driver.current_url} in:\n{shown}", seconds)
        return shown

    def until(self, condition: Callable[[], Any], otherwise: Callable[[], str] | str, seconds: float = 15.0) -> Any:
        """The first true value of `condition`."""
        deadline = time.monotonic() + seconds
        while not (value := self._settled(condition)):
            if time.monotonic() > deadline:
                raise AssertionError(otherwise if isinstance(otherwise, str) else otherwise())
            time.sleep(0.05)
        return value

    @staticmethod
    def _settled(look: Callable[[], Any]) -> Any:
        """Looks again where the page, or an element of it, was replaced while it was looked at."""
        for _ in range(20):
            try:
                return look()
            except (NoSuchElementException, StaleElementReferenceException):
                continue
            except WebDriverException as error:
                if "does not belong to the document" not in str(error):  # another word for stale
                    raise
        return look()

    # what the person does

    def all(self, kind: str, name: str, within: WebElement | None = None) -> list[WebElement]:
        """Visible elements of a kind of `_SELECTORS`. name: a pattern for the whole accessible name, in any case."""
        found: list[WebElement] = self.driver.execute_script(_FIND, _SELECTORS[kind], name, within)
        return found

    def find(self, kind: str, name: str, within: WebElement | None = None) -> WebElement:
        """The only such element; waits for it."""
        found = self.until(
            lambda: self.all(kind, name, within),
            lambda: f"no {kind} {name!r} at {self.driver.current_url} in:\n{self.text}",
        )
        assert len(found) == 1, [each.get_attribute("outerHTML") for each in found]
        element: WebElement = found[0]
        return element

    def first(self, kind: str, name: str) -> WebElement:
        """The first such element, of those that lead to the same place."""
        found = self.until(lambda: self.all(kind, name), lambda: f"no {kind} {name!r} in:\n{self.text}")
        element: WebElement = found[0]
        return element

    def click(self, kind: str, name: str, within: WebElement | None = None) -> None:
        self._settled(lambda: self.find(kind, name, within).click())

    def type(self, name: str, text: str, within: WebElement | None = None) -> None:
        """Into the field of that label."""
        field = self.find("field", name, within)
        field.clear()
        field.send_keys(text)

    def press(self, *keys: str) -> None:
        """On the keyboard, for whatever has the focus."""
        self.driver.switch_to.active_element.send_keys(*keys)

    def tabbed(self) -> list[str]:
        """Presses Tab from the top as often as there are elements to reach: the names of all that got the focus, with
        `!` before those that do not look like it."""
        presses = self.driver.execute_script(_REACH)
        self.driver.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB * (presses + 1))
        reached: list[str] = self.driver.execute_script("return reached")
        return reached

    # what is wrong

    def expect(self, pattern: str) -> None:
        """The console will say this, and it is no fault: an answer of 404, say."""
        self._expected.append(pattern)

    def complaints(self) -> list[str]:
        """What the console has said since `fresh`, but for what is expected.

        Violations of the content security policy, errors of scripts, files that could not be loaded."""
        self._complaints += [
            f"{each['source']}: {each['message']}"
            for each in self.driver.get_log("browser")
            if each["source"] != "recommendation"
        ]
        return [each for each in self._complaints if not any(re.search(one, each) for one in self._expected)]

    def too_wide(self) -> list[str]:
        """What makes the window scroll sideways."""
        found: list[str] = self.driver.execute_script(_WIDE)
        return found

    def picture(self, path: Path) -> None:
        """Of the whole page."""
        self._send("Emulation.setScrollbarsHidden", hidden=True)
        width, height = self.driver.execute_script("return [innerWidth, document.documentElement.scrollHeight]")
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        taken = self._send("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(taken["data"]))
