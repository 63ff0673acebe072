"""The engine: dispatcher, store, worker processes and runs, over one frontier.

engine: creates all the parts below, starts them, and stops them.
insight: the state of a running engine, for status pages and metrics.
protocols: the interfaces that the parts use to call each other.
failure: the error that has stopped the engine.
log_output: where a process writes its log; repeated events are counted.
open_files: raises the limit of open files.
clock: Unix time without jumps.
safe_event: an event that a signal handler may set.
allocator: makes the C library return freed memory.

Runs, on the main thread:
agenda: when to look at each import next; starts those that are due.
runs: starts, ends and cancels runs, and knows which are under way.
scheduling: which imports are due.
deadlines: ends runs that take too long.
starting: starts one import: resumes its unfinished run, or plans a new one.
sampling: runs that take only the first records of each stream.
full_run: whether a new run is a full one, and why.
account_names: the accounts, with their numbers and limits.
checks: requests that an account makes before all its tasks.
questions: asks an API whether an account works.
guards: the checks of credentials, and the accounts whose credentials are refused.
pausing: what people pause and resume.
reloads: reads the configuration again, and keeps the result for people.
live_changes: passes a changed configuration to each thread.
lowering: limits that people lower for a time.
open_sinks: the open sinks, and the runs that begin again because a sink was replaced.

Queues shared with other programs, each on its own thread:
shared_queues: starts and stops both queues.
queue_watch: the thread of a queue, and the reason when it cannot read or write it.
task_inbox: takes in the tasks that other programs submit.
submittable: which tasks they may submit.
joining: which run a submitted task joins.
letter_spool: puts copies of dead letters into a queue for other programs.

The dispatcher's thread:
dispatcher: gives tasks to workers, and handles their results.
rates: requests per second of each run.
attempt_counts: counts of attempts and requests, for metrics.
permitting: how many requests the limits would have permitted accounts with ready tasks.
dispatcher_inbox: messages of other threads to the dispatcher.
workbench: chooses the task that starts next.
queues, run_queue: the accounts and buckets in memory, with the first tasks of each run.
turns: the order in which accounts are served.
urgency: how urgent a bucket's first task is.
sleeping: which buckets may leave memory.
solo_work: long work, done one piece at a time.
limiters: makes the limiters of accounts and buckets.
leases: the lease of a task, its token, its deadline; a late outcome is fenced off.
feedback: applies an outcome to the pace, the pause and the credentials of its account.
refused: tasks that an API has refused because of a limit.
outages: which APIs do not answer, and the probes sent to them.
crowds: keeps an API that hangs from taking all worker threads.
account_waits: explains why nothing of an account starts.
kept_index: which accounts wait for what, cached for a moment.
bulk: retries or drops many dead letters, chunk by chunk.
forgetting: deletes an account, an import or a record from every file.
suspects: runs tasks alone whose worker died.
portioned: leases whose outcomes arrive in portions.
worker_pool: keeps as many worker processes up as are configured.
worker_process: one worker process: started, written to, read from, watched.
worker_setup: the settings that a worker gets when it starts.
restarts: when missing workers are started again.
renewals: asks again for keys before they expire.

The store's thread:
store: the only writer of the frontier; group commits.
store_inbox: messages of other threads to the store.
letter_news: logs the first dead letter of each kind.
commit_counts: counts of commits, sinks and runs, for metrics.
store_events: the callbacks through which the store reports to the other parts.
sink_target: where a run's records go, and what its import changes in outcomes.
sink_outcomes: the parts of an outcome that a sink must know.
sink_writer: writes to sinks, and holds outcomes while a sink refuses, for example on a full disk.
retention: deletes old records from sinks.
stuck_sinks: a sink that refuses, and the runs that wait for it.
outgoing: tasks that deliver the records of an HTTP sink, and how they end.
sweep_doubts: sweeps that are held back because a full run has seen too few records.
prefetch: the buckets that are awake, and their tasks that were read ahead.

Worker processes:
worker: a worker process, its threads, its end.
attempt: one attempt at one task, and its outcome.
subscribers: calls the extensions that subscribe to a source's records.
batches: the records of a task, serialized; skipped records.
portions: splits outcomes that are too large for one message.
private_records: drops or hashes fields of records.
redacting: removes credentials from all texts that leave a worker.
kinds: a source's kinds of task; their arguments as JSON.
wire: the messages between the main process and its workers.
"""
