"""The frontier: the durable priority queue of tasks on disk, and the runs, cursors and dead letters around it."""
