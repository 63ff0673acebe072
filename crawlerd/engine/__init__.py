"""The engine: dispatcher, store, worker processes and runs, over one frontier.

engine: all of it assembled, started and stopped.
protocols: what each part asks of the others.
failure: what has stopped the engine.
clock, safe_event, allocator: Unix time without jumps; an event for signal handlers; freed memory given back.

Runs, on the main thread:
runs: when an import starts, what runs, what has ended.
starting: how one import starts: its unfinished run goes on, or a new one is planned.
full_run: whether a new run is a full one, and why.
account_names: which accounts there are, with their limits.
guards: the checks of credentials; accounts whose credentials are refused.
pausing: what people pause and resume.
open_sinks: the sinks that are open; runs that begin again because a sink was replaced.

The dispatcher's thread:
dispatcher: gives tasks to workers, and acts on what comes back.
dispatcher_inbox: what other threads tell it.
workbench: which task may start next.
queues: the accounts and buckets in memory, with the first tasks of each run.
turns: the order of the accounts.
sleeping: which buckets may leave memory.
limiters: makes the limiters of accounts and buckets.
leases: the lease of a task, its token, its deadline; a late outcome is fenced off.
feedback: what an outcome means for the pace, the pause and the credentials of its account.
refused: tasks that a limit has refused, and what that means.
outages: which APIs do not answer, and the probes of them.
crowds: an API that hangs does not get all threads.
account_waits: why nothing of an account starts, for people who ask.
suspects: tasks whose worker died are performed alone.
portioned: leases whose outcomes come in portions.
worker_pool: the worker processes: started, watched, killed, replaced.
restarts: when missing workers are started.
renewals: keys that expire are asked for again.

The store's thread:
store: the only writer of the frontier; group commits.
store_inbox: what other threads want of it.
sink_outcomes: what of an outcome a sink must be told.
sink_writer: what is written to sinks; what is held while a sink refuses, for example on a full disk.
outgoing: tasks that deliver what an HTTP sink keeps, and how they end.
sweep_doubts: sweeps that are held back, since a full run has seen too little.
prefetch: the buckets that are awake; tasks read before they are wanted.

Worker processes:
worker: a worker process, its threads, its end.
attempt: one attempt at one task, and its outcome.
subscribers: what extensions of a source make of its records.
batches: the records that it yields, serialized; skipped records.
portions: outcomes that are too large for one message.
redacting: no text leaves a worker with a credential in it.
kinds: a source's kinds of task; their arguments as JSON.
wire: the messages between the main process and its workers.
"""
