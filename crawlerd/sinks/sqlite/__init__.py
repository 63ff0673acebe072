"""Sinks that keep what they know in SQLite.

sink: the sink of the type `sqlite`.
database: how its file is opened; its transactions; a full disk; a file that was replaced.
rows: the rows: upserts, sweeps, tombstones.
tallies: what runs have done to rows, counted by triggers.
views: a view for each stream, with a column for each field.
wal: the log, moved into the database.
reader, check: what commands read.
copying: a copy for readers who must not get at the file in use.
outbox: the versions that an HTTP sink has to deliver, in their order and batches.
"""
