"""Environment variables that override settings of `[daemon]`: CRAWLERD_ and the key in upper case."""

from __future__ import annotations

import difflib
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

PREFIX = "CRAWLERD_"
OTHERS = ("CRAWLERD_CONFIG",)
# The type of each. Secrets are not among them: they are given by reference.
KEYS: Mapping[str, Literal["text", "number", "truth", "names"]] = {
    "state_dir": "text",
    "listen": "text",
    "allow_remote": "truth",
    "allowed_hosts": "names",
    "page": "truth",
    "read_only": "truth",
    "root_path": "text",
    "trusted_proxies": "names",
    "socket": "text",
    "worker_processes": "number",
    "threads_per_process": "number",
    "drain_seconds": "number",
    "visibility_timeout": "text",
    "max_worker_memory_mb": "number",
    "metrics_imports": "number",
    "log_level": "text",
    "log_format": "text",
    "time_zone": "text",
    "catch_up_spread": "text",
    "limiter_storage": "text",
}


def variable_of(key: str, environment: Mapping[str, str]) -> str | None:
    """The environment variable that sets a key of `[daemon]`; None if there is none."""
    variable = PREFIX + key.upper()
    return variable if key in KEYS and environment.get(variable, "").strip() else None


def overridden(document: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """The document with the settings of `[daemon]` from the environment. An empty variable counts as not set."""
    table = document.get("daemon", {})
    given = {key: _value(key, text) for key in KEYS if (text := environment.get(PREFIX + key.upper(), "").strip())}
    if not given or not isinstance(table, dict):  # not a table, which the checks report
        return dict(document)
    return {**document, "daemon": {**table, **given}}


def named(problems: Iterable[str], file: str, environment: Mapping[str, str]) -> list[str]:
    """The problems. If an environment variable causes one, it names the variable, not the file."""
    return [_named(problem, file, environment) for problem in problems]


def misspelled(environment: Mapping[str, str], used: Collection[str]) -> list[str]:
    """Warnings about variables that look like settings but are not.

    used: the variables that the configuration itself names.
    """
    settings = [PREFIX + key.upper() for key in KEYS]
    found = []
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in (*settings, *OTHERS, *used):
            near = difflib.get_close_matches(name, settings + list(OTHERS), n=1, cutoff=0.8)
            hint = f"; did you mean {near[0]}?" if near else " (of [daemon] only); see docs/reference.md"
            found.append(f"the environment variable {name} has no effect: there is no such setting{hint}")
    return found


def _named(problem: str, file: str, environment: Mapping[str, str]) -> str:
    found = re.match(r"daemon\.(\w+)", problem.removeprefix(f"{file}: "))
    variable = PREFIX + found[1].upper() if found and found[1] in KEYS else ""
    if not environment.get(variable, "").strip():
        return problem
    return f"environment variable {variable}: {problem.removeprefix(f'{file}: ')}"


def _value(key: str, text: str) -> Any:
    """A value as TOML would have it. Text that is not valid stays text, which the checks report."""
    match KEYS[key]:
        case "truth":
            return {"true": True, "false": False}.get(text, text)
        case "names":
            return [name for name in re.split(r"[\s,]+", text) if name]
        case "number":
            with suppress(ValueError):
                return int(text)
            with suppress(ValueError):
                return float(text)
    return text
