"""The values of a description: texts, templates, numbers, and their checks."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, WithJsonSchema

from crawlerd.core import notation
from crawlerd.source import STREAM_NAME
from crawlerd.sources.rest import texts
from crawlerd.sources.rest.expressions import Scalar, fields
from crawlerd.sources.rest.paginators import Paginator

if TYPE_CHECKING:
    from collections.abc import Collection


def _stream_name(value: str) -> str:
    if not STREAM_NAME.fullmatch(value) or value.endswith("_view"):
        raise ValueError(
            'must be lower-case letters, digits and "_", at most 63, beginning with a letter, not "…_view"'
        )
    return value


def header_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", value):
        raise ValueError("is not the name of a header")
    return value


def _own_header(value: str) -> str:
    if value.lower() in ("authorization", "proxy-authorization", "cookie", "host", "content-length"):
        raise ValueError("cannot be set here; [auth] says how the account's key is sent")
    return header_name(value)


def declared(info: ValidationInfo[Any]) -> Collection[str]:
    """The declared names."""
    variables = (info.context or {}).get("variables", ())
    return [each for each in variables if isinstance(each, str)] if isinstance(variables, list) else ()


def _text(value: str, info: ValidationInfo[Any]) -> str:
    return texts.checked(value, declared(info))


def _header_text(value: str, info: ValidationInfo[Any]) -> str:
    return texts.checked(texts.checked_header(value), declared(info))


def base_url_of(value: str, info: ValidationInfo[Any]) -> str:
    return texts.checked_url(value, declared(info))


def _name(value: str, info: ValidationInfo[Any]) -> str:
    """The name of a parameter, or fixed text."""
    return texts.fixed(value, declared(info))


def _names(paginator: Any, info: ValidationInfo[Any]) -> Any:
    """Checks the names of all parameters and headers that a paginator sends."""
    for key, value in paginator:
        if isinstance(value, str) and key.endswith(("parameter", "header")):
            _name(value, info)
    return paginator


def _parameter(value: object, info: ValidationInfo[Any]) -> Any:
    values = value if isinstance(value, list) else [value]
    for each in values:
        if not isinstance(each, Scalar) or (isinstance(each, float) and not math.isfinite(each)):
            raise ValueError("must be text, a number, true or false, or a list of these; write a date in quotes")
        if isinstance(each, str):
            template(each, info)
    return value


def template(value: str, info: ValidationInfo[Any]) -> str:
    """Checks that the fields of a template exist."""
    for name in fields(value):
        first, _, rest = name.partition(".")
        if first == "parent" and "parent" in info.data and info.data["parent"] is None:
            raise ValueError(f'"{{{name}}}" needs parent = "…": the endpoint whose records have it')
        if first == "parent" and "name" in info.data:  # of the whole description
            raise ValueError(f'"{{{name}}}" can only be used in the parameters of an endpoint that has a parent')
        if first == "variables" and rest not in declared(info):
            raise ValueError(f'there is no variable "{rest}"; declare it: variables = ["{rest}"]')
    return value


def overlap_of(value: object, info: ValidationInfo[Any]) -> float:
    if info.data.get("format") != "number":
        return notation.duration("5m" if value is None else value)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
        raise ValueError('must be a whole number, since format is "number"')
    return float(value or 0)


def several(value: object) -> object:
    return value if isinstance(value, list) else [value]


ITEM_FIELD = re.compile(r"\{(key(?:\.[A-Za-z_]\w*)?|variables\.[A-Za-z_]\w*)\}", re.ASCII)
ONE_OR_MORE = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
_SCALARS = [{"type": "string"}, {"type": "number"}, {"type": "boolean"}]

StreamName = Annotated[str, AfterValidator(_stream_name)]
Limits = Annotated[tuple[str, ...], BeforeValidator(notation.limits), WithJsonSchema(ONE_OR_MORE)]
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
