"""crawlerd: a durable disk-queue crawler daemon for rate-limited APIs."""

__version__ = "0.1.0"
