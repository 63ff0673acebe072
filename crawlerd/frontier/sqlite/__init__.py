"""The frontier on SQLite: one file, which one process writes.

frontier: how its transactions end; the rest is `crawlerd.frontier.sql`.
reader: how it is opened for reading.
database, migrations: how the file is opened; its tables, and from one version to the next.
figure_tables, letter_tables: tables of the last migration.
backup, restore, check, vacuum: the commands of `crawlerd frontier`.
"""
