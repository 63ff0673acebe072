"""`[daemon]` of the configuration file."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo, field_validator

from crawlerd.config.problems import Table
from crawlerd.config.references import Reference, database_url, secret
from crawlerd.core import notation

SHORTEST_TOKEN = 32  # characters of a token
SHORTEST_KEY = 16  # characters of a key for hashes

Duration = Annotated[float, BeforeValidator(notation.duration, json_schema_input_type=str)]
PathText = Annotated[str, AfterValidator(notation.path_text)]


class DaemonTable(Table):
    """The table `[daemon]`. Durations are in seconds."""

    state_dir: PathText = Field(examples=["/var/lib/crawlerd"])
    listen: Annotated[tuple[str, int], BeforeValidator(notation.listen, json_schema_input_type=str)] = Field(
        default="127.0.0.1:9464", validate_default=True
    )
    allow_remote: bool = False
    allowed_hosts: tuple[Annotated[str, AfterValidator(notation.host_name)], ...] = Field(
        default=[], validate_default=True
    )
    admin_token: SecretStr = Field(default=None, validate_default=True)
    read_token: SecretStr = Field(default=None, validate_default=True)
    metrics_token: SecretStr = Field(default=None, validate_default=True)
    page: bool = True
    read_only: bool = False
    root_path: Annotated[str, AfterValidator(notation.root_path)] = ""
    trusted_proxies: tuple[Annotated[str, AfterValidator(notation.ip_address)], ...] = Field(
        default=[], validate_default=True
    )
    socket: Annotated[str, AfterValidator(notation.socket_path)] = ""
    worker_processes: int = Field(default=0, ge=0, le=256)
    threads_per_process: int = Field(default=16, ge=1, le=1000)
    drain_seconds: float = Field(default=30.0, ge=0, le=86_400)
    visibility_timeout: Duration = Field(default="5m", validate_default=True)
    max_worker_memory_mb: int = Field(default=1024, ge=64, le=1_048_576)
    metrics_imports: int = Field(default=100, ge=0, le=10_000)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"
    time_zone: Annotated[str, AfterValidator(notation.time_zone)] = "UTC"
    catch_up_spread: Duration = Field(default="10m", validate_default=True)
    limiter_storage: Annotated[str, AfterValidator(notation.redis_address)] = ""
    limiter_password: SecretStr = Field(default=None, validate_default=True)
    hash_key: SecretStr = Field(default=None, validate_default=True)
    frontier: SecretStr = Field(default=None, validate_default=True, examples=[{"env": "FRONTIER_URL"}])

    @field_validator("allowed_hosts", "trusted_proxies", mode="before")
    @classmethod
    def _names(cls, value: object, info: ValidationInfo[Any]) -> object:
        if not isinstance(value, list):
            example = "crawler.example.com" if info.field_name == "allowed_hosts" else "127.0.0.1"
            raise ValueError(f'must be a list, such as ["{example}"]')
        return tuple(value)

    @field_validator("admin_token", "read_token", "metrics_token", mode="plain", json_schema_input_type=Reference)
    @classmethod
    def _token(cls, value: object, info: ValidationInfo[Any]) -> SecretStr:
        found = SecretStr("") if value is None else secret(value, info.context.environment, key=str(info.field_name))
        if 0 < len(found) < SHORTEST_TOKEN:
            raise ValueError(
                f"has fewer than {SHORTEST_TOKEN} characters, and could be guessed: `crawlerd token new` makes one"
            )
        return found

    @field_validator("hash_key", mode="plain", json_schema_input_type=Reference)
    @classmethod
    def _hash_key(cls, value: object, info: ValidationInfo[Any]) -> SecretStr:
        found = SecretStr("") if value is None else secret(value, info.context.environment, key="hash_key")
        if 0 < len(found) < SHORTEST_KEY:
            raise ValueError(f"has fewer than {SHORTEST_KEY} characters, and could be guessed: `openssl rand -hex 32`")
        return found

    @field_validator("frontier", mode="plain", json_schema_input_type=Reference)
    @classmethod
    def _frontier(cls, value: object, info: ValidationInfo[Any]) -> SecretStr:
        return SecretStr("") if value is None else database_url(value, info.context.environment, key="frontier")

    @field_validator("limiter_password", mode="plain", json_schema_input_type=Reference)
    @classmethod
    def _password(cls, value: object, info: ValidationInfo[Any]) -> SecretStr:
        return SecretStr("") if value is None else secret(value, info.context.environment, key="limiter_password")
