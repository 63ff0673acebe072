"""The Python function that a configuration names."""

from __future__ import annotations

import importlib
from functools import reduce
from typing import TYPE_CHECKING, Any

from crawlerd.source import Permanent

if TYPE_CHECKING:
    from collections.abc import Callable


def function(name: str) -> Callable[[list[Any]], Any]:
    """The function `package.module:function`. Raises Permanent if there is none."""
    module, _, path = name.partition(":")
    try:
        found = reduce(getattr, path.split("."), importlib.import_module(module))
    except Exception as error:  # importing may run any code
        raise Permanent(f"process.python {name} cannot be imported: {type(error).__name__}: {error}") from error
    if not callable(found):
        raise Permanent(f"process.python {name} is not a function")
    return found
