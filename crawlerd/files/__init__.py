"""Files that nobody else may read, change, or put something else in place of."""
