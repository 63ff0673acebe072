"""Sinks that keep records in PostgreSQL.

sink: the sink of the type `postgresql`.
database: its connection; its transactions; a server that is away; a transaction whose end is not known.
failures: errors of the server and of the network, in words that name no secret.
relations: tables and functions that all streams share, and those of each stream.
statements: what writes and reads rows, each found by a key.
rows: the rows: upserts, sweeps, tombstones, totals.
views: a view for each stream, with a column for each field.
typed_columns: columns of views that have a type.
jsonb: which objects PostgreSQL can take as `jsonb`.
erasing: rows that are deleted for good.
check: what commands read.
"""
