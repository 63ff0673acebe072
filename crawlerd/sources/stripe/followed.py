"""How each stream is followed, in words: the table of docs/stripe-streams.md, printed by `python -m` this module."""

from __future__ import annotations

from crawlerd.sources.stripe.catalogue import BELOW, LISTS, STREAMS, TYPES, is_silent, is_with_parent
from crawlerd.sources.stripe.catalogue_events import UNHEEDED
from crawlerd.sources.stripe.catalogue_lists import LEFT_OUT
from crawlerd.sources.stripe.entries import DAY

HEAD = """\
# Stripe's streams

This page shows how each stream is followed.
It is made from `crawlerd/sources/stripe/catalogue_lists.py` and `catalogue_below.py`:
`python -m crawlerd.sources.stripe.followed > docs/stripe-streams.md`.

A full run reads all of every stream.
A later run reads the objects that events are about, where Stripe sends events.
Where it sends none, the later run reads in other ways.
Either way it reads each object as it is now.
Only the next full run (`import --full`) sees what the last column names.
Streams that "must be named" are not part of `streams = ["*"]`.

"""


def page() -> str:
    """docs/stripe-streams.md."""
    parts = [HEAD, table(), "\n## Lists that no stream reads\n\n"]
    parts += [f"* `{path}`: {why}.\n" for path, why in LEFT_OUT.items()]
    parts += ["\n## Events that nothing is read for\n\n"]
    for why in dict.fromkeys(UNHEEDED.values()):
        kinds = ", ".join(f"`{kind}`" for kind, reason in UNHEEDED.items() if reason == why)
        parts.append(f"* {kinds}: {why}.\n")
    return "".join(parts)


def table() -> str:
    """In Markdown: a row for each stream."""
    rows = ["| stream | list | a later run reads | only the next full run sees |", "|---|---|---|---|"]
    for stream in STREAMS:
        entry = BELOW[stream] if stream in BELOW else LISTS[stream]
        name = f"`{stream}`" + (" (must be named)" if entry.optional else "")
        rows.append(f"| {name} | `{entry.path}` | {'; '.join(how(stream))} | {entry.missed} |")
    return "\n".join(rows) + "\n"


def how(stream: str) -> list[str]:
    """What a later run reads of a stream."""
    if stream in BELOW:
        return _below(stream)
    listing = LISTS[stream]
    if listing.single:
        return ["the object"]
    if is_silent(stream):
        return ["all of it"]
    found = _events(listing.objects)
    found += [f"objects that a changed `{kind}` names" for kind, _ in listing.mentions]
    found += [f"objects that belong to a changed object of `{parent}`" for parent, _ in listing.of]
    if listing.lookback:
        days = listing.lookback // DAY
        found.append(f"objects made since {days} day{'s' if days > 1 else ''} before the last run")
    found += [f"objects with `{name}={value}`" for name, value in listing.part]
    return found


def _below(stream: str) -> list[str]:
    entry = BELOW[stream]
    if is_silent(stream):
        return [f"all of it, below each object of `{entry.parent}`"]
    found = _events(entry.objects)
    found += [f"the list below what a changed `{kind}` names" for kind, _ in entry.mentions]
    if is_with_parent(stream):
        found.append(f"the list below each changed object of `{entry.parent}`")
    if entry.orphaned:
        found.append(f"deletions of `{entry.parent}`, which end everything below them")
    return found


def _events(kinds: tuple[str, ...]) -> list[str]:
    types = list(dict.fromkeys(each.rpartition(".")[0] for kind in kinds for each in TYPES[kind]))
    return ["objects of the events " + ", ".join(f"`{each}.*`" for each in types)] if types else []


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201 - a tool for people
