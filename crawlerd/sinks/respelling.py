"""Data of versions that did not keep the API's spelling: the same object, and another text."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator


def are_respelled(old: str, new: str) -> bool:
    """Whether the old text is what an earlier version made of the new one."""
    return old.encode() in respellings(new.encode())


def respellings(text: bytes) -> Iterator[bytes]:
    """What versions that did not keep the API's spelling made of a JSON text."""
    with suppress(ValueError, TypeError, OverflowError, RecursionError):
        yield msgspec.json.encode(msgspec.json.decode(text))
    with suppress(ValueError, TypeError, OverflowError, RecursionError):
        yield msgspec.json.encode(json.loads(text))  # where another record of the page was odd
