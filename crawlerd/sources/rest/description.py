"""What the description of a REST source may say: every key, its default, and what can be wrong with it."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping
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
from crawlerd.source import STREAM_NAME
from crawlerd.sources.rest import texts
from crawlerd.sources.rest.expressions import Scalar, fields
from crawlerd.sources.rest.paginators import NoPages, Paginator, Path

if TYPE_CHECKING:
    from typing import Self

Document = Mapping[str, Any]


def read(document: Document, file: str) -> Description:
    """The description in a parsed TOML document. Raises ConfigurationError with all problems at once, each
    `file: key: what is wrong and what to write`."""
    try:
        return Description.model_validate(document, context=document)
    except ValidationError as error:
        problems = [problem(each, Description) for each in error.errors(include_url=False)]
    raise ConfigurationError([one_line(f"{file}: {each}") for each in problems])


def _stream_name(value: str) -> str:
    if not STREAM_NAME.fullmatch(value) or value.endswith("_view"):
        raise ValueError(
            'must be lower-case letters, digits and "_", at most 63, beginning with a letter, not "…_view"'
        )
    return value


def _header_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", value):
        raise ValueError("is not the name of a header")
    return value


def _own_header(value: str) -> str:
    if value.lower() in ("authorization", "proxy-authorization", "cookie", "host", "content-length"):
        raise ValueError("is not set here; [auth] says how the account's key is sent")
    return _header_name(value)


def _variables(info: ValidationInfo[Any]) -> Collection[str]:
    """The names that are declared."""
    variables = (info.context or {}).get("variables", ())
    return [each for each in variables if isinstance(each, str)] if isinstance(variables, list) else ()


def _text(value: str, info: ValidationInfo[Any]) -> str:
    return texts.checked(value, _variables(info))


def _header_text(value: str, info: ValidationInfo[Any]) -> str:
    return texts.checked(texts.checked_header(value), _variables(info))


def _base_url(value: str, info: ValidationInfo[Any]) -> str:
    return texts.checked_url(value, _variables(info))


def _name(value: str, info: ValidationInfo[Any]) -> str:
    """What names a parameter, or stands for itself."""
    return texts.fixed(value, _variables(info))


def _names(paginator: Any, info: ValidationInfo[Any]) -> Any:
    """The same of all parameters and headers that a paginator sends."""
    for key, value in paginator:
        if isinstance(value, str) and key.endswith(("parameter", "header")):
            _name(value, info)
    return paginator


def _parameter(value: object, info: ValidationInfo[Any]) -> Any:
    values = value if isinstance(value, list) else [value]
    for each in values:
        if not isinstance(each, Scalar) or (isinstance(each, float) and not math.isfinite(each)):
            raise ValueError("must be text, a number, true or false, or a list of such; a date stands in quotes")
        if isinstance(each, str):
            _template(each, info)
    return value


def _template(value: str, info: ValidationInfo[Any]) -> str:
    """Checks that the fields of a template exist."""
    for name in fields(value):
        first, _, rest = name.partition(".")
        if first == "parent" and "parent" in info.data and info.data["parent"] is None:
            raise ValueError(f'"{{{name}}}" needs parent = "…": the endpoint whose records have it')
        if first == "parent" and "name" in info.data:  # of the whole description
            raise ValueError(f'"{{{name}}}" belongs into the parameters of an endpoint that has a parent')
        if first == "variables" and rest not in _variables(info):
            raise ValueError(f'there is no variable "{rest}"; declare it: variables = ["{rest}"]')
    return value


def _overlap(value: object, info: ValidationInfo[Any]) -> float:
    if info.data.get("format") != "number":
        return notation.duration("5m" if value is None else value)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
        raise ValueError('must be a whole number, since format is "number"')
    return float(value or 0)


def _several(value: object) -> object:
    return value if isinstance(value, list) else [value]


ITEM_FIELD = re.compile(r"\{(key(?:\.[A-Za-z_]\w*)?|variables\.[A-Za-z_]\w*)\}", re.ASCII)
_ONE_OR_MORE = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
_SCALARS = [{"type": "string"}, {"type": "number"}, {"type": "boolean"}]

StreamName = Annotated[str, AfterValidator(_stream_name)]
Limits = Annotated[tuple[str, ...], BeforeValidator(notation.limits), WithJsonSchema(_ONE_OR_MORE)]
Parameter = Annotated[
    Any,
    BeforeValidator(_parameter),
    WithJsonSchema({"anyOf": [*_SCALARS, {"type": "array", "items": {"anyOf": _SCALARS}}]}),
]
Text = Annotated[str, AfterValidator(_text)]
HeaderText = Annotated[str, AfterValidator(_header_text)]
Name = Annotated[str, AfterValidator(_name)]
Headers = dict[Annotated[str, AfterValidator(_own_header)], HeaderText]
Parameters = dict[Name, Parameter]
AnyPaginator = Annotated[Paginator, AfterValidator(_names)]
Concurrency = Annotated[int, Field(ge=1, le=10_000)]


class NoAuth(Table):
    """No credentials."""

    type: Literal["none"]


class Bearer(Table):
    """`Authorization: Bearer KEY`."""

    type: Literal["bearer"]


class Basic(Table):
    """HTTP Basic: the account's key is `user:password`, or the password alone where `user` is given."""

    type: Literal["basic"]
    user: Text | None = Field(default=None, description="The user; without it the key is user:password.")


