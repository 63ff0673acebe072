"""The commands: they render, and decide nothing.

main: `crawlerd`, its options, and what it ends with.
commands: all commands, each imported when it is asked for.
run, runs, imports, status, schedule, why, accounts, pause, audit, reload, notify, submit, inbox, dead, frontier, sink,
    source, sources, config, show, syncpoint, new, demo: the commands of these names (`import` is in imports, `resume`
    in pause, `streams` in sources).
demo_page: `demo --page`.
init: `init`.
sink_forget: `sink forget`.
dead_acts: `dead retry` and `dead drop`.
dead_export: `dead export` and `dead import`.
dead_operations: `operations`.
dead_options: which dead letters are meant, as options.
limit: `accounts limit`.
plan: `import --plan`.
imports_list, imports_rename: `imports`, `imports rename`.
status_lines: the status as lines of a terminal.
top, top_frame: `top`, and what it draws.
token: `token new`.
full_screen: a screen of its own on a terminal, and keys.
watching: what `--watch` does.
context: what commands need first: the configuration, a reader of the frontier.
trying: what `accounts test` and `config check --online` ask.
follow: `import` beside a daemon.
backups: `backup` and `restore`.
run_report: the figures of `run show`.
report, report_text: the report of `import`, the exit code that follows from it, and how it reads.
live: how an import in the foreground is shown while it runs.
completion: what shells offer for names.
examples: two of each command.
exits: all exit codes, which error has which, and errors as programs read them.
answers: results, as text or as JSON.
modes: whether it is text or JSON, and how quiet.
common_options: the options of all commands.
outputs: what each command prints with --json.
results: results that only commands have.
schemas: the JSON Schemas of what is printed.
terminal, tables, logs: how results, columns and log lines are written.
"""
