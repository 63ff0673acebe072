"""Texts that every request of an account is sent with, and the fields in them: {variables.NAME}. Pure.

Other braces are text. If their content resembles a field, that is a mistake and is refused, so that no field is ever
sent unreplaced. (Paths and parameters are templates with more fields, see `expressions`.)
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from crawlerd.core import notation

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

SHOWN = 40  # characters of a text in a message
FIELD = re.compile(r"\{variables\.([A-Za-z_][A-Za-z0-9_]*)\}")
_BRACES = re.compile(r"\{[{\s$]{0,20}([A-Za-z_][A-Za-z0-9_-]*)")
OURS = ("variables", "parent", "since")
# Other names that people use for such a field.
ALIKE = {
    "var",
    "vars",
    "env",
    "config",
    "options",
    "account",
    "accounts",
    "apikey",
    "key",
    "secret",
    "token",
    "baseurl",
}
ALIKE |= {"record", "until", "now", "today", "cursor", "page", "offset", "limit"}
NEAR = 0.75  # of `difflib`: "parents", "varaibles" and "sinse" are near, "print" and "single" are not


def checked(text: str, variables: Collection[str], *, url: bool = False) -> str:
    """The text itself. Raises ValueError if it has a field that no account can fill in, or something similar.

    url: any name in braces counts as a field, since a URL has no other braces.
    """
    for found in _BRACES.finditer(text):
        exact = FIELD.match(text, found.start())
        if exact and exact[1] not in variables:
            raise ValueError(f'there is no variable "{exact[1]}"; declare it: variables = ["{exact[1]}"]')
        if not exact and (url or _nearly(found[1], variables)):
            shown = text[found.start() : text.find("}", found.start()) + 1 or None].strip()[:SHOWN]
            raise ValueError(f'"{shown}" would be sent unchanged; {_instead(found[1], variables)}')
    return text


def fixed(text: str, variables: Collection[str]) -> str:
    """The text itself. Raises ValueError if it has a field or something similar, since none is filled in here."""
    if found := FIELD.search(checked(text, variables)):
        raise ValueError(f'"{found[0]}" would be sent unchanged; no field is filled in here')
    return text


def checked_url(text: str, variables: Collection[str]) -> str:
    """The URL without its last slash. Raises ValueError as `checked` and `notation.base_url` do."""
    notation.base_url(FIELD.sub("1", checked(text, variables, url=True)))
    return text.rstrip("/")


def checked_header(value: str) -> str:
    """The value. Raises ValueError if a header cannot contain it."""
    if not value.isascii() or not value.isprintable():
        raise ValueError("must be printable ASCII characters")
    return value


def filled(text: str, variables: Mapping[str, str]) -> str:
    return FIELD.sub(lambda found: variables[found[1]], text)


def filled_header(text: str, variables: Mapping[str, str]) -> str:
    """The text with variables. Raises ValueError if a header cannot contain a value."""
    value = filled(text, variables)
    if value != text and value.strip() != value:
        raise ValueError(f'make the header "{value[:SHOWN]}", which begins or ends with a space')
    try:
        return checked_header(value)
    except ValueError as error:
        raise ValueError(f'make the header "{value[:SHOWN]}", which {error}') from None


def filled_path(text: str, variables: Mapping[str, str]) -> str:
    """The path with variables, each a segment or part of one. Raises ValueError if it would lead elsewhere."""
    path = FIELD.sub(lambda found: quote(variables[found[1]], safe=""), text)
    if path != text and any(segment in (".", "..") for segment in path.split("/")):
        raise ValueError(f"make the path {path[:SHOWN]}, which leads elsewhere")
    return path


def filled_url(text: str, variables: Mapping[str, str]) -> str:
    """The full URL with variables. Raises ValueError if it is not a URL, or one that may not be used."""
    if "{" not in text:
        return text
    scheme, _, rest = text.partition("://")
    host, slash, path = rest.partition("/")
    for name in FIELD.findall(host):
        if not re.fullmatch("[A-Za-z0-9._-]+", variables[name]):
            raise ValueError(f'"{name}" is "{variables[name][:SHOWN]}", which no host can have in its name')
    return notation.base_url(f"{scheme}://{filled(host, variables)}{filled_path(slash + path, variables)}")


def _nearly(word: str, variables: Collection[str]) -> bool:
    words = {_letters(word), re.split("[^a-z]", word.lower())[0]}
    names = [*OURS, *map(_letters, variables)]
    return any(
        each in ALIKE or each.startswith(OURS) or difflib.get_close_matches(each, names, n=1, cutoff=NEAR)
        for each in words
    )


def _letters(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())


def _instead(word: str, variables: Collection[str]) -> str:
    for name in variables:
        if _letters(word) == _letters(name):
            return f"write {{variables.{name}}}"
    if _letters(word).startswith("parent"):
        return "use a parent's fields in path and parameters of an endpoint that has one"
    example = next(iter(variables), "NAME")
    return f"a field is {{variables.{example}}}, and {'declared' if variables else 'none is declared'} in variables"
