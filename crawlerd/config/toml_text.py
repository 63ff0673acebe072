"""Keys and values as TOML text."""

from __future__ import annotations

import json
import re
from typing import Any


def toml_key(name: str) -> str:
    """A key, quoted if necessary."""
    return name if re.fullmatch("[A-Za-z0-9_-]+", name) else _text(name)


def toml_value(value: Any) -> str:
    """A value on one line. Values that TOML does not have become text."""
    if isinstance(value, dict):
        inside = ", ".join(f"{toml_key(key)} = {toml_value(each)}" for key, each in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    return json.dumps(value) if isinstance(value, bool | int | float) else _text(str(value))


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
