"""Sends a message to a webhook, or gives it to a program: within its time, and without a secret in what is said."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from crawlerd.core import template
from crawlerd.core.errors import CrawlerdError, Throttled
from crawlerd.core.notice_message import with_title
from crawlerd.core.redaction import cut, redacting, redaction

if TYPE_CHECKING:
    from typing import Any

    from requests.models import PreparedRequest

    from crawlerd.core.notice_message import Message
    from crawlerd.core.notify_spec import NotifySpec, ProgramSpec, WebhookSpec

LONGEST = 300  # characters of what is said of a failure
SHORTEST = 8  # characters of a part of an address with a digit in it that is no word
LONG = 16  # characters of a part of an address that is no word
MOST_BYTES = 64 * 1024  # of an answer
HOOKS = "webhook", "command"


class Failed(NamedTuple):
    """Why a message has not arrived. seconds: after which it is to be tried again, where the hook says so."""

    problem: str
    seconds: float | None = None


class Hooks:
    """Sends to what a configuration names. Each hook is used by one thread at a time, and closed from any."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    def send(self, spec: NotifySpec, hook: str, message: Message) -> Failed | None:
        """None when it has arrived. Never raises an Exception."""
        try:
            if hook == "webhook" and spec.webhook:
                return self._post(spec.webhook, message)
            if hook == "command" and spec.command:
                return self._run(spec.command, message)
            return Failed("it is not configured any more")
        except Exception as error:  # noqa: BLE001 - a hook must cost nothing, whatever is wrong with it
            return Failed(f"{type(error).__name__}; this is a bug of crawlerd")

    def close(self) -> None:
        """Ends a program that runs. A request ends by itself, within its time."""
        self._closed = True
        if process := self._process:
            _kill(process)

    def _post(self, hook: WebhookSpec, message: Message) -> Failed | None:
        if hook.problem:
            return Failed(hook.problem)
        from crawlerd.clients.http import USUAL_HEADERS, HttpClient  # some megabytes, for those who need it
        from crawlerd.clients.http_error import error_for

        url = hook.url.replace("{token}", hook.token)
        headers = {**USUAL_HEADERS, "Content-Type": "application/json"}
        if hook.token and not any("{token}" in each for each in (hook.url, *hook.headers.values(), *_texts(hook.body))):
            headers["Authorization"] = f"Bearer {hook.token}"
        headers |= {name: value.replace("{token}", hook.token) for name, value in hook.headers.items()}
        fields = {**message.document, "token": hook.token}
        body = msgspec.json.encode(message.document if hook.body is None else template.fill(hook.body, fields, {}))

        def prepare(request: PreparedRequest) -> None:
            request.prepare(method="POST", url=url, headers=headers, data=body)

        known = redaction(secrets(hook))
        client = HttpClient(connections=1)
        with redacting(lambda: known):
            try:
                sent = client.send(prepare, seconds=hook.seconds, max_body_bytes=MOST_BYTES, origin=_origin(url))
            finally:
                client.close()
            answer = sent.answer
            error = answer if isinstance(answer, CrawlerdError) else error_for(answer, time.time())
            if error is None:
                return None
            wait = error.retry_after if isinstance(error, Throttled) else None
            return Failed(cut(error, LONGEST), wait)

    def _run(self, hook: ProgramSpec, message: Message) -> Failed | None:
        words = with_title(hook.words, message.title)
        what = f"{hook.words[0]}"
        text = message.text.encode() + b"\n" if hook.gets == "text" else msgspec.json.encode(message.document)
        fd = os.memfd_create("message", os.MFD_CLOEXEC)  # it may be read or not: nobody waits for that
        try:
            os.write(fd, text)
            os.lseek(fd, 0, os.SEEK_SET)
            process = subprocess.Popen(  # noqa: S603 - as the configuration says
                words,
                cwd=hook.folder,
                stdin=fd,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            return Failed(f"{what} cannot be started: {getattr(error, 'strerror', None) or 'no such name'}")
        finally:
            os.close(fd)
        self._process = process
        try:
            if self._closed:
                _kill(process)
            return _ended(process, hook, what)
        finally:
            self._process = None


def secrets(hook: WebhookSpec) -> tuple[str, ...]:
    """What must not be shown: the token, and of the address what is not the origin and no mere word."""
    path = hook.url.partition("://")[2].partition("/")[2]
    parts = [part for part in (path, *re.split("[/?&=:]", path)) if len(part) >= LONG or _is_mixed(part)]
    return tuple(dict.fromkeys(each for each in (hook.token, *parts) if each))


def _is_mixed(part: str) -> bool:
    """It is no word."""
    return len(part) >= SHORTEST and bool(re.search("[0-9]", part))


def described(spec: NotifySpec, hook: str) -> str:
    """Where a hook leads, for people."""
    if hook == "webhook" and spec.webhook:
        return _origin(spec.webhook.url) if spec.webhook.url else "webhook"
    return spec.command.words[0] if spec.command else hook


def _ended(process: subprocess.Popen[bytes], hook: ProgramSpec, what: str) -> Failed | None:
    end = os.pidfd_open(process.pid)
    try:
        ready = select.poll()
        ready.register(end, select.POLLIN)
        if not ready.poll(hook.seconds * 1000):
            _kill(process)
            process.wait()
            return Failed(f"{what} has not ended within {hook.seconds:g} s; it was killed")
    finally:
        os.close(end)
    code = process.wait()
    if code == 0:
        return None
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"has ended with {code}"
    return Failed(f"{what} {how}; `crawlerd notify test`, or run it by hand, as this user, to see why")


def _kill(process: subprocess.Popen[bytes]) -> None:
    """With all that it has started: they are a session of their own."""
    if process.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _origin(url: str) -> str:
    return "/".join(url.split("/", 3)[:3])


def _texts(body: Any) -> list[str]:
    return [f"{{{path}}}" for path in template.paths(body)] if body else []
