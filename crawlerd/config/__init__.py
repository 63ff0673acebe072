"""From the configuration file to what the daemon runs on (`crawlerd.core.configuration`).

file: every key of the file, its default, and what can be wrong with it.
csv_tables: accounts and imports from CSV files.
ad_hoc: what a command changes of imports for one run.
overrides: environment variables that override settings of the daemon.
load: reads it all, as `Settings`.
receivers: whom an HTTP sink delivers to, as the file says it.
specs: from checked keys to AccountSpec, ImportSpec and the others.
secrets: secrets from the environment, from files, from systemd.
references: a secret in the configuration, as the place that has it.
problems: what is wrong, where, in plain words.
facts, environment: what the checks ask, and who answers: installed sources, files, secrets.
"""
