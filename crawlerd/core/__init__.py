"""Values and pure decisions: no clock, random, thread, disk or network.

configuration: what the daemon runs on: Daemon, AccountSpec, LimitSpec, ImportSpec, SinkSpec.
task: a task, a group of tasks, a batch of leases.
priority: the priorities of tasks.
output: what a handler yields: records, cursors, tasks.
pauses: what people have paused.
outcome: what an attempt led to; from an error to retry, defer, bury or pause.
errors: every exception.
backoff: how long a retry waits.
durations: "1h30m" in seconds; when an import is due.
notation: single values as the configuration writes them: limits, sizes, priorities.
default_limits: what an API permits by default.
doubt: whether a full run has seen too little of a stream.
handler_api: what a handler asks of its API, and what that answers.
auth, aws_options: how a credential is sent.
charset, jsontext, lenient_json, listing: a response's body as UTF-8, as JSON text, as values, as the objects of a list.
urls: URLs byte for byte.
reasons: why something waits: a closed set.
template: texts and objects with fields in them, made of a record.
waits: how long an API asks to wait.
redaction: what a credential looks like, and texts without it.
hiding: arguments of tasks without the credentials that they repeat, and with them again.
spellings: how URLs, JSON and HTML may write a credential.
log_lines: how log lines look.
"""
