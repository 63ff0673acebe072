"""How the configuration refers to a secret: by the place that has it, never by the secret itself."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pydantic import SecretStr

from crawlerd.config.problems import Table
from crawlerd.core import notation

if TYPE_CHECKING:
    from crawlerd.config.facts import Environment

PLACES = " or ".join(
    ('{ env = "ACME_STRIPE_KEY" }', '{ file = "/a/path" }', '{ credential = "name" }', '{ command = ["/a/program"] }')
)
REFERENCE = f"api_key = {PLACES}"
SHORTEST_TTL = 1.0  # seconds


class InVariable(Table):
    """In an environment variable."""

    env: str


class InFile(Table):
    """In a file that has nothing else."""

    file: str


class InCredential(Table):
    """In a credential of systemd."""

    credential: str


class OfCommand(Table):
    """What a program prints.

    ttl: how long it is valid.
    """

    command: list[str]
    ttl: str | None = None


Reference = InVariable | InFile | InCredential | OfCommand  # only for the JSON Schema: `secret` does the checks


class Printed(SecretStr):
    """A secret that a command prints.

    command: the program and its arguments.
    ttl: seconds after which the command is run again; None for never.
    """

    def __init__(self, value: str, command: tuple[str, ...], ttl: float | None) -> None:
        super().__init__(value)
        self.command, self.ttl = command, ttl


def secret(value: object, environment: Environment, *, key: str = "api_key") -> SecretStr:
    """The secret that a reference refers to. Raises ValueError if it is not a reference, or leads to nothing; the
    message does not quote a secret.

    key: the name of the setting.
    """
    if isinstance(value, str):
        raise ValueError(f"must not be the key itself, which should not be in this file; write {key} = {PLACES}")
    match value:
        case {"env": str(name), **rest} if not rest:
            # Only upper case: a key that was put here by mistake must not be quoted as the name of a variable.
            if not re.fullmatch("[A-Z_][A-Z0-9_]*", name):
                raise ValueError('env must name an environment variable in upper case, such as "ACME_STRIPE_KEY"')
            return SecretStr(environment.secret("env", name))
        case {"file": str(name), **rest} if not rest:
            return SecretStr(environment.secret("file", notation.path_text(name)))
        case {"credential": str(name), **rest} if not rest:
            if not re.fullmatch("[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
                raise ValueError("credential must be a name as in LoadCredential=NAME:PATH of the systemd unit")
            return SecretStr(environment.secret("credential", name))
        case {"command": list(words), **rest} if rest.keys() <= {"ttl"}:
            return _printed(words, rest.get("ttl"), environment)
    raise ValueError(f"must name exactly one place to take the key from; write {key} = {PLACES}")


def database_url(value: object, environment: Environment, *, key: str) -> SecretStr:
    """The URL of a PostgreSQL database that a reference refers to. Raises ValueError as `secret` does, and for another
    text."""
    found = secret(value, environment, key=key)
    text = found.get_secret_value()
    if text and not re.match("postgres(ql)?://", text):
        raise ValueError('must refer to a URL such as "postgresql://crawlerd:PASSWORD@db.example.com/warehouse"')
    return found


def _printed(words: list[object], ttl: object, environment: Environment) -> Printed:
    command = tuple(word for word in words if isinstance(word, str) and "\0" not in word)
    if not command or not command[0] or len(command) < len(words):
        raise ValueError('command must be a program and its arguments, such as ["/usr/bin/pass", "show", "acme"]')
    try:
        seconds = None if ttl is None else notation.duration(ttl)
    except ValueError as error:
        raise ValueError(f"ttl {error}") from None
    if seconds is not None and seconds < SHORTEST_TTL:
        raise ValueError('ttl must be 1 second or more, such as "1h"')
    return Printed(environment.command(command), command, seconds)
