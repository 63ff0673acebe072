"""The daemon: signals, health, metrics, and how others reach it.

daemon: `crawlerd run`.
running: starts and stops the engine, for the daemon and for imports in the foreground; SIGTERM, SIGINT, SIGHUP.
systemd: what systemd is told.
health: whether the daemon is alive and ready.
metrics: what Prometheus scrapes.
listeners: the servers of /metrics, /healthz, /readyz and of commands.
bounded: few connections, and little time for each.
hosts: by which names a listener may be asked.
control: the daemon's socket, as commands use it.
resources: what is answered there.
"""
