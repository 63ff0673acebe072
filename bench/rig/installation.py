"""An installation to be measured: a directory with a configuration, and the command in it."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

from bench.rig.process import environment, module

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


class Installation:
    """Its state is in `var/`, its sink `warehouse` in `warehouse.db`. Add accounts, then `write`.

    place: the directory, made if need be.
    sources: a folder in which sources were installed.
    base: the environment of its commands, to which the keys of accounts are added.
    daemon: keys of the table of that name.
    """

    def __init__(
        self, place: Path, *, sources: Path | None = None, base: Mapping[str, str] = os.environ, **daemon: object
    ) -> None:
        place.mkdir(parents=True, exist_ok=True)
        self.place, self.state_dir, self.sink_path = place, place / "var", place / "warehouse.db"
        self.environment = environment(*filter(None, [sources]), base=base)
        self._tables: dict[str, Mapping[str, object]] = {
            "daemon": {"state_dir": "var", "listen": "127.0.0.1:0", **daemon},
            "sinks.warehouse": {"type": "sqlite", "path": "warehouse.db"},
        }

    def add(self, name: str, source: str, streams: Iterable[str], *, key: str = "", **account: object) -> None:
        """An account and an import of its name. key: its API key."""
        if key:
            variable = f"KEY_{name.upper()}"
            self.environment[variable] = key
            account["api_key"] = {"env": variable}
        self._tables[f"accounts.{name}"] = {"source": source, **account}
        self._tables[f"imports.{name}"] = {"account": name, "sink": "warehouse", "streams": list(streams)}

    def share(self, name: str, account: str, streams: Iterable[str]) -> None:
        """Another import of an account."""
        self._tables[f"imports.{name}"] = {"account": account, "sink": "warehouse", "streams": list(streams)}

    def repeat(self, name: str, schedule: str) -> None:
        """Lets an import begin again by itself."""
        self._tables[f"imports.{name}"] = {**self._tables[f"imports.{name}"], "schedule": schedule}

    def write(self) -> Path:
        """Writes the configuration; returns its file."""
        lines = []
        for name, table in self._tables.items():
            lines += [f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in table.items())]
        path = self.place / "crawlerd.toml"
        path.write_text("\n".join(lines) + "\n")
        return path

    def import_all(self) -> Any:
        """Runs all imports to their ends; they must complete. Returns the report."""
        done = subprocess.run(
            crawlerd("import", "--all", "--json"),
            cwd=self.place,
            env=self.environment,
            stdout=subprocess.PIPE,
            check=True,
        )
        report = json.loads(done.stdout)
        assert report["state"] == "completed", report
        return report


def crawlerd(*arguments: str) -> list[str]:
    """The command."""
    return module("crawlerd", *arguments)


def _toml(value: object) -> str:
    """JSON's scalars and lists are TOML's."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(each)}" for key, each in value.items()) + " }"
    return json.dumps(value)
