"""Sinks that keep what they know in SQLite."""
