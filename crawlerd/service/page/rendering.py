"""The templates, and the functions that they may call. Everything that they write is escaped and cut, except markup
made here."""

from __future__ import annotations

import hashlib
import re
import secrets
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from markupsafe import Markup, escape

from crawlerd.core.wording import counted, plain_error
from crawlerd.service.page import charts, page_texts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import tzinfo

    from jinja2.runtime import Context

PACKAGE = "crawlerd.service.page"
STYLES, SCRIPTS = "static", "vendor"
FILES = {  # by the name that browsers request
    "style.css": (STYLES, "text/css; charset=utf-8"),
    "page.js": (STYLES, "text/javascript; charset=utf-8"),
    "icon.svg": (STYLES, "image/svg+xml"),
    "htmx.min.js": (SCRIPTS, "text/javascript; charset=utf-8"),
    "hx-sse.min.js": (SCRIPTS, "text/javascript; charset=utf-8"),
}


COMMANDS = (  # commands that the page can do itself: the path of a link and its words
    (re.compile(r"crawlerd (reload)"), "/about", "reload the configuration"),
    (re.compile(r"crawlerd dead list --import (\S+)"), "/dead?import=", "look at them"),
    (re.compile(r"crawlerd dead show (\d+)"), "/dead/", "look at it"),
    (re.compile(r"crawlerd run show (\d+)"), "/runs/", "look at the run"),
    (re.compile(r"crawlerd accounts (?:show|test) (\S+)"), "/accounts/", "look at the account"),
    (re.compile(r"crawlerd resume import (\S+)"), "/imports/", "resume the import"),
    (re.compile(r"crawlerd resume account (\S+)"), "/accounts/", "resume the account"),
    (re.compile(r"crawlerd (?:import|why) (\S+)"), "/imports/", "see the import"),
)


@cache
def asset(name: str) -> bytes:
    """The content of a file. Raises KeyError if there is none of that name."""
    return resources.files(PACKAGE).joinpath(FILES[name][0], name).read_bytes()


@cache
def asset_path(name: str) -> str:
    """Its path, which changes with the content, so that browsers may cache it."""
    return f"/assets/{hashlib.sha256(asset(name)).hexdigest()[:12]}/{name}"


@cache
def environment() -> Environment:
    made = Environment(
        loader=PackageLoader(PACKAGE),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=page_texts.safe,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters.update(
        time=_timed(page_texts.time),
        ago=_timed(page_texts.ago),
        until=_timed(page_texts.until),
        number=page_texts.number,
        rate=page_texts.rate,
        percent=page_texts.percent,
        duration=page_texts.duration,
        size=page_texts.size,
        cut=page_texts.cut,
        block=page_texts.block,
        sign=page_texts.sign,
        segment=page_texts.segment,
        told=_told,
        digest=page_texts.digest,
        remark=page_texts.remark,
        counted=counted,
        error=plain_error,
    )
    made.globals.update(
        link=_link, asset=_asset, key=lambda: secrets.token_hex(16), line_chart=charts.line_chart, bars=charts.bars
    )
    return made


def render(template: str, values: Mapping[str, object]) -> str:
    """Renders a template.

    template: its name without suffix.
    """
    return environment().get_template(f"{template}.html").render(values)


REGION = re.compile(r"<!--\[([\w-]+)-->(.*?)<!--\1\]-->", re.DOTALL)


def regions(body: str) -> dict[str, str]:
    """The parts of a page that are updated automatically, by the `id` of their elements. Only markup of ours can look
    like the marks around them, since all texts are escaped."""
    return {found[1]: found[2].strip() for found in REGION.finditer(body)}


def _timed(
    write: Callable[[float | None, float, tzinfo | None], Markup | str],
) -> Callable[[Context, float | None], Markup | str]:
    @pass_context
    def written(context: Context, seconds: float | None) -> Markup | str:
        return write(seconds, context["now"], context["zone"])

    return written


@pass_context
def _link(context: Context, path: str, **query: object) -> Markup:
    """A path below the root at which a proxy serves the page. It is never cut: a filter that was cut would match more.

    query: parameters; None and "" are left out.
    """
    wanted = {key.rstrip("_"): value for key, value in query.items() if value not in (None, "")}
    return escape(f"{context['root']}{path}" + (f"?{urlencode(wanted)}" if wanted else ""))


@pass_context
def _told(context: Context, text: str) -> Markup:
    """A sentence written for the terminal, as the page shows it: commands that show something become links to the same
    on the page."""
    parts = str(page_texts.safe(plain_error(text))).split("`")
    if len(parts) % 2 == 0:
        return escape("`".join(parts))
    return Markup("").join(_command(context, part) if place % 2 else part for place, part in enumerate(parts))


def _command(context: Context, command: str) -> Markup:
    for form, path, words in COMMANDS:
        if found := form.fullmatch(command):
            subject = page_texts.segment(found[1]) if path.endswith(("/", "=")) else ""
            target = f"{context['root']}{path}{subject}"
            return Markup('<a href="{}">{}</a>').format(target, words)
    return Markup("<code>{}</code>").format(command)


@pass_context
def _asset(context: Context, name: str) -> str:
    return f"{context['root']}{asset_path(name)}"
