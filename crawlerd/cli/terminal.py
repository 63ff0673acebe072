"""How commands print: what an API, a file or another program says is shown, and never obeyed by the terminal."""

from __future__ import annotations

import re

import typer

from crawlerd.core.redaction import shown

# In JSON that is valid already: DEL, the second set of control characters, and what turns the direction of text.
_OBEYED = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def say(text: str = "", *, error: bool = False) -> None:
    """Prints one line, to stderr if it is an error."""
    typer.echo(shown(text), err=error)


def say_json(text: bytes | str) -> None:
    """Prints JSON, which may have several lines. What a terminal would obey is escaped."""
    words = text.decode() if isinstance(text, bytes) else text
    typer.echo(_OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", words))
