"""The commands. They parse options and print results; what to do is decided in `crawlerd.operations`.

main: the `crawlerd` command, its global options and its exit code.
commands: the list of all commands, each imported when it is used.
run, runs, imports, status, schedule, why, accounts, pause, audit, reload, notify, submit, inbox, dead, frontier, sink,
    source, sources, config, show, syncpoint, new, demo: the commands of these names (`import` is in imports, `resume`
    in pause, `streams` in sources).
demo_page: `demo --page`.
init: `init`.
sink_forget: `sink forget`.
dead_acts: `dead retry` and `dead drop`.
dead_export: `dead export` and `dead import`.
dead_operations: `operations`.
dead_options: the options that select dead letters.
limit: `accounts limit`.
plan: `import --plan`.
imports_list, imports_rename: `imports`, `imports rename`.
status_lines: the status as lines for a terminal.
top, top_frame: `top`, and the screen that it draws.
token: `token new`.
full_screen: the terminal's alternate screen, and its keys.
watching: the loop of `--watch`.
context: what commands need first: the configuration, and a reader of the frontier.
trying: the requests of `accounts test` and `config check --online`.
follow: `import` while a daemon runs.
backups: `backup` and `restore`.
run_report: the figures of `run show`.
report, report_text: the report of `import` and its exit code; the same as text.
live: the display of an import that runs in the foreground.
completion: shell completion of names.
examples: two examples of each command.
exits: all exit codes, the error that leads to each, and errors as JSON.
answers: results, as text or as JSON.
modes: the output mode: text or JSON, and how quiet.
common_options: the options that every command has.
outputs: the type that each command prints with --json.
results: result types that only commands use.
schemas: the JSON Schemas of the results.
terminal, tables, logs: how results, columns and log lines are written.
"""
