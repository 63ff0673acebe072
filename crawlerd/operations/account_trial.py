"""Whether an account works: one request, within its limits, and who its credentials belong to."""

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

TRIAL_SECONDS = 30.0  # for an answer, the wait for the limits included

State = Literal["works", "refused", "failed", "throttled", "unanswered", "waits", "untested"]


class TrialRequest(msgspec.Struct, frozen=True, kw_only=True):
    """
    seal: what `sealed` makes of the account as the caller has it, None to test it as the daemon has it.
    salt: of the seal.
    """

    seal: str | None = None
    salt: str = ""


class AccountTrial(msgspec.Struct, frozen=True, kw_only=True):
    """
    state: works; refused: the credentials do not work; failed: the request does not; throttled; unanswered: the API is
        not there, or out of order; waits: its limits did not permit the request in time; untested: nothing was asked.
    text: what came of it, for people.
    identity: who the credentials belong to, where the API says so.
    """

    name: str
    source: str
    state: State
    text: str
    identity: str | None = None


def try_account(engine: Engine, name: str, request: TrialRequest, seconds: float = TRIAL_SECONDS) -> AccountTrial:
    """Blocks until the answer is there, or for these seconds. Unknown for an account that is not configured, Refused
    where the caller has it otherwise than the engine."""
    spec = engine.settings.accounts.get(name)
    if spec is None:
        raise Unknown(f"account {name[:80]} is not configured")
    if request.seal is not None and request.seal != sealed(spec, request.salt):
        raise Refused(
            f"the running daemon has other credentials or another address of account {name}: run `crawlerd reload`, "
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
    """What tells whether two processes have the same account, and nothing about its key. salt: any text, new each
    time."""
    facts = msgspec.msgpack.encode((spec.source, spec.base_url, spec.secret, dict(spec.options)))
    return blake2b(facts, key=salt.encode()[:64]).hexdigest()


def _told(spec: AccountSpec, asked: QuestionFacts, outcome: Outcome, noted: str | None) -> AccountTrial:
    """noted: who the account's credentials belonged to before."""
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
        return "works; the API does not say whom it belongs to"
    count = sum(batch.count for batch in outcome.batches)
    return f"works: the first page of {asked.stream} has {count:,} record{'s' * (count != 1)}"
