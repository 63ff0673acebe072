"""Sinks that keep records in PostgreSQL.

sink: the sink of the type `postgresql`.
database: the connection, transactions, a server that is unreachable, transactions whose result is unknown.
failures: errors of the server and of the network, in words without secrets.
relations: the tables and functions that all streams share, and those of each stream.
statements: the statements that write and read rows, each found by a key.
rows: the rows: upserts, sweeps, tombstones, totals.
views: a view for each stream, with a column for each field.
typed_columns: columns of views that have a type.
jsonb: which objects PostgreSQL accepts as `jsonb`.
erasing: deletes rows for good.
check: what commands read.
"""
