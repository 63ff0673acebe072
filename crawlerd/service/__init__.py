"""The daemon: signals, health, metrics, its page, and its API.

daemon: `crawlerd run`.
running: starts and stops the engine, for the daemon and for imports in the foreground; SIGTERM, SIGINT, SIGHUP.
foreground: imports in the foreground, from start to end.
following: runs in a daemon that another process has asked for.
library: an import, called from Python.
rereading: reads the configuration file again, in a process of its own.
notifying: tells people what is wrong.
hooks: sends a message to a webhook or a program.
ledger_file: which messages were sent, kept over a restart.
systemd: the protocol for telling systemd about the daemon's state.
signs_of_life: what systemd is told while the daemon serves.
health: whether the daemon is alive and ready.
metrics: the metrics for Prometheus.
metric_families: all families of metrics, with their labels.
engine_metrics, frontier_metrics, import_metrics, quota_metrics, machine_metrics: where their values come from.
log_counts: counts warnings and errors in the log.
listeners: the addresses and the socket on which the daemon listens.
web: the web server behind all listeners.
page: what people see in a browser.
hosts: the host names that requests to a listener may have.
repeated: requests that may be sent twice but must be done once.
control: the daemon's socket, as commands use it.
remote_reader: reads a frontier through the socket.
resources: what the API answers.
readable, parameters: what can be read through the API, and the parameters of a query.
"""
