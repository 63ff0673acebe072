"""Priorities of tasks: 0 first, 9 last. Pure.

Who chooses one: `Source.handles` for a kind, an import's `priority` for its tasks (`NewTask.prioritised`), and
`engine/workbench.py` between tasks of the default priority, where a kind is wide.
"""

from __future__ import annotations

LOWEST_PRIORITY = 9
DEFAULT_PRIORITY = 5
SEQUENTIAL_PRIORITY = 3  # a chain cannot be sped up later, so its next page goes first
