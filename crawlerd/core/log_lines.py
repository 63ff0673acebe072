"""How log lines look: what an API says in them is shown, and begins no line of its own."""

from __future__ import annotations

import logging

from crawlerd.core.redaction import shown, without_credentials


class OneLine(logging.Formatter):
    """A record is a line, but for a traceback, whose lines are indented. In an attempt, without its credentials."""

    def format(self, record: logging.LogRecord) -> str:
        said = super().format(record)
        if not record.exc_text or not said.endswith(record.exc_text):
            return shown(without_credentials(said))
        message = said[: -len(record.exc_text)].removesuffix("\n")
        lines = without_credentials(record.exc_text).split("\n")
        return "\n".join([shown(without_credentials(message)), *(f"  {shown(each)}" for each in lines)])
