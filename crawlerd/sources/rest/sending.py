"""What an account's requests are sent with: base URL, headers and credentials, with its variables filled in."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

from crawlerd.source import ClientCredentials, KeyInQuery, Sending
from crawlerd.sources.rest.authentication import Basic, Bearer, KeyHeader, KeyParameter, OAuth2
from crawlerd.sources.rest.texts import checked, filled, filled_header, filled_path, filled_url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from crawlerd.core.auth import Auth
    from crawlerd.sources.rest.description import Description


def kind_of_auth(description: Description) -> Auth | None:
    """How the key is sent, whatever an account's variables are."""
    return auth(description, dict.fromkeys(description.variables, "1"))


def sending(description: Description) -> Callable[[str, Mapping[str, Any]], Sending]:
    """See `Source`. Most descriptions have no fields there, so that all accounts are alike."""
    alike = None if _has_fields(description) else (description.headers, kind_of_auth(description))

    def of_account(base_url: str, options: Mapping[str, Any]) -> Sending:
        variables = options.get("variables", {})
        url = filled_url(checked(base_url, description.variables, url=True), variables) if "{" in base_url else base_url
        if alike is not None:
            return Sending(url, *alike)
        headers = {name: filled_header(value, variables) for name, value in description.headers.items()}
        return Sending(url, headers, auth(description, variables))

    return of_account


def auth(description: Description, variables: Mapping[str, str]) -> Auth | None:
    """How the account's key is sent. Raises ValueError if a variable's value is not possible there."""
    match description.auth:
        case Bearer():
            return lambda key: {"Authorization": f"Bearer {key}"}
        case Basic(user=None):
            return lambda key: {"Authorization": _basic(key)}
        case Basic(user=str(user)):
            own = filled(user, variables)
            return lambda key: {"Authorization": _basic(f"{own}:{key}")}
        case KeyHeader(name=name, prefix=prefix):
            before = filled_header(f"{prefix}-", variables)[:-1]  # the space at its end does not belong to the header
            return lambda key: {name: before + key}
        case KeyParameter(name=name):
            return KeyInQuery(name)
        case OAuth2() as oauth2:
            fill = filled_path if oauth2.token_url.startswith("/") else filled_url
            return ClientCredentials(
                fill(oauth2.token_url, variables),
                filled(oauth2.scope, variables),
                {name: filled(value, variables) for name, value in oauth2.parameters.items()},
                oauth2.client == "body",
            )
    return None


def _has_fields(description: Description) -> bool:
    texts = [*description.headers.values()]
    match description.auth:
        case Basic(user=str(user)):
            texts.append(user)
        case KeyHeader(prefix=prefix):
            texts.append(prefix)
        case OAuth2() as oauth2:
            texts += [oauth2.token_url, oauth2.scope, *oauth2.parameters.values()]
    return any("{" in text for text in texts)


def _basic(credentials: str) -> str:
    return f"Basic {b64encode(credentials.encode()).decode()}"
