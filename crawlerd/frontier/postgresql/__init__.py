"""The frontier on PostgreSQL: a database on a server, which one process writes.

frontier: who writes it, and how its transactions end; the rest is `crawlerd.frontier.sql`.
reader: how it is opened for reading.
dialect: turns statements of SQLite's dialect into PostgreSQL's.
database: what a connection does with them; the types of values.
session: how connections are opened, and what errors are called.
holder: which node owns the shards of a frontier, and in which session.
shared_transaction: the transaction of a commit, in which sinks write too.
migrations: makes the tables of `schema.sql`, and knows their version.
vacuum: removes the rows of tasks that are done.
copying: whole tables, as they come from another frontier.
check, maintenance: the commands of `crawlerd frontier`.
"""
