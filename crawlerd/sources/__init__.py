"""Sources: one API each. They import `crawlerd.source` alone."""