class KeyHeader(Table):
    """A header of the API's own."""

    type: Literal["header"]
    name: Annotated[str, AfterValidator(_header_name)] = Field(
        examples=["X-Api-Key"], description="Name of the header."
    )
    prefix: HeaderText = Field(default="", description='Before the key, as "Token ".')


class KeyParameter(Table):
    """A parameter of the query. It is never stored, logged or shown."""

    type: Literal["query"]
    name: Name = Field(min_length=1, examples=["api_key"], description="Name of the parameter.")


class OAuth2(Table):
    """OAuth 2.0 client credentials: the account's key is `id:secret`, and a token is asked for when one is needed."""

    type: Literal["oauth2"]
    token_url: str = Field(examples=["/oauth/token"], description="A full URL, or a path below the base URL.")
    scope: Text = Field(default="", description="Scopes, separated by spaces.")
    parameters: dict[Name, Text] = Field(
        default_factory=dict, description='More fields of the form, such as "audience".'
    )
    client: Literal["basic", "body"] = Field(default="basic", description="Where id and secret are sent.")

    @field_validator("token_url")
    @classmethod
    def _address(cls, value: str, info: ValidationInfo[Any]) -> str:
        if re.fullmatch(r"/[!-~]*", value):
            return texts.checked(value, _variables(info), url=True)
        return texts.checked_url(value, _variables(info))


Auth = Annotated[NoAuth | Bearer | Basic | KeyHeader | KeyParameter | OAuth2, Field(discriminator="type")]


class ErrorRule(Table):
    """What a response means, where the usual mapping of status codes does not fit. The first rule that fits counts."""

    status: Annotated[
        list[Annotated[int, Field(ge=100, le=599)]],
        BeforeValidator(_several),
        WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]}),
    ] = Field(examples=[404], description="The status code, or several.")
    header: str | None = Field(default=None, min_length=1, description="Only when the response has this header …")
    equals: str | None = Field(default=None, description="… with this value.")
    body: Path | None = Field(default=None, description="Only when this JMESPath finds something true in the body.")
    action: Literal["skip", "empty", "retry", "throttle", "dead", "pause"] = Field(
        examples=["skip"],
        description="skip: set the page aside, and say so in the report. empty: a page without records. retry: with "
        "backoff. throttle: slow down, and costs no attempt. dead: a dead letter. pause: the credentials are refused, "
        "and the account is paused.",
    )
    wait_header: str | None = Field(
        default=None, min_length=1, description="throttle: the header that says until when (Unix time) or how long (s)."
    )
    scope: Literal["bucket", "account"] = Field(default="bucket", description="throttle: what is over its limit.")

    @model_validator(mode="after")
    def _meaningful(self) -> Self:
        if self.equals is not None and self.header is None:
            raise ValueError("equals needs header: the name of the header that has this value")
        if self.action != "throttle" and (self.wait_header or self.scope != "bucket"):
            raise ValueError('wait_header and scope are for action = "throttle"')
        if all(200 <= each < 300 for each in self.status) and not self.body and not self.header:
            raise ValueError("would take every good response for an error; add body or header")
        return self


