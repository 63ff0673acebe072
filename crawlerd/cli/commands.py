"""All commands, by name.

A command's module is imported when the command is used, and imports what it needs when it is called: `status` must not
wait until `requests` is imported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import typer
from typer.main import get_group

from crawlerd.cli.common_options import add_common_options
from crawlerd.cli.examples import add_examples

# In the order of --help. Each entry has the module and its function or group; after it come modules that add commands
# to the group.
COMMANDS: dict[str, tuple[str, ...]] = {
    "import": ("imports.import_",),
    "init": ("init.init",),
    "status": ("status.status",),
    "top": ("top.top",),
    "why": ("why.why",),
    "pause": ("pause.pause",),
    "resume": ("pause.resume",),
    "audit": ("audit.audit",),
    "schedule": ("schedule.schedule",),
    "reload": ("reload.reload",),
    "backup": ("backups.backup",),
    "restore": ("backups.restore",),
    "submit": ("submit.submit",),
    "inbox": ("inbox.inbox",),
    "sources": ("sources.sources",),
    "streams": ("sources.streams",),
    "demo": ("demo.demo",),
    "runs": ("runs.runs",),
    "run": ("run.run",),
    "accounts": ("accounts.accounts",),
    "config": ("config.config",),
    "imports": ("imports_list.imports", "imports_rename"),
    "notify": ("notify.notify",),
    "syncpoint": ("syncpoint.syncpoint",),
    "dead": ("dead.dead", "dead_acts", "dead_export"),
    "operations": ("dead_operations.operations",),
    "frontier": ("frontier.frontier",),
    "source": ("source.source",),
    "sink": ("sink.sink", "sink_forget"),
    "new": ("new.new",),
    "token": ("token.token",),
    "show": ("show.show",),
}


class Commands(Mapping[str, Any]):
    """The commands by name, as typer makes them, each made on first use."""

    def __init__(self, places: Mapping[str, tuple[str, ...]]) -> None:
        """places: where the commands are, as in `COMMANDS`."""
        self._places, self._made = places, dict[str, Any]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = _made(name, *self._places[name])
        return self._made[name]


def _made(name: str, place: str, *adding: str) -> Any:
    module, _, attribute = place.partition(".")
    found = getattr(import_module(f"crawlerd.cli.{module}"), attribute)
    for each in adding:
        import_module(f"crawlerd.cli.{each}")
    alone = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None)
    if isinstance(found, typer.Typer):
        alone.add_typer(found, name=name)
    else:
        alone.command(name=name)(found)
    made = get_group(alone).commands[name]
    finish(made, (name,))
    return made


def finish(command: Any, words: tuple[str, ...]) -> None:
    """Adds the common options and examples to a command and to all commands below it. The root's commands get them when
    they are imported.

    words: the words that call the command.
    """
    add_common_options(command, words)
    add_examples(command, words)
    if words:
        for name, child in getattr(command, "commands", {}).items():
            finish(child, (*words, name))
