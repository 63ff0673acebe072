"""Sinks that keep what they know in SQLite.

sink: the sink of the type `sqlite`.
database: how its file is opened; its transactions; a full disk; a file that was replaced.
rows: the rows: upserts, sweeps, tombstones.
tallies: what runs have done to rows, counted by triggers.
views: a view for each stream, with a column for each field.
wal: the log, moved into the database.
reader, check: what commands read.
erasing: rows that are deleted for good.
copying: a copy for readers who must not get at the file in use.
marks: what a copy has of the frontier that it belongs to.
outbox: the versions that an HTTP sink has to deliver, in their order and batches.
"""
