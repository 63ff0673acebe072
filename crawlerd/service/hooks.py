"""Sends a message to a webhook or a program, with a time limit. Errors never show secrets."""

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

LONGEST = 300  # characters of a failure's text that are kept
SHORTEST = 8  # a part of an address with a digit is a secret if it has this many characters
LONG = 16  # any part of an address is a secret if it has this many characters
MOST_BYTES = 64 * 1024  # bytes of an answer that are read
HOOKS = "webhook", "command"


class Failed(NamedTuple):
    """Why a message did not arrive.

    seconds: when to try again, if the hook has said so.
    """

    problem: str
    seconds: float | None = None


class Hooks:
    """Sends messages to the configured hooks. Each hook is used by one thread at a time, and may be closed by any
    thread."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    def send(self, spec: NotifySpec, hook: str, message: Message) -> Failed | None:
        """Sends a message. Returns None if it has arrived. Raises no Exception."""
        try:
            if hook == "webhook" and spec.webhook:
                return self._post(spec.webhook, message)
            if hook == "command" and spec.command:
                return self._run(spec.command, message)
            return Failed("the hook is no longer configured")
        except Exception as error:  # noqa: BLE001 - a hook must cost nothing, whatever is wrong with it
            return Failed(f"{type(error).__name__}; this is a bug of crawlerd")

    def close(self) -> None:
        """Kills a running program. A request ends by itself, within its time limit."""
        self._closed = True
        if process := self._process:
            _kill(process)

    def _post(self, hook: WebhookSpec, message: Message) -> Failed | None:
        if hook.problem:
            return Failed(hook.problem)
        # takes some megabytes, so it is imported only when it is needed
        from crawlerd.clients.http import USUAL_HEADERS, HttpClient
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
        # in a file, since nobody needs to wait until the program reads it
        fd = os.memfd_create("message", os.MFD_CLOEXEC)
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
    """What must not be shown: the token, and the parts of the address that may be secrets (all but the origin and plain
    words)."""
    path = hook.url.partition("://")[2].partition("/")[2]
    parts = [part for part in (path, *re.split("[/?&=:]", path)) if len(part) >= LONG or _is_mixed(part)]
    return tuple(dict.fromkeys(each for each in (hook.token, *parts) if each))


def _is_mixed(part: str) -> bool:
    """Whether a part of an address is no plain word."""
    return len(part) >= SHORTEST and bool(re.search("[0-9]", part))


def described(spec: NotifySpec, hook: str) -> str:
    """Where a hook sends to, for people."""
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
            return Failed(f"{what} did not end within {hook.seconds:g} s; it was killed")
    finally:
        os.close(end)
    code = process.wait()
    if code == 0:
        return None
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
    return Failed(f"{what} {how}; to see why, use `crawlerd notify test`, or run the program by hand as this user")


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kills the program with everything that it has started: they share a session."""
    if process.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _origin(url: str) -> str:
    return "/".join(url.split("/", 3)[:3])


def _texts(body: Any) -> list[str]:
    return [f"{{{path}}}" for path in template.paths(body)] if body else []
