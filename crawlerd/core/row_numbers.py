"""The numbers of runs, dead letters and operations."""

from __future__ import annotations

GREATEST = 2**63 - 1  # the greatest number in a database: integers of SQLite and PostgreSQL have 64 bits
