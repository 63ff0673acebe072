"""How an account's credential is sent, where it is not simply a header, and what goes with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class KeyInQuery:
    """The credential goes into the query of every request, under this name."""

    name: str


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """OAuth 2.0 with client credentials (RFC 6749, section 4.4). The account's credential is `id:secret`.

    token_url: a full URL, or a path below the account's base URL.
    parameters: further fields of the form.
    in_body: id and secret stand in the form too, instead of in a Basic header.
    """

    token_url: str
    scope: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    in_body: bool = False


Auth = Callable[[str], Mapping[str, str]] | KeyInQuery | ClientCredentials


@dataclass(frozen=True, slots=True)
class Sending:
    """What an account's requests are sent with.

    auth: (credential) -> headers, or another way; None for none.
    """

    base_url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    auth: Auth | None = None
