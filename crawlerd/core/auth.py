"""How an account's credential is sent when it is not simply a header, and further headers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class KeyInQuery:
    """The credential is a parameter of the query of every request, with this name."""

    name: str


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """OAuth 2.0 with client credentials (RFC 6749, section 4.4). The account's credential is `id:secret`.

    token_url: a full URL, or a path below the account's base URL.
    parameters: further fields of the form.
    in_body: id and secret are sent in the form, instead of a Basic header.
    """

    token_url: str
    scope: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    in_body: bool = False


Auth = Callable[[str], Mapping[str, str]] | KeyInQuery | ClientCredentials


@dataclass(frozen=True, slots=True)
class Sending:
    """How an account's requests are sent.

    auth: a function (credential) -> headers, or another way of sending the credential; None for none.
    """

    base_url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    auth: Auth | None = None
