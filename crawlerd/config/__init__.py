"""From the configuration file to the settings that the daemon runs with (`crawlerd.core.configuration`).

file: every key of the file, its default, and its checks; daemon_table: those of [daemon].
parts: further files next to the main one.
toml_lines, key_places: the file and line of each key.
validation: checks a whole configuration; checked_rows: checks a hundred thousand accounts and imports.
toml_batches, compact_tables: how a large file is parsed, and kept in little memory.
csv_tables, csv_packing: accounts and imports from CSV files.
ad_hoc: changes of imports that a command makes for one run.
differences: the differences between two configurations, and which of them need a restart.
overrides: environment variables that override settings of the daemon.
outline: which imports and accounts a file has, unchecked.
load: reads the whole configuration, as `Settings`.
queue_paths: where the inbox and the spool of dead letters are.
receivers: the receiver of an HTTP sink, as the file describes it.
warehouses: the database of a PostgreSQL sink, as the file describes it.
notify_table: who is told about what, as the file describes it.
specs: makes AccountSpec, ImportSpec and the others from checked keys.
secrets: secrets from the environment, from files, from systemd.
value_origins: where each value comes from.
toml_text: keys and values in TOML.
file_schema: the JSON Schema of the file.
references: references to secrets in the configuration.
field_problems: fields that are dropped or hashed, and their checks.
shared_tables: imports that share a table although only some drop or hash fields.
problems: error messages: where, what, and what to write.
facts, environment: what the checks need to know, and who answers: installed sources, files, secrets.
"""
