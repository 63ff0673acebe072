"""The daemon: signals, health, metrics, and how others reach it.

daemon: `crawlerd run`.
running: starts and stops the engine, for the daemon and for imports in the foreground; SIGTERM, SIGINT, SIGHUP.
foreground: imports in the foreground, from their start to their end.
following: runs of a daemon that somebody else has asked for.
library: an import, called from Python.
rereading: the configuration file, read in a process of its own.
notifying: tells people what is wrong.
hooks: sends a message to a webhook or a program.
ledger_file: what people were told, kept over a restart.
systemd: how systemd is told.
signs_of_life: what it is told while the daemon serves.
health: whether the daemon is alive and ready.
metrics: what Prometheus scrapes.
metric_families: all families of metrics, with their labels.
engine_metrics, frontier_metrics, import_metrics, quota_metrics, machine_metrics: where their values come from.
log_counts: how many log lines somebody should read.
listeners: where the daemon listens, for monitoring, people and commands.
web: the server of all of that.
page: what people see in a browser.
hosts: by which names a listener may be asked.
repeated: requests that may come again.
control: the daemon's socket, as commands use it.
remote_reader: a frontier, read through the socket.
resources: what is answered there.
readable, parameters: what can be read there, and what a query asks for.
page: what a browser shows of all this.
"""
