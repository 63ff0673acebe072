"""Sinks that use SQLite.

sink: the sink of the type `sqlite`.
database: opening the file, transactions, a full disk, a file that was replaced.
rows: the rows: upserts, sweeps, tombstones.
tallies: counts what runs have done to rows, with triggers.
views: a view for each stream, with a column for each field.
wal: moves the write-ahead log into the database.
reader, check: what commands read.
erasing: deletes rows for good.
copying: a copy for readers who must not access the file in use.
marks: what a copy has of the frontier that it belongs to.
outbox: the versions that an HTTP sink has to deliver, in their order and batches.
"""
