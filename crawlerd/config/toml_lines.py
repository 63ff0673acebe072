"""Finds the line of each key in a TOML text, which the parser does not tell."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import tomli

if TYPE_CHECKING:
    from collections.abc import Iterator

Key = tuple[str | int, ...]  # from the top: names of keys, and indexes in lists

# The text is valid, so strings are closed. The patterns still allow a missing end, which keeps them linear.
_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_PART = re.compile(r"""([A-Za-z0-9_-]+)|("(?:[^"\\\n]|\\.)*"?)|'([^'\n]*)'?""")
_LONG = re.compile(r"""\"{3}(?:[^"\\]|\\.|"{1,2}(?!"))*(?:"{3,5})?|'{3}(?:[^']|'{1,2}(?!'))*(?:'{3,5})?""", re.DOTALL)
_SHORT = re.compile(r""""(?:[^"\\\n]|\\.)*"?|'[^'\n]*'?""")
_PLAIN = re.compile(r"[^\s,\]}#]+(?: [0-9][^\s,\]}#]*)?")  # a date may have a space before its time


def lines(text: str) -> dict[Key, int]:
    """The lines of all keys and tables of a valid TOML text, counted from 1. For a table that is written in several
    parts, the first one counts."""
    return _Lines(text.replace("\r\n", "\n")).found


class _Lines:
    def __init__(self, text: str) -> None:
        self._text = text
        self.found: dict[Key, int] = {}
        self._counts: dict[Key, int] = {}  # number of tables in a list so far
        self._at, self._line, self._counted = 0, 1, 0
        table: Key = ()
        while self._skip() < len(text):
            if text.startswith("[", self._at):
                table = self._header()
            else:
                self._pair(table)

    def _skip(self) -> int:
        """Skips whitespace and comments."""
        found = _BLANK.match(self._text, self._at)
        assert found is not None  # noqa: S101 - it matches nothing, too
        self._at = found.end()
        return self._at

    def _space(self) -> int:
        """Skips whitespace within a line."""
        found = _SPACE.match(self._text, self._at)
        assert found is not None  # noqa: S101 - as above
        self._at = found.end()
        return self._at

    def _note(self, key: Key, at: int) -> None:
        self._line += self._text.count("\n", self._counted, at)
        self._counted = at
        for length in range(1, len(key) + 1):
            self.found.setdefault(key[:length], self._line)

    def _header(self) -> Key:
        start, listed = self._at, self._text.startswith("[[", self._at)
        self._at += 1 + listed
        names = list(self._names())
        self._at += 1 + listed
        key: Key = ()
        for number, name in enumerate(names):
            key = (*key, name)
            if listed and number == len(names) - 1:
                self._counts[key] = self._counts.get(key, -1) + 1
            if key in self._counts:
                key = (*key, self._counts[key])
        self._note(key, start)
        return key

    def _names(self) -> Iterator[str]:
        while True:
            found = _PART.match(self._text, self._space())
            assert found is not None  # noqa: S101 - the text is valid
            self._at = found.end()
            self._space()
            bare, quoted, literal = found.groups()
            yield bare or (tomli.loads(f"x = {quoted}")["x"] if quoted else literal)
            if not self._text.startswith(".", self._at):
                return
            self._at += 1

    def _pair(self, table: Key) -> None:
        start = self._at
        key = (*table, *self._names())
        self._note(key, start)
        self._at += 1  # "="
        self._value(key)

    def _value(self, key: Key) -> None:
        text = self._text
        self._skip()
        if text[self._at] == "[":
            self._at, number = self._at + 1, 0
            while text[self._skip()] != "]":
                if text[self._at] == ",":
                    self._at, number = self._at + 1, number + 1
                else:
                    self._note((*key, number), self._at)
                    self._value((*key, number))
            self._at += 1
        elif text[self._at] == "{":
            self._at += 1
            while text[self._skip()] != "}":
                if text[self._at] == ",":
                    self._at += 1
                else:
                    self._pair(key)
            self._at += 1
        else:
            found = _LONG.match(text, self._at) or _SHORT.match(text, self._at) or _PLAIN.match(text, self._at)
            assert found is not None  # noqa: S101 - the text is valid
            self._at = found.end()
