"""Values and pure decisions: no clock, random, thread, disk or network.

configuration: what the daemon runs on: Daemon, AccountSpec, LimitSpec, ImportSpec, SinkSpec.
task: a task, a group of tasks, a batch of leases.
priority: the priorities of tasks.
row_numbers: the numbers of runs, dead letters and operations.
output: what a handler yields: records, cursors, tasks.
pauses: what people have paused.
in_force: which configuration is in force; what came of reading the file again.
lowered: limits that people have lowered for a time.
outcome: what an attempt led to; from an error to retry, defer, bury or pause.
errors: every exception.
fingerprint: what makes two dead letters the same failure.
backoff: how long a retry waits.
durations: "1h30m" in seconds.
sync_times: times in sync points, and how they are moved.
schedule_rules: when a scheduled import starts.
notation: single values as the configuration writes them: limits, sizes, priorities.
default_limits: what an API permits by default.
histogram, pace: durations in bins, chains in levels; how fast tasks are done.
estimate: when a run will end.
doubt: whether a full run has seen too little of a stream.
handler_api: what a handler asks of its API, and what that answers.
auth, aws_options: how a credential is sent.
charset, jsontext, lenient_json, listing: a response's body as UTF-8, as JSON text, as values, as the objects of a list.
urls: URLs byte for byte.
reasons: why something waits: a closed set.
refused_accounts: why nothing of an account starts while its credentials are in doubt, and the cure.
metric_labels: the closed sets of values that labels of metrics have.
bounded_counts: numbers in a few bounds, as a histogram of a metric has them.
notify_spec, notices, notice_message: what is told to whom; what waits to be told; as one message.
template: texts and objects with fields in them, made of a record.
waits: how long an API asks to wait.
wording: counts and error texts for people.
redaction: what a credential looks like, and texts without it.
hiding: arguments of tasks without the credentials that they repeat, and with them again.
spellings: how URLs, JSON and HTML may write a credential.
private_fields, traces: fields that are dropped or hashed; texts without what was in them.
erasure: what is to be forgotten.
log_events: what happens that a log tells: a closed set.
folding: the same event of the same subject, many times.
log_lines: how log lines look.
version: which one this is.
"""
