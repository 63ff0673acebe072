"""What people ask of a crawlerd, and what it answers: typed, and rendered by whoever asks.

activity: how fast it goes, and where the time goes.
about_facts: the daemon itself, its files and disks.
pulse: how fast it goes, and where the time goes.
account_trial: whether an account works.
account_facts: what each account waits for, and all that is known of one.
account_quotas: how much of an account's quotas is used.
account_reasons: what one account waits for.
backing_up, putting_back: a backup of all that is kept, and back.
backup_manifest: what lies in one.
backup_requests: one that a running daemon is asked for.
daemon_facts: which daemon it is, and what it is configured to do.
configured: what the configuration has.
dead: what is done to dead letters that match a filter.
forget_requests: what is to be forgotten, and how much there is of it.
history: what was measured of late.
import_facts: when each import ran last, how old its data are, and when it starts next.
import_report: how imports in the foreground have ended.
import_names: whether there is an import of a name; renaming one.
limit_requests: lowering the limits of an account for a time.
likely_end: when a run is likely to end.
killing_kinds: which kinds of tasks of a run kill worker processes.
live_facts: what only a crawlerd that runs can tell.
conditions: what is wrong, for people who do not look.
notify_trial: a message that says that messages arrive.
overview: all at a glance, for a page.
pause_requests: pausing and resuming.
problem: what can be wrong with what is asked for.
reloading: reading the configuration again.
run_acts: retrying the dead letters of a run; forgetting one.
run_history: which runs there were; starting and cancelling one.
schedules: when imports start next, and what was missed.
submitting: tasks that others submit; what the inbox refused.
sync_points: how far an import has come, shown and changed.
run_plan: what a run would take, before it is started.
run_requests: how an import is changed for one run.
status_report: the state at a glance.
status_sentence: how it is doing, on one line.
top_report: what `top` shows.
troubles: what needs a look.
unused: imports and accounts that are configured and have not been used yet.
why: why something waits, and until when.
"""
