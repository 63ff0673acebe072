"""Removes credentials, and control characters of terminals, from the texts of outcomes before they leave the worker."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Protocol

from msgspec.structs import replace

from crawlerd.core.hiding import CredentialsChanged, is_hidden
from crawlerd.core.outcome import ERROR_LIMIT, Complete, Skipped, Tried
from crawlerd.core.redaction import Redaction, printable, redaction
from crawlerd.core.task import PART

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from crawlerd.core.configuration import AccountSpec
    from crawlerd.core.outcome import Outcome
    from crawlerd.core.task import NewGather, NewTask
    from crawlerd.engine.private_records import Private

LONGEST_METHOD = 100  # characters
NO_CURSOR = "its sync point would repeat the credentials, and is not kept: each run reads all of it"


_SAYING = ("children", "gathers", "skipped", "marked", "comparisons", "identity", "cursors", "greatest")


class Secretive(Protocol):
    """An Api that knows what it sends."""

    def secrets(self) -> Sequence[str]:
        """All credentials that are known now, and the words of the headers that carry them. Makes no request."""
        ...

    def authenticate(self) -> None:
        """Requests credentials that are not known yet, such as an access token. Raises the errors of a request."""
        ...


def of(account: AccountSpec, api: object, private: Private | None = None, *, answers: bool = True) -> Redaction:
    """A redaction with all credentials of the account that are known now. Access tokens become known during an attempt.

    private: also removes the private values of the attempt.
    answers: see `Private.redacting`.
    """
    known: Sequence[str] = getattr(api, "secrets", tuple)()
    found = redaction((account.secret, *(each for each in known if each != account.secret)))
    return found if private is None else private.redacting(found, answers=answers)


def tried(asked: tuple[str, str, int] | None, seconds: float, known: Redaction) -> Tried | None:
    """The request of an attempt, without credentials, for people who look at its dead letter."""
    if asked is None:
        return None
    method, url, status = asked
    return Tried(printable(method)[:LONGEST_METHOD], printable(known.text(url))[:ERROR_LIMIT], status, seconds)


def restored(payload: str, account: AccountSpec, api: object) -> str:
    """A task's arguments, with the credentials put back that were taken out of them. Raises CredentialsChanged when
    these credentials are not known any more."""
    if not is_hidden(payload):
        return payload
    try:
        return of(account, api).restored(payload)
    except CredentialsChanged:  # or they are not known yet, since there was no request
        authenticate = getattr(api, "authenticate", None)
        if authenticate is None:
            raise
    authenticate()
    return of(account, api).restored(payload)


def redacted(outcome: Outcome, secrets: Callable[[], Redaction]) -> Outcome:
    """The outcome without credentials. They are deleted from texts. From the arguments of new tasks they are taken out,
    and put back when the task runs. Records stay as the API sent them, and so do arguments of other accounts' tasks."""
    if isinstance(outcome, Complete) and not any(getattr(outcome, name) for name in _SAYING):  # most outcomes
        return outcome
    known = secrets()
    if not isinstance(outcome, Complete):
        return replace(outcome, error=printable(known.text(outcome.error))[:ERROR_LIMIT])
    changes: dict[str, object] = {}
    if outcome.skipped:
        changes["skipped"] = [_skipped(each, known) for each in outcome.skipped]
    if outcome.marked:
        changes["marked"] = [replace(each, why=printable(known.text(each.why))) for each in outcome.marked]
    if outcome.children and known.may_be_in("\n".join(each.payload for each in outcome.children)):
        changes["children"] = [_task(each, known) for each in outcome.children]
    if outcome.gathers:
        changes["gathers"] = [_gather(each, known) for each in outcome.gathers]
    if outcome.comparisons:
        changes["comparisons"] = [replace(each, then=_task(each.then, known)) for each in outcome.comparisons]
    if outcome.identity and known.repeated(outcome.identity):  # a hash still distinguishes this account from others
        changes["identity"] = (
            f"{known.text(outcome.identity)} {blake2b(outcome.identity.encode(), digest_size=8).hexdigest()}"
        )
    for name in ("cursors", "greatest"):
        cursors: list[tuple[str, str]] = getattr(outcome, name)
        if any(known.repeated(value) for _, value in cursors):
            changes[name] = [(stream, value) for stream, value in cursors if not known.repeated(value)]
            lost = dict.fromkeys(stream for stream, value in cursors if known.repeated(value))
            notes = [Skipped(stream, "", NO_CURSOR, note=True) for stream in lost]
            changes["skipped"] = [*changes.get("skipped", outcome.skipped), *notes]  # type: ignore[misc] # lists
    return replace(outcome, **changes) if changes else outcome


def _skipped(skipped: Skipped, known: Redaction) -> Skipped:
    """Redacts the reason. The key stays unchanged, since a sweep needs it to keep the record."""
    return replace(skipped, reason=printable(known.text(skipped.reason)))


def _task(task: NewTask, known: Redaction) -> NewTask:
    if task.account and not task.account.startswith(PART):
        return task
    if task.if_new is not None:
        task = replace(task, if_new=replace(task.if_new, task=_task(task.if_new.task, known)))
    payload = known.hidden(task.payload)
    return task if payload is task.payload else replace(task, payload=payload)


def _gather(gather: NewGather, known: Redaction) -> NewGather:
    return replace(gather, tasks=[_task(each, known) for each in gather.tasks], then=_task(gather.then, known))
