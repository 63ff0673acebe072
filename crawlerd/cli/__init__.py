"""The commands: they render, and decide nothing.

main: `crawlerd`, its options, and all commands.
run, runs, imports, status, why, accounts, pause, audit, dead, frontier, sink, source, sources, config, show, new,
    demo: the commands of these names (`import` is in imports, `resume` in pause, `streams` in sources).
imports_rename: `imports rename`.
context: what commands need first: the configuration, a reader of the frontier.
follow: `import` beside a daemon.
report: the report of `import`, and the exit code that follows from it.
live: how an import in the foreground is shown while it runs.
exits: all exit codes, and which error has which.
terminal, tables, logs: how results, columns and log lines are written.
"""