class Incremental(Table):
    """Later runs ask only for what has changed."""

    field: Path = Field(examples=["updated_at"], description="JMESPath of the time of change in a record.")
    parameter: Name | None = Field(
        default=None,
        min_length=1,
        description="Query parameter that takes the time from which on changes are wanted. Without it, the list must "
        "have the latest change first: paging stops at the first page that has nothing newer.",
    )
    order: Literal["ascending", "descending"] | None = Field(
        default=None,
        validate_default=True,
        description="How the API sorts the list by the field. ascending, with parameter: the list is read on from the "
        "last time that was read, so that nothing that changes meanwhile is lost. descending: what comes to its front "
        "meanwhile is read at the end; so it is without parameter.",
    )
    format: Literal["iso", "date", "unix", "unix_ms", "number"] = Field(
        default="iso",
        description="How the parameter is written. number: the field is no time but a number that grows.",
    )
    overlap: Annotated[float, BeforeValidator(_overlap), WithJsonSchema({"type": ["string", "integer"]})] = Field(
        default=None,
        validate_default=True,
        description='So much is asked for again, as clocks and pages are not exact: "5m", or 0 for a number.',
    )
    start: Name | None = Field(
        default=None, description="What the parameter is in a full run; without it, it is left out."
    )

    @field_validator("order")
    @classmethod
    def _readable(cls, order: str | None, info: ValidationInfo[Any]) -> str | None:
        if "parameter" not in info.data or info.data["parameter"] is not None:
            return order
        if order == "ascending":
            raise ValueError('"ascending" needs parameter; without it, a list must have the latest change first')
        return "descending"


