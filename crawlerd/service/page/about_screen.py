"""The daemon itself: version, configuration, files and disks, licenses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from crawlerd.core.in_force import Reloaded
from crawlerd.operations.about_facts import about as facts
from crawlerd.operations.problem import Refused
from crawlerd.operations.reloading import sentences
from crawlerd.service.page.asked import Shown
from crawlerd.service.page.page_forms import Form, local
from crawlerd.service.parameters import is_number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crawlerd.operations.about_facts import About
    from crawlerd.operations.backup_requests import BackupProgress
    from crawlerd.service.page.asked import Asked

LITTLE = 0.1  # below this share of free space, people should act


def about(asked: Asked) -> Shown:
    return context_of(facts(asked.settings, asked.live), asked.context.engine.backups.latest)


def backup(asked: Asked) -> Shown:
    """Asks where to put a backup."""
    return Shown(
        "confirm",
        "Back up now?",
        {
            "heading": "Back up now?",
            "problem": None,
            "sentence": "The frontier and all sinks are copied and checked while the daemon keeps working. "
            "The configuration and keys are not part of the backup. About shows when it is done.",
            "path": "/about/backup",
            "fixed": {},
            "fields": [
                {
                    "name": "path",
                    "label": "Directory on the daemon's machine",
                    "value": "",
                    "required": True,
                    "hint": "Its absolute path, such as /var/backups/crawlerd. "
                    "It must not exist yet, unless a number is given below.",
                },
                {
                    "name": "keep",
                    "label": "How many to keep there",
                    "value": "",
                    "required": False,
                    "hint": "With a number, the directory holds several backups, each named by its time; "
                    "the oldest are removed.",
                },
            ],
            "button": "Back up now",
            "tone": "main",
            "back": local(asked.query.get("back", "/about")),
        },
    )


def context_of(found: About, made: BackupProgress | None = None) -> Shown:
    """made: the last backup that was requested."""
    sentence, tone = _verdict(found)
    return Shown(
        "about",
        f"About: crawlerd {found.version}",
        {"found": found, "verdict": sentence, "tone": tone, "made": made},
        json="/about",
    )


def _verdict(found: About) -> tuple[str, str]:
    if found.in_force and (note := found.in_force.note):
        return f"{note[:1].upper()}{note[1:]}.", "bad" if found.in_force.problems else "warn"
    full = [disk for disk in found.disks if disk.free < LITTLE * disk.size]
    if full:
        share = full[0].free / full[0].size
        return f"The disk of {', '.join(full[0].names)} has {share:.0%} of its space left.", "warn"
    return f"crawlerd {found.version} on {found.host}; the configuration in force is that of the file.", "good"


def _reloaded(words: Mapping[str, str], answer: Any) -> str:
    said = [*sentences(msgspec.convert(answer, Reloaded))]
    return " ".join(f"{each[:1].upper()}{each[1:]}." for each in said)


def _where(fields: Mapping[str, str]) -> dict[str, Any]:
    body: dict[str, Any] = {"path": fields.get("path", "").strip()}
    if keep := fields.get("keep", "").strip():
        if not is_number(keep):
            raise Refused(f"how many to keep: {keep[:80]!r} is not a whole number")
        body["keep"] = int(keep)
    return body


FORMS = (
    Form("/about/reload", "about", "POST", "/reload", lambda fields: {}, _reloaded),
    Form(
        "/about/backup",
        "about",
        "POST",
        "/backup",
        _where,
        lambda words, answer: f"A backup to {answer['path']} is under way; it continues when you leave this page.",
    ),
)
