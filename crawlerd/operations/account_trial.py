"""Tests an account with one request, within its limits: whether it works, and who its credentials belong to."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Literal

import msgspec

from crawlerd.core.errors import Permanent
from crawlerd.core.outcome import Bury, Complete, Crash, Defer, Outcome, Pause, Retry
from crawlerd.core.wording import plain_error
from crawlerd.operations.problem import Refused, Unknown

if TYPE_CHECKING:
    from crawlerd.core.configuration import AccountSpec
    from crawlerd.engine.engine import Engine
    from crawlerd.engine.questions import QuestionFacts

TRIAL_SECONDS = 30.0  # for the answer, including the wait for the limits

State = Literal["works", "refused", "failed", "throttled", "unanswered", "waits", "untested"]


class TrialRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to test.

    seal: the result of `sealed` for the account as the caller has it; None to test it as the daemon has it.
    salt: the salt of the seal.
    """

    seal: str | None = None
    salt: str = ""


class AccountTrial(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a test.

    state: works; refused: the credentials do not work; failed: the request does not work; throttled; unanswered: the
        API does not answer, or has an outage; waits: its limits did not permit the request in time; untested: no
        request was sent.
    text: the result, for people.
    identity: the owner of the credentials; None if the API does not say.
    """

    name: str
    source: str
    state: State
    text: str
    identity: str | None = None


def try_account(engine: Engine, name: str, request: TrialRequest, seconds: float = TRIAL_SECONDS) -> AccountTrial:
    """Tests an account. Blocks until the answer has come, or for `seconds`. Raises Unknown if the account is not
    configured, and Refused if the caller's account differs from the engine's."""
    spec = engine.settings.accounts.get(name)
    if spec is None:
        raise Unknown(f"account {name[:80]} is not configured")
    if request.seal is not None and request.seal != sealed(spec, request.salt):
        raise Refused(
            f"the running daemon uses other credentials or another address for account {name}: run `crawlerd reload`, "
            f"then `crawlerd accounts test {name}`"
        )
    try:
        asked, outcome = engine.questions.ask(name, seconds)
    except Permanent as error:
        return AccountTrial(name=name, source=spec.source, state="untested", text=str(error))
    except TimeoutError:
        waiting = engine.insight.explain([name]).get(name)
        why = waiting.text if waiting else "its limits permit no request yet, or its API is slow"
        text = f"no answer within {seconds:g} s: {why}"
        return AccountTrial(name=name, source=spec.source, state="waits", text=text)
    return _told(spec, asked, outcome, engine.questions.identity(name))


def sealed(spec: AccountSpec, salt: str) -> str:
    """A text that shows whether two processes have the same account, without revealing its key.

    salt: any text, different each time.
    """
    facts = msgspec.msgpack.encode((spec.source, spec.base_url, spec.secret, dict(spec.options)))
    return blake2b(facts, key=salt.encode()[:64]).hexdigest()


def _told(spec: AccountSpec, asked: QuestionFacts, outcome: Outcome, noted: str | None) -> AccountTrial:
    """The result of an outcome.

    noted: the owner that was recorded before.
    """
    identity = None
    state: State = "failed"
    match outcome:
        case Complete():
            state, identity, text = "works", outcome.identity, _works(asked, outcome)
            if identity and noted and identity != noted:
                state = "refused"
                text = f"its key belongs to {identity}, but what was imported so far came from {noted}"
        case Pause():
            state, text = "refused", plain_error(outcome.error)
        case Bury():
            text = plain_error(outcome.error)
        case Defer():
            state, text = "throttled", plain_error(outcome.error)
        case Retry():
            state, text = "unanswered", plain_error(outcome.error)
        case Crash():
            text = f"the request's worker process ended: {plain_error(outcome.error)}"
    return AccountTrial(name=spec.name, source=spec.source, state=state, text=text, identity=identity)


def _works(asked: QuestionFacts, outcome: Complete) -> str:
    if outcome.identity:
        return f"works, and belongs to {outcome.identity}"
    if not asked.stream:
        return "works; the API does not say who owns the account"
    count = sum(batch.count for batch in outcome.batches)
    return f"works: the first page of {asked.stream} has {count:,} record{'s' * (count != 1)}"
