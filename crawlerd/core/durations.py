"""Durations as people write them."""

from __future__ import annotations

import re
from functools import lru_cache

LONGEST = 365 * 86_400.0  # seconds
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"(\d{1,20}(?:\.\d{1,20})?)(ms|[smhdw])")


@lru_cache  # a hundred thousand accounts may have the same duration
def parse_duration(text: str) -> float:
    """The seconds of "90s", "1h30m", "500ms" or "1d". Raises ValueError for other texts, 0, and more than 365 days."""
    parts = _PART.findall(text)
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f'"{text}" is not a duration; write for example "30s", "15m", "1h30m" or "1d"')
    if not seconds:
        raise ValueError(f'"{text[:20]}" is too short; a duration is longer than zero')
    if seconds > LONGEST:
        raise ValueError(f'"{text[:20]}" is too long; the longest duration is "365d"')
    return seconds
