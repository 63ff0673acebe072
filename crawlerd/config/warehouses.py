"""The keys of a sink of the type `postgresql`: which database, and the form of its views."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator

from crawlerd.config.problems import Table
from crawlerd.config.references import Reference, database_url
from crawlerd.core.configuration import ColumnType

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA = "crawlerd"


def _schema(name: str) -> str:
    if not re.fullmatch("[a-z_][a-z0-9_]{0,62}", name) or name.startswith("pg_"):
        raise ValueError("must be lower-case letters, digits and underscores, and not begin with pg_")
    return name


class WarehouseTable(Table):
    """The additional keys of a sink of the type `postgresql`. None: missing."""

    url: SecretStr | None = Field(default=None, examples=[{"env": "WAREHOUSE_URL"}])
    schema_name: Annotated[str, AfterValidator(_schema)] = SCHEMA
    columns: dict[str, ColumnType] = Field(default={})

    @field_validator("url", mode="plain", json_schema_input_type=Reference)
    @classmethod
    def _url(cls, value: object, info: ValidationInfo[Any]) -> SecretStr:
        return database_url(value, info.context.environment, key="url")


def lacking(sink: WarehouseTable) -> Iterator[tuple[str, str]]:
    """Problems of a sink of the type `postgresql` that no single value shows: the key, and what is wrong."""
    if sink.url is None:
        yield "url", 'is missing; write for example url = { env = "WAREHOUSE_URL" }'
