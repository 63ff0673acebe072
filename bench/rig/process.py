"""Programs of a benchmark: the environment that they run in, and parts of a script in a process of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Answer = TypeVar("Answer")
ROOT = Path(__file__).resolve().parents[2]


def environment(*folders: Path, base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """For a program that imports what lies in `folders`, and the benchmarks themselves."""
    path = [*map(str, folders), str(ROOT), *filter(None, [base.get("PYTHONPATH")])]
    return {**base, "PYTHONPATH": os.pathsep.join(path)}


def module(name: str, *arguments: str) -> list[str]:
    """The command that runs a module of the benchmarks."""
    return [sys.executable, "-m", name, *arguments]


def install_source(folder: Path, name: str, target: str = "") -> None:
    """Registers a source of `bench/sources` for programs that have `folder` in their environment.

    target: "module:object"; by default the object of the source's own name in the module of that name.
    """
    facts = folder / f"{name}-1.0.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    target = target or f"bench.sources.{name}:{name}"
    (facts / "entry_points.txt").write_text(f"[crawlerd.sources]\n{name} = {target}\n")


def answered(command: list[str], environment: Mapping[str, str], kind: type[Answer]) -> Answer:
    """What a program prints as JSON. It must end with 0."""
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    return msgspec.json.decode(done.stdout, type=kind)


def part(module_name: str, name: str, environment: Mapping[str, str], **arguments: object) -> dict[str, float]:
    """Runs one of the functions that a module gives to `part_asked`, in a process of its own."""
    command = module(module_name, name, json.dumps(arguments, default=str))
    return answered(command, environment, dict[str, float])


def part_asked(*parts: Callable[..., Mapping[str, float]]) -> None:
    """Runs the function that the command line names, with its arguments there, and prints what it returns."""
    name, text = sys.argv[1:]
    (asked,) = (each for each in parts if each.__name__ == name)
    arguments = {key: Path(value) if key == "place" else value for key, value in json.loads(text).items()}
    print(json.dumps(asked(**arguments)))
