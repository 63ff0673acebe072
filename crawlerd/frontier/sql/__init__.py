"""The frontier as SQL: all of it that does not depend on which database it is.

Statements are written in SQLite's dialect, see `database_contract`; another database translates them.

database_contract: what a connection to a database can do.

frontier: the transactions; the modules below do the work of each.
names, accounts: numbers of names; the accounts, and why one is paused.

Tasks:
enqueue: inserts tasks; a task that a run has already had is not inserted again.
queue_rows: how many ready tasks each run has in each bucket; paused runs.
waiting: the tasks of a queue, in their order.
wait_counts: how many accounts wait for what.
write: writes what a group of outcomes changes.
stages: the portions of a large outcome, which become ready in slices.
groups: the counters of groups.
attempt_rows: the last attempts at tasks that have failed.

Dead letters:
delayed_rows: tasks that wait for their next attempt.
dead_rows: inserts dead letters with their fingerprints.
letter_work: retries and drops dead letters; operations on many of them.
spool_rows: copies of letters that wait for the spool.
closing: a task that is done closes the letters that earlier runs have for it.
dead_reader: answers questions about dead letters.

Runs:
run_rows: begins a run, and reads what is known of it.
known_runs: lists runs.
run_end: ends a run; its cursors become sync points.
run_control: starts, ends and forgets runs for people.
cancel: cancels a run; its tasks are removed in slices.
prune: forgets runs that ended long ago.
schedule_rows: the notes of schedules.
submission_rows: tasks that other programs have submitted; the notes of the inbox.
figure_rows, event_rows, figure_reader: the figures of runs, and what happened to them.
doubts: how many records full runs have seen, and what is doubted.
parents: the parents whose lists were read to their end.
renaming: gives an import another name.
erasing_notes: deletes what is known of an account, an import or a record.

Sinks and sync points:
sink_identity: which database a sink is; abandons runs when it has become another one.
origins: whether an import's records still come from the same account, address and list.
sync_point_rows: sync points, for people who read and change them.

Limits and people:
quota_rows: the charges of quotas.
lowered_rows: limits that people have lowered.
outage_rows: the outages under way.
pause_rows: what people have paused; the audit.
acts: what people do, each act a transaction.
answer_rows: stored answers, for requests that may be sent twice.

Reading and maintenance:
reader: what `status` and `dead` read; whether a run is complete.
account_reader: answers questions about accounts, pauses and the audit.
notice_reader: what notices are made from.
metric_reader: what only metrics read.
invariants: what must hold in every sound frontier.
"""
