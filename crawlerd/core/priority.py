"""Priorities of tasks: 0 first, 9 last. Pure.

`Source.handles` sets the priority of a kind, and an import's `priority` that of its tasks (`NewTask.prioritised`).
Among tasks of the default priority, `engine/urgency.py` decides when tasks of a wide kind go first.
"""

from __future__ import annotations

LOWEST_PRIORITY = 9
DEFAULT_PRIORITY = 5
SEQUENTIAL_PRIORITY = 3  # the next page of a chain goes first, since a chain cannot be sped up later
