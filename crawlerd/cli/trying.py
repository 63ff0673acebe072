"""`crawlerd accounts test` and `config check --online`: send a request to each account's API, and show the answers."""

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

AT_ONCE = 8  # accounts at once; a daemon has other clients too
MARGIN_SECONDS = 10.0  # how much longer than the stated time the daemon's answer may take
UNKNOWN_NOW = ("unanswered", "throttled", "waits")


def tested(
    settings: Settings,
    names: Sequence[str],
    *,
    as_configured: bool,
    with_keys: Callable[[], Settings] | None,
) -> Iterator[AccountTrial]:
    """Tests accounts, a few at once. A running daemon sends the requests, within its limits; otherwise they are sent
    from here, within the limits that the state directory has recorded.

    as_configured: use the credentials of `settings`, not those that the daemon has loaded.
    with_keys: reads the settings again, with keys; for accounts that the daemon does not know, if `settings` has no
        keys.
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
    if unknown:  # the daemon has no such accounts, so it has no requests under way for them
        with tempfile.TemporaryDirectory(prefix="crawlerd-") as used:
            yield from _by_ourselves(with_keys() if with_keys else settings, unknown, Path(used))


def report(tests: Iterable[AccountTrial], *, many: bool, silent: bool = False) -> ExitCode:
    """Prints a line for each account; of many that work, only their number. Returns the exit code."""
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
    """The daemon's result; None if it has no such account."""
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
    logging.disable(logging.CRITICAL)  # the answers say what is wrong
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with Engine(replace(settings, daemon=daemon)) as engine:
            yield from _at_once(lambda name: try_account(engine, name, TrialRequest()), names)
    finally:
        signal.signal(signal.SIGINT, before)
        logging.disable(logging.NOTSET)


def _at_once(function: Callable[[str], T], names: Sequence[str]) -> Iterator[T]:
    """Calls the function in threads, and yields the results in the order of the names. Ctrl-C does not wait for the
    threads, as it would with an executor."""
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
    """The state directory, if it has been used: it knows what the limits permit. Otherwise a temporary one."""
    from crawlerd.frontier import open_reader

    reader = open_reader(folder)
    if reader is not None:
        reader.close()
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="crawlerd-") as used:
        yield Path(used)
