"""`[notify]`: who is told about what."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, ValidationInfo, field_validator, model_validator

from crawlerd.config.problems import Table, instead
from crawlerd.config.references import PLACES, Printed, Reference, secret
from crawlerd.core import notation, template
from crawlerd.core.notice_message import FIELDS
from crawlerd.core.notify_spec import EVENTS, USUAL, Event, NotifySpec, ProgramSpec, WebhookSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from crawlerd.config.secrets import Place

MIB = 1 << 20
TOKEN = "{token}"  # noqa: S105 - the place of one
LOOKS_SECRET = 16  # a part of an address is a secret if it has this many characters, digits among them
# hosts for which the whole address is the secret
SECRET_HOSTS = ("hooks.slack.com", "discord.com", "webhook.office.com")
SECRET_HEADER = re.compile("auth|token|key|secret|cookie|password", re.IGNORECASE)
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

Duration = Annotated[float, BeforeValidator(notation.duration, json_schema_input_type=str)]


class Unresolved(SecretStr):
    """A secret that is not available.

    problem: why.
    """

    def __init__(self, problem: str) -> None:
        super().__init__("")
        self.problem = problem


class _Nowhere:
    """An environment in which every secret is available, used to check a reference alone."""

    def secret(self, place: Place, name: str) -> str:
        return ""

    def command(self, command: tuple[str, ...]) -> str:
        return ""


def _resolved(value: object, info: ValidationInfo[Any], key: str) -> SecretStr:
    """A secret of a hook. If it is missing, imports must still run: that is a warning, not an error."""
    found = secret(value, _Nowhere(), key=key)  # type: ignore[arg-type] # it asks for nothing else
    if isinstance(found, Printed) and found.ttl is not None:
        raise ValueError("ttl is only for api_key: this command is run at a start and at a reload")
    try:
        return secret(value, info.context.environment, key=key)
    except ValueError as error:
        return Unresolved(str(error))


class WebhookTable(Table):
    """`[notify.webhook]`."""

    url: SecretStr = Field(examples=[{"env": "SLACK_WEBHOOK_URL"}])
    token: SecretStr | None = None
    headers: dict[str, str] = Field(default={})
    body: dict[str, Any] | None = None
    timeout: Duration = Field(default="10s", validate_default=True, ge=1, le=300)

    @field_validator("url", mode="plain", json_schema_input_type=str | Reference)
    @classmethod
    def _address(cls, value: object, info: ValidationInfo[Any]) -> SecretStr:
        if not isinstance(value, str):
            return _resolved(value, info, "url")
        if problem := address_problem(value):
            raise ValueError(problem)
        if _has_secret(value):
            where = 'write url = { env = "SLACK_WEBHOOK_URL" }, or put {token} in its place and set token by reference'
            raise ValueError(f"seems to contain a secret, which must not be in this file; {where}")
        return SecretStr(value)

    @field_validator("token", mode="plain", json_schema_input_type=Reference)
    @classmethod
    def _token(cls, value: object, info: ValidationInfo[Any]) -> SecretStr:
        return _resolved(value, info, "token")

    @field_validator("headers")
    @classmethod
    def _lines(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if not HEADER_NAME.fullmatch(name):
                raise ValueError(f'"{name[:80]}" is not a valid header name')
            if not (value.isascii() and value.isprintable()):
                raise ValueError(f"{name}: has characters that are not allowed in a header")
            if SECRET_HEADER.search(name) and TOKEN not in value:
                raise ValueError(f'{name}: must not hold the secret itself; write for example "Bearer {TOKEN}"')
        return headers

    @field_validator("body")
    @classmethod
    def _template(cls, body: dict[str, Any] | None) -> dict[str, Any] | None:
        template.check(body if body is not None else {})
        for path in template.paths(body):
            if (name := path.partition(".")[0]) not in FIELDS:
                hint = "" if "." in name or " " in name else f"; {instead(name, FIELDS)}"
                raise ValueError(f'"{path}" is not a field{hint}; for literal text, write "\'{path}\'"')
        return body

    @model_validator(mode="after")
    def _uses_token(self) -> WebhookTable:
        uses = TOKEN in "".join([self.url.get_secret_value(), *self.headers.values()])
        if self.token is None and (uses or "token" in template.paths(self.body)):
            raise ValueError(f"contains {TOKEN}, but there is no token; write token = {PLACES}")
        return self


class CommandTable(Table):
    """`[notify.command]`."""

    run: tuple[str, ...] = Field(examples=[["/usr/bin/mail", "-s", "{title}", "ops@example.com"]])
    gets: Literal["text", "json"] = "text"
    timeout: Duration = Field(default="30s", validate_default=True, ge=1, le=600)

    @field_validator("run", mode="before")
    @classmethod
    def _words(cls, value: object) -> tuple[Any, ...]:
        words = value if isinstance(value, list) else []
        if not words or not all(isinstance(word, str) and "\0" not in word for word in words) or not words[0]:
            raise ValueError('must be a program and its arguments, such as ["/usr/bin/mail", "ops@example.com"]')
        return tuple(words)


class NotifyTable(Table):
    """`[notify]`."""

    on: tuple[Event, ...] = Field(default=list(USUAL), validate_default=True)
    failed_runs: int = Field(default=3, ge=1, le=100)
    stale_after: Duration | None = None
    disk_free_mb: int = Field(default=1024, ge=0, le=1 << 30)
    wait: Duration = Field(default="10s", validate_default=True, le=3600)
    every: Duration = Field(default="1m", validate_default=True, le=86_400)
    webhook: WebhookTable | None = None
    command: CommandTable | None = None

    @field_validator("on", mode="before")
    @classmethod
    def _events(cls, value: object) -> tuple[Any, ...]:
        if not isinstance(value, list) or not value:
            raise ValueError(f"must be a list of events, such as {list(EVENTS[:2])}".replace("'", '"'))
        for each in value:
            if each not in EVENTS:
                raise ValueError(f"{each!r} is not an event; {instead(str(each), EVENTS)}".replace("'", '"'))
        return tuple(dict.fromkeys(value))

    @model_validator(mode="after")
    def _has_hook(self) -> NotifyTable:
        if self.webhook is None and self.command is None:
            raise ValueError("has no hook: it needs [notify.webhook] or [notify.command]")
        return self


HOOKS: Mapping[str, type[Table]] = {"webhook": WebhookTable, "command": CommandTable}


def address_problem(text: str) -> str | None:
    """What is wrong with an address; None if nothing is. The address is not quoted."""
    try:
        url = urlsplit(text)
        host, _ = url.hostname or "", url.port
    except ValueError:
        host = ""
    if not host or url.scheme not in ("http", "https") or re.search("[^!-~]|#", text):
        return 'must be an address such as "https://hooks.example.com/crawlerd"'
    if "@" in url.netloc:
        return "must not carry a user or password; use token and headers"
    return None


def _has_secret(text: str) -> bool:
    """Whether the address seems to contain a secret: a part that is long and mixes letters and digits."""
    url = urlsplit(text)
    return _host(text).endswith(SECRET_HOSTS) or any(
        len(part) >= LOOKS_SECRET and re.search("[0-9]", part) and re.search("[A-Za-z]", part)
        for part in re.split("[/?&=.,:]", f"{url.path}?{url.query}")
    )


def _problems(table: WebhookTable) -> Iterator[str]:
    for key, value in (("url", table.url), ("token", table.token)):
        if isinstance(value, Unresolved):
            yield f"{key}: {value.problem}"
    text = table.url.get_secret_value()
    token = table.token.get_secret_value() if table.token else ""
    if not text:  # reported above, or secrets were not looked up
        return
    if problem := address_problem(text.replace(TOKEN, "x")):
        yield f"url: the referenced value {problem}"
    elif text.startswith("http:") and (token or _has_secret(text)) and not notation.is_loopback(_host(text)):
        yield "url: must begin with https:// (http:// would send the secret unencrypted)"


def _host(text: str) -> str:
    return urlsplit(text).hostname or ""


def notify_spec(table: NotifyTable | None, folder: Path) -> NotifySpec | None:
    """The checked table as the daemon uses it.

    folder: where a program is started.
    """
    if table is None:
        return None
    return NotifySpec(
        on=table.on,
        failed_runs=table.failed_runs,
        stale_seconds=table.stale_after,
        disk_free_bytes=table.disk_free_mb * MIB,
        wait_seconds=table.wait,
        every_seconds=table.every,
        webhook=_webhook(table.webhook) if table.webhook else None,
        command=_program(table.command, folder) if table.command else None,
    )


def _webhook(table: WebhookTable) -> WebhookSpec:
    return WebhookSpec(
        url=table.url.get_secret_value(),
        token=table.token.get_secret_value() if table.token else "",
        headers=table.headers,
        body=table.body,
        seconds=table.timeout,
        problem="; ".join(_problems(table)),
    )


def _program(table: CommandTable, folder: Path) -> ProgramSpec:
    return ProgramSpec(words=table.run, gets=table.gets, folder=folder, seconds=table.timeout)


def notify_warnings(spec: NotifySpec | None) -> tuple[str, ...]:
    """Warnings: problems that do not prevent imports."""
    if spec is None or spec.webhook is None or not spec.webhook.problem:
        return ()
    return (f"notify.webhook.{spec.webhook.problem}; no messages are sent there",)
