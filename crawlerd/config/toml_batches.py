"""Parses a large TOML file in pieces: the parser's own tree of 100,000 accounts would take 470 MiB."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import tomli

from crawlerd.config.compact_tables import CompactTables, Packer

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGE = 256 * 1024  # characters from which on a file is parsed in pieces
REMEMBERED = 10_000  # lines that are remembered
KINDS = ("accounts", "imports")

# A line that may be the header of a table. Inside a multi-line string or list it is not one; then the pieces before and
# after it cannot be parsed alone.
_KEY = r"""(?:[A-Za-z0-9_-]+|"[^"\\\n]*"|'[^'\n]*')"""
_HEADER = re.compile(rf"^[ \t]*\[\[?[ \t]*({_KEY})(?:[ \t]*\.[ \t]*({_KEY}))?[^\n]*\][ \t]*(?:#[^\n]*)?\r?$", re.M)

_PLAIN = re.compile(r"\[(?:accounts|imports)\.[A-Za-z0-9_-]+\]")


def loads(text: str, packer: Packer, large: int = LARGE) -> dict[str, Any]:
    """The document of a TOML text, as tomli parses it. If it is large, its accounts and imports are CompactTables.

    Raises the errors of tomli.

    large: characters from which on it is parsed in pieces.
    """
    if len(text) >= large:
        try:
            found = _in_pieces(text, packer)
        except (ValueError, RecursionError):
            found = None  # the whole is parsed again, so that the error is about the whole
        if found is not None:
            return found
    return tomli.loads(text)


def daemon_table(text: str) -> object:
    """The table `daemon` of a TOML text; None if there is none. Accounts and imports of a large text are not parsed.

    Raises the errors of tomli.
    """
    if len(text) >= LARGE and '"""' not in text and "'''" not in text:
        others = "".join(piece for owner, piece in _pieces(text) if owner is None)
        try:
            return tomli.loads(others).get("daemon")
        except (ValueError, RecursionError):
            pass
    return tomli.loads(text).get("daemon")


def _in_pieces(text: str, packer: Packer) -> dict[str, Any] | None:
    """The document, parsed in pieces; None if that may not give the right result.

    TOML is a sequence of lines. If two texts are valid alone, and the second begins with a header, both together are
    valid and mean the same, unless both define the same table. So a name may be in only one piece.
    """
    text = text.replace("\r\n", "\n")  # as the parser does
    tables = {kind: CompactTables(packer) for kind in KINDS}
    lines = _Lines(packer)
    others: list[str] = []
    for owner, piece in _pieces(text):
        if owner is None:
            tomli.loads(piece)  # parsed alone: together with others, it could end a list that began before
            others.append(piece)
        elif (row := lines.table(piece)) is None:
            for kind, found in tomli.loads(piece).items():
                if kind not in tables or not isinstance(found, dict) or not tables[kind].keys().isdisjoint(found):
                    return None
                tables[kind].update(found)
        else:
            kind, name = owner
            if name in tables[kind].packed:
                return None
            tables[kind].packed[packer.text(name)] = row  # packed, since imports have the same text
    document = tomli.loads("".join(others))
    if not document.keys().isdisjoint(KINDS):
        return None
    return document | {kind: found for kind, found in tables.items() if found}


class _Lines:
    """Lines that were parsed before: most lines of 100,000 accounts are equal to others."""

    def __init__(self, packer: Packer) -> None:
        self._packer = packer
        self._parsed: dict[str, tuple[()] | tuple[str, object]] = {}  # nothing, or a key and its value

    def table(self, piece: str) -> tuple[object, ...] | None:
        """The table of a piece that has only one, with each line valid alone; None for other pieces."""
        header, _, body = piece.partition("\n")
        if not _PLAIN.fullmatch(header):
            return None
        found = {}
        parsed = self._parsed
        try:
            for line in body.split("\n"):
                if each := parsed[line] if line in parsed else self._parse(line):
                    key, value = each
                    if key in found:
                        return None
                    found[key] = value
        except ValueError:
            return None
        return self._packer.packed_table(found)

    def _parse(self, line: str) -> tuple[()] | tuple[str, object]:
        """The key and value of a line; empty for a line without any. Raises ValueError for anything else."""
        if line.lstrip().startswith("["):
            raise ValueError("a header")
        found = tomli.loads(line)
        each = next(((key, self._packer.pack(value)) for key, value in found.items()), ())
        if len(self._parsed) > REMEMBERED:
            self._parsed.clear()
        self._parsed[line] = each
        return each


def _pieces(text: str) -> Iterator[tuple[tuple[str, str] | None, str]]:
    """The text in pieces, each with what it defines: one account or import with all tables in it, or None for anything
    else."""
    start = 0
    before: tuple[str, str] | None = None
    for header in _HEADER.finditer(text):
        owner, at = _owner(header), header.start()
        if owner != before:
            if at > start:
                yield before, text[start:at]
            before, start = owner, at
    yield before, text[start:]


def _owner(header: re.Match[str]) -> tuple[str, str] | None:
    kind, name = header.groups()
    kind = kind.strip("\"'")
    return (kind, name) if name and kind in KINDS else None
