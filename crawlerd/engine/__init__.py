"""The engine: dispatcher, store, worker processes and runs, over one frontier.

engine: all of it assembled, started and stopped.
insight: what a running engine says of itself.
protocols: what each part asks of the others.
failure: what has stopped the engine.
log_output: where a process writes its log; repeated events are counted.
open_files: the limit of them.
clock, safe_event, allocator: Unix time without jumps; an event for signal handlers; freed memory given back.

Runs, on the main thread:
agenda: when each import is looked at next; starts those that are due.
runs: what is started, what runs, what has ended, what people cancel.
scheduling: which imports are due.
deadlines: runs that take too long are ended.
starting: how one import starts: its unfinished run goes on, or a new one is planned.
sampling: a run that takes the first records of each stream alone.
full_run: whether a new run is a full one, and why.
account_names: which accounts there are, with their limits.
checks: requests that go before all tasks of an account.
questions: asks whether an account works.
guards: the checks of credentials; accounts whose credentials are refused.
pausing: what people pause and resume.
reloads: when the configuration is read again, and what came of it.
live_changes: each thread gets its part of another configuration.
lowering: the limits that people lower for a time.
open_sinks: the sinks that are open; runs that begin again because a sink was replaced.

Queues of other programs, each on a thread of its own:
shared_queues: both of them, for the rest.
queue_watch: the thread, and what keeps it from its queue.
task_inbox: takes the tasks that other programs put.
submittable: what they may put.
joining: which run gets them.
letter_spool: copies of dead letters go to other programs.

The dispatcher's thread:
dispatcher: gives tasks to workers, and acts on what comes back.
rates: requests a second of each run.
attempt_counts: what is counted of attempts and requests, for metrics.
permitting: how many requests the limits would let accounts with ready work send.
dispatcher_inbox: what other threads tell it.
workbench: which task may start next.
queues, run_queue: the accounts and buckets in memory, with the first tasks of each run.
turns: the order of the accounts.
urgency: how urgent a bucket's first task is.
sleeping: which buckets may leave memory.
solo_work: long work of which there is one at a time.
limiters: makes the limiters of accounts and buckets.
leases: the lease of a task, its token, its deadline; a late outcome is fenced off.
feedback: what an outcome means for the pace, the pause and the credentials of its account.
refused: tasks that a limit has refused, and what that means.
outages: which APIs do not answer, and the probes of them.
crowds: an API that hangs does not get all threads.
account_waits: why nothing of an account starts, for people who ask.
kept_index: which accounts wait for what, kept for a moment.
bulk: operations on dead letters, chunk by chunk.
forgetting: an account, an import or a record leaves every file.
suspects: tasks whose worker died are performed alone.
portioned: leases whose outcomes come in portions.
worker_pool: as many worker processes as there should be.
worker_process: one of them: started, written to, read from, watched.
worker_setup: what a worker is told at its start.
restarts: when missing workers are started.
renewals: keys that expire are asked for again.

The store's thread:
store: the only writer of the frontier; group commits.
store_inbox: what other threads want of it.
letter_news: the log tells of the first dead letter of each kind.
commit_counts: what is counted of commits, sinks and runs, for metrics.
store_events: who hears of what it tells.
sink_outcomes: what of an outcome a sink must be told.
sink_writer: what is written to sinks; what is held while a sink refuses, for example on a full disk.
retention: what sinks keep no longer.
stuck_sinks: a sink that refuses, and what waits for it.
outgoing: tasks that deliver what an HTTP sink keeps, and how they end.
sweep_doubts: sweeps that are held back, since a full run has seen too little.
prefetch: the buckets that are awake; tasks read before they are wanted.

Worker processes:
worker: a worker process, its threads, its end.
attempt: one attempt at one task, and its outcome.
subscribers: what extensions of a source make of its records.
batches: the records that it yields, serialized; skipped records.
portions: outcomes that are too large for one message.
private_records: fields that are dropped or hashed.
redacting: no text leaves a worker with a credential in it.
kinds: a source's kinds of task; their arguments as JSON.
wire: the messages between the main process and its workers.
"""
