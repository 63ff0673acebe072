"""How the page writes numbers, times and texts. Pure. Text from an API is escaped and cut."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import quote

from markupsafe import Markup

from crawlerd.core.reasons import Reason
from crawlerd.core.redaction import shown
from crawlerd.core.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import tzinfo

    from crawlerd.frontier.reports import RunReport

MOST_TEXT = 400  # characters of a text, unless a template asks for more
MOST_BLOCK = 20_000  # characters of a text of several lines
NOTHING = "–"  # noqa: RUF001 - an en dash
YEAR = 365 * 86_400.0
SOON = 4 * 3_600.0  # times less than this many seconds away are shown as a duration
UNITS = (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0))

# The sign and the class of a state, so that color is never the only difference.
SIGNS: dict[str, tuple[str, str]] = {
    "running": ("▶", "go"),
    "importing": ("▶", "go"),
    "limit": ("▶", "go"),
    "workers": ("▶", "go"),
    "completed": ("●", "ok"),
    "on time": ("●", "ok"),
    "done": ("●", "ok"),
    "idle": ("●", "ok"),
    "works": ("●", "ok"),
    "completed with dead letters": ("▲", "warn"),
    "dead letters": ("▲", "warn"),
    "retry": ("↻", "warn"),
    "group": ("◷", "warn"),
    "quota": ("◷", "warn"),
    "throttled": ("◷", "warn"),
    "late": ("◷", "warn"),
    "paused": ("‖", "warn"),
    "waiting": ("◷", "warn"),
    "cancelled": ("○", "warn"),
    "interrupted": ("○", "warn"),
    "denied": ("✕", "bad"),
    "failed": ("✕", "bad"),
    "refused": ("✕", "bad"),
    "outage": ("✕", "bad"),
    "held up": ("■", "bad"),
    "sink": ("■", "bad"),
    "store": ("■", "bad"),
    "never ran": ("○", "dim"),
    "on demand": ("○", "dim"),
}
WITH_DEAD = "completed with dead letters"
KINDS = ("bad", "warn", "go", "ok", "dim")  # the worst first
WORDS: dict[str, str] = {
    "completed with dead letters": "dead letters",
    Reason.LIMIT: "at the limit",
    Reason.QUOTA: "waiting for quota",
    Reason.SINK: "held up by a sink",
    Reason.STORE: "held up by the queue",
    Reason.WORKERS: "waiting for a worker",
    Reason.RETRY: "waiting for a retry",
    Reason.GROUP: "waiting for a group",
    Reason.REFUSED: "key refused",
}


def safe(value: object) -> object:
    """Applied to each value that a template writes: texts are escaped and cut, None becomes a dash, other values are
    unchanged."""
    if value is None:
        return NOTHING
    if isinstance(value, str) and not isinstance(value, Markup):
        return cut(value, MOST_TEXT)
    return value


def cut(text: str, most: int) -> str:
    """The text on one line, with at most `most` characters."""
    line = " ".join(text[: 4 * most].split())
    clean = shown(line[: most + 1])
    return clean if len(clean) <= most and len(text) <= 4 * most else f"{clean[: most - 1]}…"


def block(text: str, most: int = MOST_BLOCK) -> Markup:
    """The text with its lines, and with at most `most` characters."""
    lines = [shown(line.expandtabs(4)) for line in text[:most].splitlines()]
    more = f"\n… {len(text) - most:,} more characters" if len(text) > most else ""
    return Markup("{}{}").format("\n".join(lines), more)


def number(value: float | None, digits: int = 0) -> str:
    """A number as text, such as 9,812,440."""
    return NOTHING if value is None else f"{value:,.{digits}f}"


def rate(value: float | None) -> str:
    """A rate per second as text, with three significant digits."""
    if value is None:
        return NOTHING
    digits = 0 if value >= 100 or value == round(value) else 1 if value >= 1 else 2
    return f"{value:,.{digits}f}"


def percent(share: float | None) -> str:
    return NOTHING if share is None else f"{share:.0%}"


def duration(seconds: float | None) -> str:
    """A duration as text with at most two units, such as "1 h 11 min"."""
    if seconds is None:
        return NOTHING
    if seconds < 1:
        return f"{max(0.0, seconds) * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    rest = round(seconds)
    if rest < 60:
        return f"{rest} s"
    if rest >= 3_600:
        rest = round(rest / 60) * 60
    parts: list[str] = []
    for unit, length in (*UNITS, ("s", 1.0)):
        count, rest = divmod(rest, round(length))
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
        if len(parts) == 2:
            break
    return " ".join(filter(None, parts))


def size(count: float | None) -> str:
    """Bytes as text, in powers of 1,000."""
    if count is None:
        return NOTHING
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1_000 or unit == "TB":
            return f"{count:.0f} {unit}" if count >= 10 or unit == "B" else f"{count:.1f} {unit}"
        count /= 1_000
    raise AssertionError


def time(seconds: float | None, now: float, zone: tzinfo | None = None) -> Markup | str:
    """A time, with as much of the date as is needed. The full time with its zone is shown on hovering, and is there for
    programs."""
    if seconds is None:
        return NOTHING
    at, today = _at(seconds, zone), _at(now, zone)
    if at.date() == today.date():
        return _element(at, at.strftime("%H:%M"))
    if abs(days := (at.date() - today.date()).days) == 1:
        return _element(at, at.strftime("tomorrow %H:%M" if days > 0 else "yesterday %H:%M"))
    return _element(at, at.strftime("%b %-d, %H:%M" if abs(seconds - now) < YEAR / 2 else "%Y-%m-%d"))


def ago(seconds: float | None, now: float, zone: tzinfo | None = None) -> Markup | str:
    """How long ago a time was."""
    return NOTHING if seconds is None else _element(_at(seconds, zone), duration(max(1.0, round(now - seconds))))


def until(seconds: float | None, now: float, zone: tzinfo | None = None) -> Markup | str:
    """In how long a time comes, or the time itself if it is more than a few hours away."""
    if seconds is None or seconds - now > SOON:
        return time(seconds, now, zone)
    left = seconds - now
    return _element(_at(seconds, zone), f"in {duration(left)}" if left >= 1 else "now")


def _element(at: datetime, text: str) -> Markup:
    exact = at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    title = at.strftime("%A, %Y-%m-%d %H:%M:%S %Z")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(exact, title, text)


def sign(state: str) -> Markup:
    """A state with its sign and its color."""
    mark, kind = SIGNS.get(state.split(":", 1)[0], ("○", "dim"))
    word = WORDS.get(state, state)
    return Markup('<span class="s {}"><i aria-hidden="true">{}</i> {}</span>').format(kind, mark, cut(word, 60))


def by_state(states: Iterable[str]) -> tuple[str, str]:
    """How many are in each state, the worst first, such as "1 failed, 3 on time"; and the tone of the worst."""
    counts = Counter(states)
    kinds = {state: SIGNS.get(state, ("", "dim"))[1] for state in counts}
    words = {state: "with dead letters" if state == WITH_DEAD else WORDS.get(state, state) for state in counts}
    ordered = sorted(counts, key=lambda state: (KINDS.index(kinds[state]), words[state]))
    text = ", ".join(f"{counts[state]:,} {words[state]}" for state in ordered)
    return text, next((kind for kind in ("bad", "warn") if kind in kinds.values()), "good")


def digest(name: str) -> str:
    """A name, for use in an `id`."""
    return sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def segment(name: str) -> str:
    """A name, for use in a path."""
    return quote(name, safe="", errors="replace")


def _at(seconds: float, zone: tzinfo | None) -> datetime:
    return datetime.fromtimestamp(min(max(seconds, 0.0), 253_402_000_000.0), UTC).astimezone(zone)


def remark(run: RunReport) -> str:
    """Why a run ended as it did, or else what it reads and why."""
    if run.ended_reason:
        return run.ended_reason
    if run.state == "failed":
        return f"no task of it has succeeded; see its {counted(run.dead, 'dead letter')}" if run.dead else ""
    kind = "full" if run.full else "incremental"
    return ": ".join(part for part in (kind, run.ad_hoc or run.full_reason) if part)
