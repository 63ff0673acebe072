"""The description of a REST source: every key, its default, and its checks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from crawlerd.config.problems import Table, instead, one_line, problem
from crawlerd.core import notation
from crawlerd.core.errors import ConfigurationError
from crawlerd.sources.rest.authentication import Auth, NoAuth
from crawlerd.sources.rest.expressions import fields
from crawlerd.sources.rest.paginators import NoPages, Path
from crawlerd.sources.rest.values import (
    ITEM_FIELD,
    ONE_OR_MORE,
    AnyPaginator,
    Concurrency,
    Headers,
    Limits,
    Name,
    Parameters,
    StreamName,
    base_url_of,
    overlap_of,
    several,
    template,
)

if TYPE_CHECKING:
    from typing import Self

Document = Mapping[str, Any]


def read(document: Document, file: str) -> Description:
    """The description in a parsed TOML document. Raises ConfigurationError with all problems at once, each as `file:
    key: what is wrong and what to write`."""
    try:
        return Description.model_validate(document, context=document)
    except ValidationError as error:
        problems = [problem(each, Description) for each in error.errors(include_url=False)]
    raise ConfigurationError([one_line(f"{file}: {each}") for each in problems])


class ErrorRule(Table):
    """The meaning of a response, if the usual mapping of status codes does not fit. The first matching rule counts."""

    status: Annotated[
        list[Annotated[int, Field(ge=100, le=599)]],
        BeforeValidator(several),
        WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]}),
    ] = Field(examples=[404], description="The status code, or several.")
    header: str | None = Field(default=None, min_length=1, description="Only if the response has this header …")
    equals: str | None = Field(default=None, description="… with this value.")
    body: Path | None = Field(default=None, description="Only if this JMESPath finds a true value in the body.")
    action: Literal["skip", "empty", "retry", "throttle", "dead", "pause"] = Field(
        examples=["skip"],
        description="skip: leave the page out, and say so in the report. empty: a page without records. retry: "
        "try again with backoff. throttle: slow down, which costs no attempt. dead: make it a dead "
        "letter. pause: the credentials are refused, so the account is paused.",
    )
    wait_header: str | None = Field(
        default=None,
        min_length=1,
        description="throttle: the header that says how long to wait (seconds, or a duration such as 1m30s) or "
        "until when (Unix time in seconds or milliseconds, or ISO 8601). By default Retry-After.",
    )
    wait_body: Path | None = Field(
        default=None,
        examples=["error.retry_after"],
        description="throttle: JMESPath of the same in the body.",
    )
    wait: Annotated[float, BeforeValidator(notation.duration), WithJsonSchema({"type": "string"})] | None = Field(
        default=None,
        examples=["60s"],
        description='throttle: the shortest wait, such as "60s". It doubles with each further refusal, up to an hour.',
    )
    scope: Literal["bucket", "account"] = Field(default="bucket", description="throttle: what has exceeded its limit.")

    @model_validator(mode="after")
    def _meaningful(self) -> Self:
        if self.equals is not None and self.header is None:
            raise ValueError("equals needs header: the name of the header with this value")
        waits = self.wait_header or self.wait_body or self.wait
        if self.action != "throttle" and (waits or self.scope != "bucket"):
            raise ValueError('wait_header, wait_body, wait and scope are only for action = "throttle"')
        if all(200 <= each < 300 for each in self.status) and not self.body and not self.header:
            raise ValueError("would make every good response an error; add body or header")
        return self


class Incremental(Table):
    """Later runs read only what has changed."""

    field: Path = Field(examples=["updated_at"], description="JMESPath of the time of change in a record.")
    parameter: Name | None = Field(
        default=None,
        min_length=1,
        description="Query parameter for the time since which changes are wanted. Without it, the list must begin "
        "with the latest change: reading stops at the first page without newer records.",
    )
    order: Literal["ascending", "descending"] | None = Field(
        default=None,
        validate_default=True,
        description="How the API sorts the list by the field. ascending (needs parameter): the list is read from "
        "the last time that was read, so no change during the run is lost. descending (the default "
        "without parameter): records that come to its front during the run are read at the end.",
    )
    format: Literal["iso", "date", "unix", "unix_ms", "number"] = Field(
        default="iso",
        description="The format of the parameter. number: the field is not a time but a growing number.",
    )
    overlap: Annotated[float, BeforeValidator(overlap_of), WithJsonSchema({"type": ["string", "integer"]})] = Field(
        default=None,
        validate_default=True,
        description='How much is read again, since clocks and pages are not exact: a duration such as "5m", or an '
        "integer for numbers.",
    )
    start: Name | None = Field(
        default=None, description="The value of the parameter in a full run. By default, the parameter is left out."
    )

    @field_validator("order")
    @classmethod
    def _readable(cls, order: str | None, info: ValidationInfo[Any]) -> str | None:
        if "parameter" not in info.data or info.data["parameter"] is not None:
            return order
        if order == "ascending":
            raise ValueError('"ascending" needs parameter; without it, a list must have the latest change first')
        return "descending"


def _path(value: str, info: ValidationInfo[Any]) -> str:
    template(value, info)
    if not re.fullmatch(r"/[!-~]*", value) or re.search("[?#]", value):
        raise ValueError('must begin with "/", without spaces; put the query into parameters')
    return value


class AccountQuestion(Table):
    """`[test]`: the request of `crawlerd accounts test`. Without it, the first page of the first endpoint is
    requested."""

    path: str = Field(
        examples=["/v1/me"], description="A path below the base URL. {variables.org} is a variable of the account."
    )
    identity: Path | None = Field(
        default=None, examples=["login"], description="JMESPath of the account's owner in the body."
    )

    @field_validator("path")
    @classmethod
    def _below_base(cls, value: str, info: ValidationInfo[Any]) -> str:
        if any(name.startswith("parent.") for name in fields(value)):
            raise ValueError("concerns the account itself, which has no parent")
        return _path(value, info)


class Endpoint(Table):
    """`[endpoints.NAME]`: a list of records, and the stream of that name."""

    parent: str | None = Field(
        default=None, description="The parent endpoint: this one is requested for each of its records."
    )
    path: str = Field(
        examples=["/v1/customers"],
        description="A path below the base URL. {parent.id} is a field of the parent's record, {variables.org} a "
        "variable of the account.",
    )
    parameters: Parameters = Field(
        default_factory=dict, description="Query parameters, with the same fields as in path."
    )
    records: Path = Field(
        default="@", description='JMESPath of the list of records in the body; "@" for the body itself.'
    )
    primary_key: Annotated[list[Path], BeforeValidator(several), Field(min_length=1), WithJsonSchema(ONE_OR_MORE)] = (
        Field(
            default="id",
            validate_default=True,
            description="JMESPath of the record's key, or a list of several that together are the key.",
        )
    )
    from_parent: dict[str, Path] = Field(
        default_factory=dict, description="Fields that are added to the record: name = JMESPath in the parent's record."
    )
    paginator: AnyPaginator | None = Field(default=None, description="In place of the description's paginator.")
    incremental: Incremental | None = None
    tombstones: bool = Field(
        default=False,
        description="The list is complete: records that a full run does not find any more are marked as deleted.",
    )
    item: str | None = Field(
        default=None,
        examples=["/v1/customers/{key}"],
        description="With tombstones: the path of one record. A record that a list does not have any more is "
        "requested by itself, and counts as deleted if the response is 404 or 410. {key} is its "
        "primary key, {key.NAME} one field of a key with several.",
    )
    max_pages: int = Field(
        default=1_000_000,
        ge=1,
        le=10**9,
        description="Most pages of one list in a run; the next one becomes a dead letter that says so. This stops "
        "APIs that always name a next page.",
    )
    limits: Limits | None = Field(default=None, description="Limits of this endpoint, in place of bucket_limits.")
    cost: int = Field(
        default=1, ge=1, le=10_000, description="As how many requests one request counts, for every limit."
    )
    concurrency: Concurrency | None = Field(
        default=None, description="Most requests of this endpoint at the same time."
    )
    errors: list[ErrorRule] = Field(default_factory=list, description="Rules that are tried before the description's.")

    @field_validator("parent")
    @classmethod
    def _exists(cls, name: str | None, info: ValidationInfo[Any]) -> str | None:
        endpoints = info.context.get("endpoints")
        if name is None or not isinstance(endpoints, dict):
            return name
        if name not in endpoints:
            raise ValueError(f"there is no [endpoints.{name}]; {instead(name, endpoints)}")
        above: list[str] = []
        at: Any = name
        while isinstance(at, str) and at in endpoints:
            if at in above:
                raise ValueError(f"is a circle: {' → '.join([*above, at])}")
            above.append(at)
            at = endpoints[at].get("parent") if isinstance(endpoints[at], dict) else None
        return name

    @field_validator("path")
    @classmethod
    def _below_base(cls, value: str, info: ValidationInfo[Any]) -> str:
        return _path(value, info)

    @field_validator("item")
    @classmethod
    def _names_the_key(cls, value: str | None, info: ValidationInfo[Any]) -> str | None:
        if value is None:
            return None
        names = ITEM_FIELD.findall(value)
        if not re.fullmatch(r"/[!-~]*", value) or re.search("[?#{}]", ITEM_FIELD.sub("", value)):
            raise ValueError(
                'must begin with "/", without query; its braces may contain {key}, {key.NAME} or {variables.NAME}'
            )
        keys = info.data.get("primary_key", ())
        for name in names:
            first, _, rest = name.partition(".")
            if first == "variables":
                template(f"{{{name}}}", info)
            elif rest and rest not in keys:
                raise ValueError(f'"{{{name}}}" is not a field of the primary key; {instead(rest, keys)}')
        if not any(name.partition(".")[0] == "key" for name in names):
            raise ValueError("is the same for each record; use {key}")
        if info.data.get("tombstones") is False:
            raise ValueError("is only for lists with tombstones = true")
        return value

    @field_validator("from_parent")
    @classmethod
    def _has_parent(cls, value: dict[str, str], info: ValidationInfo[Any]) -> dict[str, str]:
        if value and "parent" in info.data and info.data["parent"] is None:
            raise ValueError('needs parent = "…": the endpoint whose records have the fields')
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.parent and not any(name.startswith("parent.") for name in self.asked_fields()):
            raise ValueError(
                "makes the same request for each record of its parent; use {parent.id} in path or parameters"
            )
        if self.parent and self.incremental and self.incremental.format == "number":
            raise ValueError('incremental.format = "number" is only for lists without a parent; a time is needed here')
        return self

    def asked_fields(self) -> list[str]:
        """The fields that its requests use."""
        values = [value for each in self.parameters.values() for value in (each if isinstance(each, list) else [each])]
        return [name for each in [self.path, *values] if isinstance(each, str) for name in fields(each)]


class Description(Table):
    """A REST API, for `source = "rest"`."""

    name: StreamName = Field(examples=["github"], description="Its tables in the sink are NAME_STREAM.")
    base_url: Annotated[str, AfterValidator(base_url_of)] | None = Field(
        default=None, description="Address of the API. Without it, each account must set its own."
    )
    variables: list[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]] = Field(
        default_factory=list,
        description='Names of the variables that each account sets, as in variables = { org = "acme" }.',
    )
    auth: Auth = Field(default_factory=lambda: NoAuth(type="none"), description="How the account's key is sent.")
    headers: Headers = Field(default_factory=dict, description="Headers of every request.")
    parameters: Parameters = Field(default_factory=dict, description="Query parameters of every request.")
    paginator: AnyPaginator = Field(
        default_factory=lambda: NoPages(type="none"),
        description="The paginator of endpoints that have none of their own.",
    )
    limits: Limits = Field(default=(), description='Limits of an account: "5000/hour", a list of several, or "auto".')
    bucket_limits: Limits = Field(default=(), description="Limits of each endpoint.")
    concurrency: Concurrency | None = Field(default=None, description="Most requests of an account at the same time.")
    errors: list[ErrorRule] = Field(
        default_factory=list, description="Rules about the meaning of responses, for every endpoint."
    )
    test: AccountQuestion | None = Field(default=None, description="The request that tests whether an account works.")
    endpoints: dict[StreamName, Endpoint] = Field(min_length=1, description="The streams.")

    def children(self, name: str | None) -> Iterator[str]:
        """The endpoints directly below one; those without parent for None."""
        return (each for each, endpoint in self.endpoints.items() if endpoint.parent == name)

    def top(self, name: str) -> str:
        """The topmost endpoint above one; itself if it has no parent."""
        while (parent := self.endpoints[name].parent) is not None:
            name = parent
        return name
