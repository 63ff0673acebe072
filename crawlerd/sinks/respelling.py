"""Data from versions that did not keep the API's spelling: the same object with another text."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator


def are_respelled(old: str, new: str) -> bool:
    """Whether the old text is what an earlier version made from the new one."""
    return old.encode() in respellings(new.encode())


def respellings(text: bytes) -> Iterator[bytes]:
    """The texts that versions which did not keep the API's spelling made from a JSON text."""
    with suppress(ValueError, TypeError, OverflowError, RecursionError):
        yield msgspec.json.encode(msgspec.json.decode(text))
    with suppress(ValueError, TypeError, OverflowError, RecursionError):
        yield msgspec.json.encode(json.loads(text))  # such a version did so if another record of the page was unusual
