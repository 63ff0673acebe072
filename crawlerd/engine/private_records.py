"""Drops and hashes fields of the records that an attempt has yielded, as its import says.

The worker does it, before any part of the outcome leaves the process. If the value of such a field is also in a key, a
sync point or a task, which must be stored unchanged, the task becomes a dead letter with this reason.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from crawlerd.core.errors import ConfigurationError, Permanent
from crawlerd.core.jsontext import nesting
from crawlerd.core.outcome import DEEP, Complete, Skipped
from crawlerd.core.private_fields import ANY, DROP, RunFields, Shaped, said_in, without_words
from crawlerd.core.redaction import GONE, Redaction
from crawlerd.core.traces import Traces
from crawlerd.engine.batches import UNSERIALISABLE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from crawlerd.core.configuration import ImportSpec
    from crawlerd.core.outcome import Batch
    from crawlerd.core.task import NewTask

INSTEAD = "take it out of `fields` of the import, or leave out the stream that needs it"


def run_fields(spec: ImportSpec, key: str) -> RunFields | None:
    """What a run of an import drops and hashes; None for nothing. Raises ConfigurationError when it hashes fields but
    `daemon.hash_key` is not in force yet, as after a reload that has added both."""
    if not spec.fields:
        return None
    if not key and any(each.hash for each in spec.fields.values()):
        raise ConfigurationError([f"import {spec.name} hashes fields, and daemon.hash_key is not in force: restart"])
    return RunFields(spec.fields, key)


LONGEST = 2_000  # longest value, in characters, that is searched for across a cut: a longer pattern takes seconds


class Private:
    """Applies the rules for private fields to one attempt."""

    def __init__(self, fields: RunFields) -> None:
        self._shaped = Shaped(fields)
        self._answers: list[tuple[Any, bool]] = []
        self._said: set[str] | None = set()  # words of error responses; None when there were too many

    def hear(self, answer: Any, failed: bool) -> None:
        """Remembers a response, since an error text may quote it. failed: it is an error response."""
        self._answers.append((answer, failed))

    def see(self, stream: str, texts: Iterable[bytes | None]) -> None:
        """Remembers the private values of records that a failed attempt has yielded."""
        for text in texts if self._shaped.branch(stream) else ():
            if text is not None:
                with suppress(ValueError, RecursionError):
                    self._shaped.shaped(text, stream)

    def applied(self, outcome: Complete) -> Complete:
        """The outcome with its private fields dropped and hashed. Raises Permanent when another part of it that must be
        stored has such a value."""
        batches, skipped = [], [self._quoting_nothing(each) for each in outcome.skipped]
        for batch in outcome.batches:
            shaped = self._batch(batch, skipped) if self._shaped.branch(batch.stream) else batch
            batches += [shaped] if shaped.count else []
        if outcome.batches or skipped:
            outcome = replace(outcome, batches=batches, skipped=skipped)
        if self._shaped.values:
            traces = Traces(self._shaped.values)
            for what, text in _kept(outcome):
                if (found := traces.found(text)) is not None:
                    raise _refused(self._shaped.values[found], what)
        return outcome

    def _batch(self, batch: Batch, skipped: list[Skipped]) -> Batch:
        """The batch with its private fields dropped and hashed. skipped: gets the records that cannot be read."""
        branch = self._shaped.branch(batch.stream)
        left: list[int] = []
        data: list[bytes | None] = []
        for place, text in enumerate(batch.data):
            if text is not None:
                try:
                    text, taken = self._shaped.shaped(text, batch.stream)
                except (ValueError, RecursionError) as error:
                    reason = f"{UNSERIALISABLE}: {type(error).__name__}"
                    skipped.append(Skipped(batch.stream, batch.keys[place], reason))
                    continue
                if taken:
                    _check_names(batch, place, taken)
            left.append(place)
            data.append(text)
        return replace(
            batch,
            count=len(left),
            keys=[batch.keys[place] for place in left],
            data=data,
            fields=[] if branch.get(ANY) == DROP else [each for each in batch.fields if branch.get(each) != DROP],
            deep=[place for place, text in enumerate(data) if text and nesting(text, DEEP) > DEEP]
            if batch.deep
            else [],
            size=sum(len(text) for text in data if text),
            parents=[batch.parents[place] for place in left] if batch.parents else [],
        )

    def _quoting_nothing(self, skipped: Skipped) -> Skipped:
        """Removes quotes from the reason: the private values of a record that could not be read are unknown."""
        if not self._shaped.branch(skipped.stream):
            return skipped
        reason, but, _ = skipped.reason.partition(" but ")
        quotes = but and reason.startswith((UNSERIALISABLE, "has no key"))
        return replace(skipped, reason=reason) if quotes else skipped

    def redacting(self, known: Redaction, *, answers: bool) -> Redaction:
        """A redaction of texts that removes private values as well as the credentials of `known`.

        answers: also remove private values of responses from which no record was made; an error text may quote them.
        """
        if answers:
            heard, self._answers = self._answers, []
            for each, failed in heard:
                if failed:  # the text of an error response may contain any value
                    words = said_in(each)
                    self._said = None if words is None or self._said is None else self._said | words
                else:
                    self._shaped.look_into(each)
        values = self._shaped.values
        said = self._said if answers else set()
        return _Both(known, values, said) if values or said != set() else known


class _Both(Redaction):
    """Removes credentials and private values."""

    def __init__(self, known: Redaction, values: Collection[str], said: set[str] | None) -> None:
        """said: words of error responses to remove; None when there are too many: then whole texts are removed."""
        self.__dict__ = {**known.__dict__}
        self.longest = min(LONGEST, max(self.longest, max(map(len, values), default=0)))
        self._traces, self._said = Traces(values), said

    def text(self, text: str) -> str:
        text = super().text(self._traces.text(text))
        if self._said is None:
            begins = re.match("(?:[A-Za-z]+: )?HTTP [0-9]{3}(?: |: |$)", text)
            return f"{begins[0]}{GONE}" if begins else GONE
        return without_words(text, self._said) if self._said else text


def _check_names(batch: Batch, place: int, taken: Mapping[str, str]) -> None:
    traces = Traces(taken)
    names = [("the key of a record", batch.keys[place])]
    names += [("the parent of a record", batch.parents[place])] if batch.parents else []
    for what, name in names:
        if (found := traces.found(name)) is not None:
            raise _refused(taken[found], what)


def _refused(field: str, what: str) -> Permanent:
    return Permanent(f"the field {field} cannot be dropped or hashed: {what} holds it as well, and is kept; {INSTEAD}")


def _kept(outcome: Complete) -> Iterator[tuple[str, str]]:
    """Yields all texts of an outcome that the frontier stores unchanged, each with a description."""
    tasks: list[NewTask] = [*outcome.children, *(each.then for each in outcome.comparisons)]
    for gather in outcome.gathers:
        tasks += [*gather.tasks, gather.then]
    for task in tasks:
        for form in task.forms():
            yield f"the arguments of a task of kind {form.kind}", f"{form.payload}\n{form.bucket}\n{form.mark}"
    for stream, value in (*outcome.cursors, *outcome.greatest):
        yield f"the sync point {stream}", value
    for stream, prefix in (*outcome.sweeps, *outcome.orphans):
        yield f"a sweep of {stream}", prefix
