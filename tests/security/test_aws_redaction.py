"""What AWS quotes of its credentials, whether the configuration or boto3's chain has them."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from support.rest_api import Answer, RestApi

from crawlerd.clients.aws import AwsClient
from crawlerd.core.configuration import AccountSpec
from crawlerd.core.outcome import Bury
from crawlerd.core.task import Task
from crawlerd.engine.attempt import attempt
from crawlerd.source import Source, TaskArgs

if TYPE_CHECKING:
    from collections.abc import Iterator

PARTS = ("AKIAQUOTED0123456789", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "IQoJb3JpZ2luX2VjEJr//token")


@pytest.mark.parametrize("where", ["configuration", "chain"])
def test_none_of_the_three_parts_is_told(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True)
    class Roots(TaskArgs, kind="orgs.roots"):
        pass

    source = Source("orgs", client="aws")

    @source.handles(Roots)
    def roots(api: Any, args: Roots) -> Iterator[Any]:
        api.call("organizations", "list_roots")
        yield

    secret = ":".join(PARTS) if where == "configuration" else ""
    if not secret:
        for name, value in zip(("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"), PARTS, strict=True):
            monkeypatch.setenv(f"AWS_{name}", value)
    told = {"__type": "InvalidInputException", "message": f"odd request of {' and '.join(PARTS)}"}
    with RestApi(lambda _: Answer(told, 400)) as api, closing(AwsClient(connections=1)) as client:
        options = {"endpoint_url": api.url, "region": "us-east-1"}
        account = AccountSpec(name="a", source="orgs", secret=secret, options=options)
        task = Task(1, 0, 5, 1, "orgs.roots", 0, "{}")
        outcome = attempt(source, account, client.open(source, account), task, jitter=0.5)
        assert re.search(f"Credential={PARTS[0]}", api.requests[0].headers["authorization"])
    assert isinstance(outcome, Bury)
    assert outcome.error.endswith("odd request of *** and *** and ***")
