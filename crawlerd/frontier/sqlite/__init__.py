"""The frontier on SQLite.

frontier: the transactions, each a call of the others.
reader: what `status` and `dead` read; whether a run is complete.
account_reader: what is asked about accounts, pauses and the audit.
database, migrations: how the file is opened; its tables, and from one version to the next.
enqueue: how tasks come in; the same task is asked for once.
waiting: the tasks of a queue, in their order.
queue_rows: how many ready tasks each run has in each bucket; paused runs.
write: what a group of outcomes changes.
stages: what a large outcome has sent ahead; it becomes ready in slices.
groups: the counters of groups.
names, accounts: numbers of names; the accounts, and why one is paused.
known_runs: what is said of runs.
run_rows: how a run begins, and what is known of it.
run_end: how a run ends; its cursors become sync points.
renaming: an import gets another name.
prune: runs that ended long ago are forgotten.
cancel: a run is cancelled; its tasks leave in slices.
sink_identity: which database a sink is; runs are abandoned where it is another one.
origins: whether an import's records still come from the same account, address and list.
doubts: what full runs have seen, and what is doubted.
parents: the parents whose lists were read to their end.
outage_rows: the outages under way.
pause_rows: what people have paused; the audit.
quota_rows: what quotas were charged.
backup, restore, check, vacuum: the commands of `crawlerd frontier`.
invariants: what holds of every sound frontier.
"""
