"""How an account's key is sent, as a description says."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from crawlerd.config.problems import Table
from crawlerd.sources.rest import texts
from crawlerd.sources.rest.values import HeaderText, Name, Text, declared, header_name


class NoAuth(Table):
    """No credentials."""

    type: Literal["none"]


class Bearer(Table):
    """`Authorization: Bearer KEY`."""

    type: Literal["bearer"]


class Basic(Table):
    """HTTP Basic: the account's key is `user:password`, or only the password if `user` is given."""

    type: Literal["basic"]
    user: Text | None = Field(default=None, description="The user. Without it, the key must be user:password.")


class KeyHeader(Table):
    """A header with a name of the API's own."""

    type: Literal["header"]
    name: Annotated[str, AfterValidator(header_name)] = Field(examples=["X-Api-Key"], description="Name of the header.")
    prefix: HeaderText = Field(default="", description='Text before the key, such as "Token ".')


class KeyParameter(Table):
    """A query parameter. It is never stored, logged or shown."""

    type: Literal["query"]
    name: Name = Field(min_length=1, examples=["api_key"], description="Name of the parameter.")


class OAuth2(Table):
    """OAuth 2.0 client credentials: the account's key is `id:secret`, and a token is requested when one is needed."""

    type: Literal["oauth2"]
    token_url: str = Field(examples=["/oauth/token"], description="A full URL, or a path below the base URL.")
    scope: Text = Field(default="", description="Scopes, separated by spaces.")
    parameters: dict[Name, Text] = Field(
        default_factory=dict, description='Further fields of the form, such as "audience".'
    )
    client: Literal["basic", "body"] = Field(
        default="basic", description="How id and secret are sent: by HTTP Basic, or in the body."
    )

    @field_validator("token_url")
    @classmethod
    def _address(cls, value: str, info: ValidationInfo[Any]) -> str:
        if re.fullmatch(r"/[!-~]*", value):
            return texts.checked(value, declared(info), url=True)
        return texts.checked_url(value, declared(info))


Auth = Annotated[NoAuth | Bearer | Basic | KeyHeader | KeyParameter | OAuth2, Field(discriminator="type")]
