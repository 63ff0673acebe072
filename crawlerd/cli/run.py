"""`crawlerd run`: the daemon, in the foreground."""

from __future__ import annotations

import faulthandler
import signal

import typer  # noqa: TC002 - typer reads the annotations

from crawlerd.cli.context import config_path, read_settings, tell_warnings
from crawlerd.cli.exits import exit_codes
from crawlerd.cli.logs import log_of_service
from crawlerd.core.errors import ConfigurationError


def run(context: typer.Context) -> None:
    """Run the daemon in the foreground: due imports, /metrics, /healthz, /readyz."""
    from crawlerd.service import daemon

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the daemon has its own way: it would kill without a drain
    faulthandler.register(signal.SIGUSR1)
    with exit_codes():
        settings = read_settings(config_path(context))
        for spec in settings.imports.values():
            if spec.sink is not None and settings.sinks[spec.sink].type == "stdout":
                problem = (
                    f"imports.{spec.name}.sink: sinks.{spec.sink} writes to stdout, which nobody reads of a daemon; "
                    "give the import another sink, or a configuration of its own for `crawlerd import`"
                )
                raise ConfigurationError([problem])
        log_of_service(settings.daemon.log_level)
        tell_warnings(settings)
        daemon.run(settings)