class Endpoint(Table):
    """`[endpoints.NAME]`: a list of records, and the stream of that name."""

    parent: str | None = Field(default=None, description="The endpoint for each of whose records this one is asked.")
    path: str = Field(
        examples=["/v1/customers"],
        description="Below the base URL. {parent.id} is a field of the parent's record, {variables.org} the account's.",
    )
    parameters: Parameters = Field(default_factory=dict, description="Of the query. The same fields as in path.")
    records: Path = Field(default="@", description='JMESPath of the list of records in the body; "@": the body itself.')
    primary_key: Annotated[list[Path], BeforeValidator(_several), Field(min_length=1), WithJsonSchema(_ONE_OR_MORE)] = (
        Field(
            default="id", validate_default=True, description="JMESPath of the record's key; several make one together."
        )
    )
    from_parent: dict[str, Path] = Field(
        default_factory=dict, description="Fields that the record gets: name = JMESPath in the parent's record."
    )
    paginator: AnyPaginator | None = Field(default=None, description="Instead of the description's.")
    incremental: Incremental | None = None
    tombstones: bool = Field(
        default=False, description="The list is complete: what a full run does not find any more is marked as deleted."
    )
    item: str | None = Field(
        default=None,
        examples=["/v1/customers/{key}"],
        description="With tombstones: path of one record. What a list does not have any more is asked for by itself, "
        "and is deleted when the answer is 404 or 410. {key} is its primary key, {key.NAME} one of several.",
    )
    limits: Limits | None = Field(default=None, description="Limits of this endpoint, instead of bucket_limits.")
    cost: int = Field(default=1, ge=1, le=10_000, description="How many requests one counts as, against every limit.")
    concurrency: Concurrency | None = Field(default=None, description="Most requests of this endpoint at once.")
    errors: list[ErrorRule] = Field(default_factory=list, description="Tried before the description's.")

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
                raise ValueError(f"leads round in a circle: {' → '.join([*above, at])}")
            above.append(at)
            at = endpoints[at].get("parent") if isinstance(endpoints[at], dict) else None
        return name

    @field_validator("path")
    @classmethod
    def _below_base(cls, value: str, info: ValidationInfo[Any]) -> str:
        _template(value, info)
        if not re.fullmatch(r"/[!-~]*", value) or re.search("[?#]", value):
            raise ValueError('must begin with "/", without spaces; the query belongs into parameters')
        return value

    @field_validator("item")
    @classmethod
    def _names_the_key(cls, value: str | None, info: ValidationInfo[Any]) -> str | None:
        if value is None:
            return None
        names = ITEM_FIELD.findall(value)
        if not re.fullmatch(r"/[!-~]*", value) or re.search("[?#{}]", ITEM_FIELD.sub("", value)):
            raise ValueError(
                'must begin with "/", without query; its braces hold {key}, {key.NAME} or {variables.NAME}'
            )
        keys = info.data.get("primary_key", ())
        for name in names:
            first, _, rest = name.partition(".")
            if first == "variables":
                _template(f"{{{name}}}", info)
            elif rest and rest not in keys:
                raise ValueError(f'"{{{name}}}" is not of the primary key; {instead(rest, keys)}')
        if not any(name.partition(".")[0] == "key" for name in names):
            raise ValueError("asks the same for each record; use {key}")
        if info.data.get("tombstones") is False:
            raise ValueError("is for lists with tombstones = true")
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
            raise ValueError("asks the same for each record of its parent; use {parent.id} in path or parameters")
        if self.parent and self.incremental and self.incremental.format == "number":
            raise ValueError('incremental.format = "number" is for lists without parent; a time is needed here')
        return self

    def asked_fields(self) -> list[str]:
        """The fields that its requests are made of."""
        values = [value for each in self.parameters.values() for value in (each if isinstance(each, list) else [each])]
        return [name for each in [self.path, *values] if isinstance(each, str) for name in fields(each)]


class Description(Table):
    """A REST API, for `source = "rest"`."""

    name: StreamName = Field(examples=["github"], description="Its tables in the sink are NAME_STREAM.")
    base_url: Annotated[str, AfterValidator(_base_url)] | None = Field(
        default=None, description="Address of the API; without it, each account has its own."
    )
    variables: list[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]] = Field(
        default_factory=list, description='Names of what each account sets in variables = { org = "acme" }.'
    )
    auth: Auth = Field(default_factory=lambda: NoAuth(type="none"), description="How the account's key is sent.")
    headers: Headers = Field(default_factory=dict, description="Sent with every request.")
    parameters: Parameters = Field(default_factory=dict, description="Of the query of every request.")
    paginator: AnyPaginator = Field(
        default_factory=lambda: NoPages(type="none"), description="Of endpoints without one."
    )
    limits: Limits = Field(default=(), description='Of an account: "5000/hour", several, or "auto".')
    bucket_limits: Limits = Field(default=(), description="Of each endpoint.")
    concurrency: Concurrency | None = Field(default=None, description="Most requests of an account at once.")
    errors: list[ErrorRule] = Field(default_factory=list, description="What responses mean, at every endpoint.")
    endpoints: dict[StreamName, Endpoint] = Field(min_length=1, description="The streams.")

    def children(self, name: str | None) -> Iterator[str]:
        """The endpoints right below one; those without parent for None."""
        return (each for each, endpoint in self.endpoints.items() if endpoint.parent == name)

    def top(self, name: str) -> str:
        """The endpoint without parent above one; itself when it has none."""
        while (parent := self.endpoints[name].parent) is not None:
            name = parent
        return name
