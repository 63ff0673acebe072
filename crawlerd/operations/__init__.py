"""The requests that people make of a crawlerd, and their answers: typed values, which the command line, the page and
the API render.

activity: current rates, and where the time goes.
about_facts: the daemon itself, its files and disks.
pulse: recent rates, and where the time goes.
account_trial: tests whether an account works.
account_facts: what each account waits for, and everything known about one account.
account_quotas: how much of an account's quotas is used.
account_reasons: what one account waits for.
backing_up, putting_back: makes a backup of everything, and restores one.
backup_manifest: the list of what a backup contains.
backup_requests: backups that a running daemon makes on request.
daemon_facts: the daemon's version, health and configuration.
configured: what the configuration has.
dead: retries and drops of dead letters that match a filter.
forget_requests: what to forget, and how much of it there is.
history: recent measurements.
import_facts: when each import last ran, how old its data are, and when it starts next.
import_report: how imports in the foreground have ended.
import_names: whether an import exists; renaming one.
limit_requests: lowering the limits of an account for a time.
likely_end: when a run will probably end.
killing_kinds: which kinds of tasks of a run kill worker processes.
list_pages: lists in pages, for the API.
live_facts: what only a running crawlerd can tell.
conditions: problems that people are notified of.
notify_trial: the result of a test message.
overview: everything at a glance, for the page.
pause_requests: pausing and resuming.
problem: why a request cannot be fulfilled.
recent_rates: requests per second of runs and accounts in the last ten minutes.
reloading: reading the configuration again.
run_acts: retrying the dead letters of a run; forgetting a run.
run_history: listing runs; starting and canceling one.
schedules: when imports start next, and which starts were missed.
submitting: tasks that others submit, and what the inbox has rejected.
sync_points: showing and changing the sync points of an import.
run_plan: what a run would take, before it is started.
run_requests: changes of an import for one run.
status_report: the state at a glance.
status_sentence: the state on one line.
top_report: what `top` shows.
troubles: what needs a look.
unused: imports and accounts that are configured but have not been used yet.
why: why something waits, and until when.
"""
