"""The frontier on SQLite."""
