"""`crawlerd accounts limit`: lowers the limits of an account for a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from crawlerd.cli import completion
from crawlerd.cli.answers import confirm
from crawlerd.cli.context import by_daemon_or_here, daemon_of, reader_of, writer_of
from crawlerd.cli.exits import ExitCode, exit_codes, fail
from crawlerd.cli.pause import Configured, end_of
from crawlerd.cli.tables import local_time
from crawlerd.core.redaction import shown

if TYPE_CHECKING:
    from crawlerd.core.lowered import LimitNote
    from crawlerd.operations.limit_requests import LimitRequest


def limit(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The account.", autocompletion=completion.accounts)],
    limits: Annotated[
        list[str] | None, typer.Argument(metavar="[LIMIT]...", help="The lower limits, such as 5/second.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why, for the audit.")] = "",
    bucket: Annotated[str, typer.Option(metavar="BUCKET", help="Limit only this bucket of the account.")] = "",
    until: Annotated[
        str,
        typer.Option(
            metavar="TIME", help="When the limit ends, such as 2027-01-31T06:00 (UTC unless a zone is given)."
        ),
    ] = "",
    lasting: Annotated[
        str, typer.Option("--for", metavar="DURATION", help="How long the limit lasts, such as 2h.")
    ] = "",
    off: Annotated[
        bool, typer.Option("--off", help="Remove the limit: only the configured limits apply again.")
    ] = False,
) -> None:
    """Lower the limits of an account or of one of its buckets, until a time or until --off.

    The configured limits still apply, so this can only make an account slower. Limits that were lowered before are
    replaced. The limit stays in force after a restart.
    """
    from crawlerd.cli.results import LimitEnded
    from crawlerd.operations.limit_requests import LimitRequest

    with exit_codes():
        if off:
            if limits or reason or until or lasting:
                fail("--off removes the limit, and takes no limits, --reason, --until or --for", ExitCode.USAGE)
            _end(context, name, bucket)
            what = f"bucket {bucket} of account {name}" if bucket else f"account {name}"
            done = LimitEnded(account=name, bucket=bucket)
            confirm(done, shown(f"{what}: only the configured limits apply again"))
            return
        if not limits:
            fail("give a limit, such as 5/second, or --off", ExitCode.USAGE)
        if not reason.strip():
            fail("give --reason: why the limit is lowered is kept in the audit", ExitCode.USAGE)
        end = end_of(until, lasting)
        noted = _lower(context, name, LimitRequest(limits=limits, reason=reason, bucket=bucket, until=end))
        over = f"crawlerd accounts limit {name} --off" + (f" --bucket {bucket}" if bucket else "")
        end_text = f"until {local_time(noted.until)}, or until `{over}`" if noted.until else f"until `{over}`"
        confirm(noted, shown(f"{noted.subject} is limited to {', '.join(noted.limits)} {end_text}"))


def _lower(context: typer.Context, name: str, request: LimitRequest) -> LimitNote:
    from crawlerd.core.lowered import LimitNote
    from crawlerd.operations.limit_requests import note

    daemon = daemon_of(context)

    def here(by: str, now: float) -> LimitNote:
        with reader_of(daemon.state_dir) as reader:
            noted = note(name, request, Configured(context), reader, by, now)
        with writer_of(daemon.state_dir) as frontier:
            frontier.lower(noted)
        return noted

    return by_daemon_or_here(daemon, "PUT", f"accounts/{quote(name, safe='')}/limit", LimitNote, request, here)


def _end(context: typer.Context, name: str, bucket: str) -> None:
    from crawlerd.operations.limit_requests import not_lowered

    daemon = daemon_of(context)

    def here(by: str, now: float) -> None:
        with writer_of(daemon.state_dir) as frontier:
            if not frontier.end_lowered(name, bucket, by, now):
                raise not_lowered(name, bucket)

    place = f"accounts/{quote(name, safe='')}/limit?bucket={quote(bucket, safe='')}"
    by_daemon_or_here(daemon, "DELETE", place, object, None, here)


def lowered_text(note: LimitNote) -> str:
    """A line of text about a lowered limit."""
    end = f" until {local_time(note.until)}" if note.until else ""
    return f"{note.subject}: {note.text}, since {local_time(note.since)}{end}"
