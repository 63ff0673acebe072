"""The frontier on SQLite.

frontier: the transactions, each a call of the others.
reader: what `status` and `dead` read; whether a run is complete.
letter_tables, dead_rows: their tables; how dead letters come in, with their fingerprints.
letter_work: dead letters are retried or dropped; operations on many of them.
spool_rows: copies of letters that are to be put into the spool.
attempt_rows: the last attempts at tasks that have failed.
closing: a task that is done closes the letters that earlier runs have of it.
dead_reader: what is asked about dead letters.
notice_reader: what people are told unasked.
account_reader: what is asked about accounts, pauses and the audit.
database, migrations: how the file is opened; its tables, and from one version to the next.
enqueue: how tasks come in; the same task is asked for once.
wait_counts: how many accounts wait for what.
waiting: the tasks of a queue, in their order.
queue_rows: how many ready tasks each run has in each bucket; paused runs.
write: what a group of outcomes changes.
stages: what a large outcome has sent ahead; it becomes ready in slices.
groups: the counters of groups.
names, accounts: numbers of names; the accounts, and why one is paused.
known_runs: what is said of runs.
run_rows: how a run begins, and what is known of it.
run_end: how a run ends; its cursors become sync points.
erasing_notes: what is known of an account, an import or a record is deleted.
renaming: an import gets another name.
run_control: runs are scheduled, ended and forgotten from outside.
schedule_rows: what is noted of schedules.
submission_rows: tasks that others have submitted; what is noted of the inbox.
sync_point_rows: sync points as people see and change them.
metric_reader: what metrics alone read.
figure_tables, figure_rows, event_rows, figure_reader: the figures of runs, and what happened to them.
prune: runs that ended long ago are forgotten.
cancel: a run is cancelled; its tasks leave in slices.
sink_identity: which database a sink is; runs are abandoned where it is another one.
origins: whether an import's records still come from the same account, address and list.
doubts: what full runs have seen, and what is doubted.
parents: the parents whose lists were read to their end.
outage_rows: the outages under way.
acts: what people do, each act a transaction.
pause_rows: what people have paused; the audit.
lowered_rows: the limits that people have lowered.
answer_rows: the answers that requests got which may come again.
quota_rows: what quotas were charged.
backup, restore, check, vacuum: the commands of `crawlerd frontier`.
invariants: what holds of every sound frontier.
"""
