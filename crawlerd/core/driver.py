"""The driver for PostgreSQL, which is installed on request."""

from __future__ import annotations

from importlib import import_module

NEEDED = "a driver is needed: pip install 'crawlerd[postgres]'"
_PARTS = ("psycopg", "psycopg_binary", "psycopg_c")


def has_driver() -> bool:
    """Whether the driver can be imported."""
    try:
        import_module("psycopg")
    except ImportError as error:
        if is_missing(error):
            return False
        raise
    return True


def is_missing(error: ImportError) -> bool:
    """Whether the error says that the driver, or a library that it uses, is not installed."""
    return (error.name or "").partition(".")[0] in ("", *_PARTS)
