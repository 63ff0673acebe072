"""`crawlerd accounts test` and `config check --online`: asks accounts, and shows what they answered."""

from __future__ import annotations

import logging
import secrets
import signal
import tempfile
from collections import Counter
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

import msgspec

from crawlerd.cli.context import running_pid
from crawlerd.cli.exits import ExitCode
from crawlerd.cli.terminal import say
from crawlerd.core.errors import FrontierError
from crawlerd.core.redaction import shown
from crawlerd.operations.account_trial import TRIAL_SECONDS, AccountTrial, TrialRequest, sealed, try_account
from crawlerd.operations.problem import Unknown
from crawlerd.service.control import Asked, must_ask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from crawlerd.config.load import Settings

T = TypeVar("T")

AT_ONCE = 8  # accounts; a daemon has other askers too
MARGIN_SECONDS = 10.0  # that the daemon's answer may take longer than what it says
UNKNOWN_NOW = ("unanswered", "throttled", "waits")


def tested(
    settings: Settings,
    names: Sequence[str],
    *,
    as_configured: bool,
    with_keys: Callable[[], Settings] | None,
) -> Iterator[AccountTrial]:
    """Tests accounts, a few at once: through the daemon if one runs, within its limits, else within those of the state
    directory.

    as_configured: with the credentials of `settings`, and not those that the daemon has.
    with_keys: reads the settings again, with keys, for accounts that the daemon does not know, where `settings` have
        none.
    """
    folder = settings.daemon.state_dir
    if running_pid(folder) is None:
        with _state_directory(folder) as used:
            yield from _by_ourselves(settings, names, used)
        return
    unknown: list[str] = []
    for name, found in zip(names, _at_once(lambda name: _by_daemon(settings, name, as_configured), names), strict=True):
        if found is None:
            unknown.append(name)
        else:
            yield found
    if unknown:  # nothing of them is under way there
        with tempfile.TemporaryDirectory(prefix="crawlerd-") as used:
            yield from _by_ourselves(with_keys() if with_keys else settings, unknown, Path(used))


def report(tests: Iterable[AccountTrial], *, many: bool, silent: bool = False) -> ExitCode:
    """Prints a line for each account, of many that work only how many. The exit code that follows."""
    states: Counter[str] = Counter()
    for each in tests:
        states[each.state] += 1
        if not silent and (not many or each.state != "works"):
            text = each.text if each.state in ("works", "untested") else f"{each.state}: {each.text}"
            say(shown(f"{each.name}: {text}"))
    if many:
        say(f"{states['works']:,} of {states.total():,} accounts work")
    bad = states.total() - states["works"] - states["untested"]
    if not bad:
        return ExitCode.DONE
    return ExitCode.UNAVAILABLE if bad == sum(states[each] for each in UNKNOWN_NOW) else ExitCode.FAILED


def _by_daemon(settings: Settings, name: str, as_configured: bool) -> AccountTrial | None:
    """None when the daemon has no such account."""
    spec = settings.accounts[name]
    salt = secrets.token_hex(16)
    request = TrialRequest(seal=sealed(spec, salt), salt=salt) if as_configured else TrialRequest()
    asked = Asked(settings.daemon.state_dir, settings.daemon.socket)
    place = f"accounts/{quote(name, safe='')}/test"
    try:
        return must_ask(asked, "POST", place, AccountTrial, request, seconds=TRIAL_SECONDS + MARGIN_SECONDS)
    except Unknown:
        return None
    except FrontierError as error:
        return AccountTrial(name=name, source=spec.source, state="waits", text=str(error))


def _by_ourselves(settings: Settings, names: Sequence[str], folder: Path) -> Iterator[AccountTrial]:
    from crawlerd.engine.engine import Engine

    daemon = msgspec.structs.replace(settings.daemon, state_dir=folder)
    logging.disable(logging.CRITICAL)  # what is wrong is in the answers
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with Engine(replace(settings, daemon=daemon)) as engine:
            yield from _at_once(lambda name: try_account(engine, name, TrialRequest()), names)
    finally:
        signal.signal(signal.SIGINT, before)
        logging.disable(logging.NOTSET)


def _at_once(function: Callable[[str], T], names: Sequence[str]) -> Iterator[T]:
    """In the order of the names. Ctrl-C waits for none of them: an executor would join its threads."""
    waiting: SimpleQueue[tuple[str, Future[T]]] = SimpleQueue()
    answers: list[Future[T]] = [Future() for _ in names]
    for each in zip(names, answers, strict=True):
        waiting.put(each)

    def work() -> None:
        with suppress(Empty):
            while True:
                name, answer = waiting.get_nowait()
                try:
                    answer.set_result(function(name))
                except Exception as error:  # noqa: BLE001 - whoever waits for it gets it
                    answer.set_exception(error)

    for _ in range(min(AT_ONCE, len(names))):
        Thread(target=work, daemon=True).start()
    for answer in answers:
        yield answer.result()


@contextmanager
def _state_directory(folder: Path) -> Iterator[Path]:
    """The one that has been used, which knows what the limits permit; else one that is gone afterwards."""
    from crawlerd.frontier import open_reader

    reader = open_reader(folder)
    if reader is not None:
        reader.close()
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="crawlerd-") as used:
        yield Path(used)
