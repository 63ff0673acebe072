"""From the configuration file to what the daemon runs on (`crawlerd.core.configuration`).

file: every key of the file, its default, and what can be wrong with it; daemon_table: those of [daemon].
parts: further files, next to it.
toml_lines, key_places: on which line of which file each key stands.
validation: the checks of a whole configuration; checked_rows: of a hundred thousand accounts and imports.
toml_batches, compact_tables: how a large file is parsed, and kept in little memory.
csv_tables, csv_packing: accounts and imports from CSV files.
ad_hoc: what a command changes of imports for one run.
differences: what differs between two configurations, and what of that needs a restart.
overrides: environment variables that override settings of the daemon.
outline: which imports and accounts a file has, unchecked.
load: reads it all, as `Settings`.
queue_paths: where the inbox and the spool of dead letters are.
receivers: whom an HTTP sink delivers to, as the file says it.
warehouses: which database a PostgreSQL sink is in, as the file says it.
notify_table: whom to tell what, as the file says it.
specs: from checked keys to AccountSpec, ImportSpec and the others.
secrets: secrets from the environment, from files, from systemd.
value_origins: where each value comes from.
toml_text: keys and values as TOML has them.
file_schema: the JSON Schema of the file.
references: a secret in the configuration, as the place that has it.
field_problems: fields that are dropped or hashed, and what is wrong with them.
shared_tables: imports of one table, where only some drop or hash fields.
problems: what is wrong, where, in plain words.
facts, environment: what the checks ask, and who answers: installed sources, files, secrets.
"""
