"""The numbers of runs, dead letters and operations."""

from __future__ import annotations

GREATEST = 2**63 - 1  # that a database holds: SQLite's and PostgreSQL's integers have 64 bits
