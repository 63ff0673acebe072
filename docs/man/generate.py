"""Writes the man page from the commands themselves: `python docs/man/generate.py > docs/man/crawlerd.1`."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

from crawlerd.cli.examples import EXAMPLES
from crawlerd.cli.exits import ExitCode
from crawlerd.cli.main import command as root_command
from crawlerd.config.overrides import KEYS, PREFIX
from crawlerd.core.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typer.core import TyperCommand, TyperGroup

EXITS = {
    ExitCode.DONE: "Done. Of import: every run is complete. Of run: stopped by a signal.",
    ExitCode.FAILED: "Failed; the message says why.",
    ExitCode.USAGE: "The command was not understood.",
    ExitCode.INCOMPLETE: "Every run has ended, but not all are complete.",
    ExitCode.UNAVAILABLE: "An API does not answer; or the daemon does not, or none runs where one is needed.",
    ExitCode.DISK: "The disk is full or failing; nothing that was acknowledged is lost.",
    ExitCode.LOCKED: "Another crawlerd uses the state directory.",
    ExitCode.CONFIGURATION: "The configuration is wrong, or another start would fail in the same way.",
    ExitCode.INTERRUPTED: "import was interrupted; the same command resumes.",
    ExitCode.READER_GONE: "Nobody reads stdout any more.",
}
FILES = {
    "crawlerd.toml": "The configuration, in the current folder, unless -c or CRAWLERD_CONFIG names another one.",
    "config.d/*.toml": "Further files of the configuration, next to it.",
    "/var/lib/crawlerd": "The usual state directory: the frontier, its lock, and the socket of commands.",
    "/run/crawlerd/socket": "The socket, where the shipped systemd unit says so.",
}


def page() -> str:
    """All of it, as roff with the macros of man(7)."""
    return "\n".join(_lines(root_command())) + "\n"


def _lines(root: TyperGroup) -> Iterator[str]:
    yield '.\\" Written by docs/man/generate.py. Change the commands, not this file.'
    yield f'.TH CRAWLERD 1 "" "crawlerd {__version__}" "User Commands"'
    yield from (".SH NAME", "crawlerd \\- a durable crawler daemon for rate-limited APIs")
    yield from (".SH SYNOPSIS", ".B crawlerd", "[\\fB\\-c\\fR \\fIFILE\\fR] \\fICOMMAND\\fR \\fR[\\fIARGUMENTS\\fR]")
    yield from (".SH DESCRIPTION", _text(root.help or ""))
    yield ".SH OPTIONS"
    yield from _options(root)
    yield ".SH COMMANDS"
    yield _text("--json, --quiet and --no-progress may also follow the command.")
    for names, command in _commands(root, ()):
        yield from _command(names, command)
    yield ".SH EXIT STATUS"
    for code in ExitCode:
        yield from (".TP", f".B {code.value}", _text(EXITS[code]))
    yield ".SH ENVIRONMENT"
    yield from (".TP", ".B CRAWLERD_CONFIG", "The configuration file, unless \\fB\\-c\\fR names one.")
    for key in KEYS:
        yield from (".TP", f".B {PREFIX}{key.upper()}", f"Overrides \\fB{_text(key)}\\fR of the table [daemon].")
    yield ".SH FILES"
    for path, text in FILES.items():
        yield from (".TP", f".I {_text(path)}", _text(text))
    yield from (".SH SEE ALSO", ".BR systemctl (1),", ".BR journalctl (1)")


def _commands(group: TyperGroup, names: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], TyperCommand | TyperGroup]]:
    for name, command in getattr(group, "commands", {}).items():
        here = (*names, name)
        inner = getattr(command, "commands", None)
        if inner is None or getattr(command, "invoke_without_command", False):
            yield here, command
        yield from _commands(command, here)


def _command(names: tuple[str, ...], command: TyperCommand | TyperGroup) -> Iterator[str]:
    context = command.context_class(command, info_name=" ".join(names))
    usage = " ".join(piece for piece in command.collect_usage_pieces(context) if piece != "COMMAND [ARGS]...")
    yield f".SS {_text(' '.join(names))}"
    yield f"\\fBcrawlerd {_text(' '.join(names))}\\fR {_text(usage)}".rstrip()
    yield ".PP"
    yield _text(command.help or "")
    yield from _options(command, own=True)
    for line, what in EXAMPLES.get(" ".join(names), ()):
        yield from (".PP", f"Example, {_text(what)}:", ".br", f"\\fB{_text(line)}\\fR")


def _options(command: TyperCommand | TyperGroup, *, own: bool = False) -> Iterator[str]:
    """Arguments that have a help text, and options. own: without those that every command has."""
    for each in command.params:
        if own and (each.name or "").startswith("mode_") and each.opts != ["--jsonl"]:
            continue
        record = each.get_help_record(command.context_class(command))
        if record is not None and "--help" not in each.opts and record[1]:
            name = re.sub("<([a-z]+)>", lambda found: found[1].upper(), record[0])
            yield from (".TP", f"\\fB{_text(name)}\\fR", _text(record[1]))


def _text(text: str) -> str:
    """On one line, with nothing that roff would obey."""
    line = re.sub(r"\s+", " ", text).strip().replace("\\", "\\e").replace("-", "\\-")
    line = line.replace("…", "...").replace("'", "\\(aq").replace("`", "\\(ga").replace("→", "\\->")
    return f"\\&{line}" if line.startswith(".") else line


if __name__ == "__main__":
    sys.stdout.write(page())
