"""Values and pure decisions. Nothing here uses a clock, random numbers, threads, the disk or the network.

configuration: the checked configuration: Daemon, AccountSpec, LimitSpec, ImportSpec, SinkSpec.
task: a task, a group of tasks, a batch of leases.
priority: the priorities of tasks.
row_numbers: the numbers of runs, dead letters and operations.
output: what a handler yields: records, cursors, tasks.
pauses: what people have paused.
in_force: which configuration is in force, and the result of the last reload.
lowered: limits that people have lowered for a time.
outcome: the outcomes of an attempt; turns an error into retry, defer, bury or pause.
errors: every exception.
fingerprint: what makes two dead letters the same failure.
backoff: how long a retry waits.
durations: "1h30m" in seconds.
sync_times: times in sync points, and how they are moved.
schedule_rules: when a scheduled import starts.
notation: single values as the configuration writes them: limits, sizes, priorities.
default_limits: the default limits of an API.
histogram: durations of tasks, counted in bins.
driver: whether the driver for PostgreSQL is installed.
pace: how fast tasks are done; chains of tasks in levels.
estimate: when a run will end.
doubt: whether a full run has seen too few records of a stream.
handler_api: the requests that a handler can make, and the responses that it gets.
auth, aws_options: how a credential is sent.
charset: a response's body as UTF-8.
jsontext, lenient_json, listing: JSON as text, as values, and as the objects of a list.
urls: URLs, compared and joined byte for byte.
reasons: why something waits: a closed set.
refused_accounts: why nothing of an account starts while its credentials are in doubt, and how to fix it.
metric_labels: the closed sets of values that labels of metrics have.
bounded_counts: the buckets of a metric's histogram.
notify_spec: which hook gets which notices.
notices: the notices that wait to be sent.
notice_message: notices as one message.
template: texts and objects with placeholders, filled from a record.
waits: how long an API asks to wait.
wording: counts and error texts for people.
redaction: finds credentials in texts and removes them.
hiding: replaces credentials in the arguments of tasks, and puts them back.
spellings: how URLs, JSON and HTML may write a credential.
private_fields: fields that are dropped or hashed.
traces: removes the values of such fields from texts.
erasure: what to forget: an account, an import or a record.
log_events: the events of the log: a closed set.
folding: counts repeated events of one subject.
log_lines: the format of log lines.
version: the version of this package.
"""
