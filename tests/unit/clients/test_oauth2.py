"""Access tokens: asked for once, shared by threads, renewed before their end, and never shown."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from support.rest_api import Answer, Request, RestApi

from crawlerd.clients.http import HttpClient
from crawlerd.clients.oauth2 import token_of
from crawlerd.core.configuration import AccountSpec
from crawlerd.core.errors import CrawlerdError, Throttled, Transient, Unauthorized
from crawlerd.source import ClientCredentials, Response, Source

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "the-client:the s3cret/+value"


@pytest.fixture
def api() -> Iterator[RestApi]:
    with RestApi() as api:
        yield api


@pytest.fixture
def client() -> Iterator[HttpClient]:
    client = HttpClient(connections=8)
    yield client
    client.close()


def get(client: HttpClient, api: RestApi, grant: ClientCredentials | None = None, *, seconds: float = 10.0) -> str:
    """One task's request: the token that it was sent with."""
    source = Source("api", auth=grant or ClientCredentials("/token"))
    spec = AccountSpec(name="a", source="api", base_url=api.url, secret=SECRET, request_seconds=seconds)
    opened = client.open(source, spec)
    found: str = opened.get("/thing")["token"]
    return found


def answers(*tokens: Answer) -> object:
    """A script: these answers of the token endpoint, the last one for ever; the other path tells the token."""
    left = list(tokens)

    def script(request: Request) -> Answer:
        if request.path != "/token":
            return Answer({"token": request.headers["authorization"].removeprefix("Bearer ")})
        return left.pop(0) if len(left) > 1 else left[0]

    return script


def granted(token: str, **facts: object) -> Answer:
    return Answer({"access_token": token, "token_type": "bearer", **facts})


def test_a_token_is_kept_until_shortly_before_its_end(api: RestApi, client: HttpClient) -> None:
    api.script = answers(granted("a", expires_in=0), granted("b", expires_in="3600"), granted("c"))  # type: ignore[assignment]
    assert [get(client, api) for _ in range(4)] == ["a", "b", "b", "b"]
    assert len(api.asked("/token")) == 2


def test_threads_share_one_request_for_a_token(api: RestApi, client: HttpClient) -> None:
    others = threading.Barrier(8)
    hold = threading.Event()

    def script(request: Request) -> Answer:
        if request.path == "/token":
            hold.wait(5)
            return granted("a")
        return Answer({"token": "x"})

    def ask() -> str:
        others.wait()
        return get(client, api)

    api.script = script
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask) for _ in range(8)]
        threading.Timer(0.3, hold.set).start()
        assert [each.result() for each in asked] == ["x"] * 8
    assert len(api.asked("/token")) == 1


@pytest.mark.parametrize(
    "token_type",
    ["Bearer", "BEARER", "Application Access Token", "BearerToken", "bearer ", "", "mac", None, 7, ["Bearer"]],
)
def test_a_token_is_used_whatever_its_type_is_called(token_type: object, api: RestApi, client: HttpClient) -> None:
    api.script = answers(Answer({"access_token": "a", "token_type": token_type}))  # type: ignore[assignment]
    assert get(client, api) == "a"


def test_how_id_and_secret_are_sent(api: RestApi, client: HttpClient) -> None:
    api.script = answers(granted("a"))  # type: ignore[assignment]
    get(client, api, ClientCredentials("/token", scope="read write", parameters={"audience": "x"}))
    (asked,) = api.asked("/token")
    assert asked.body == b"grant_type=client_credentials&audience=x&scope=read+write"
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    assert asked.headers["authorization"] == "Basic dGhlLWNsaWVudDp0aGUrczNjcmV0JTJGJTJCdmFsdWU="
    other = HttpClient(connections=1)
    get(other, api, ClientCredentials(f"{api.url}/token", in_body=True))
    other.close()
    asked = api.asked("/token")[-1]
    assert asked.body == b"grant_type=client_credentials&client_id=the-client&client_secret=the+s3cret%2F%2Bvalue"
    assert "authorization" not in asked.headers


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        (Answer({"error": "invalid_client"}, 401), Unauthorized, "no access token: HTTP 401: invalid_client"),
        (Answer({"error": "invalid_scope"}, 400), Unauthorized, "invalid_scope"),
        (Answer({}, 500), Transient, "no access token: HTTP 500"),
        (Answer({}, 429, {"Retry-After": "7"}), Throttled, "no access token: HTTP 429"),
        (Answer(b"<html>"), Transient, "not a token in JSON"),
        (Answer({"token": "x"}), Transient, "not a token in JSON"),
        (granted("a\nb"), Transient, "a header cannot contain"),
    ],
)
def test_why_there_is_none(
    answer: Answer, error: type[CrawlerdError], text: str, api: RestApi, client: HttpClient
) -> None:
    api.script = answers(answer, answer, granted("good"))  # type: ignore[assignment]
    for _ in range(2):  # the next task asks again
        with pytest.raises(error, match=text) as caught:
            get(client, api)
        assert "s3cret/" not in str(caught.value)
        if isinstance(caught.value, Throttled):
            assert (caught.value.retry_after, caught.value.scope) == (7.0, "account")
    assert get(client, api) == "good"


def test_a_refused_token_is_renewed_if_it_has_worked_and_only_then(api: RestApi, client: HttpClient) -> None:
    good = {"a"}
    tokens = iter("abcdef")

    def script(request: Request) -> Answer:
        if request.path == "/token":
            return granted(next(tokens))
        token = request.headers["authorization"][-1]
        return Answer({"token": token}) if token in good else Answer({"error": "expired"}, 401)

    api.script = script
    assert get(client, api) == "a"
    good.clear()
    with pytest.raises(Transient, match="not accepted any more: HTTP 401: expired"):
        get(client, api)
    with pytest.raises(Unauthorized, match="HTTP 401: expired"):
        get(client, api)  # b: new, and refused
    good.add("c")
    assert get(client, api) == "c"
    assert len(api.asked("/thing")) == 4


def test_the_time_of_a_task_is_for_token_and_request_together(api: RestApi, client: HttpClient) -> None:
    hold = threading.Event()
    api.script = lambda _: (hold.wait(5) and None) or granted("a")  # type: ignore[func-returns-value]
    with pytest.raises(Transient, match=r"no complete response from .* within 0.3 s"):
        get(client, api, seconds=0.3)
    hold.set()
    assert api.asked("/thing") == []


def test_a_key_that_is_not_id_and_secret_is_refused(api: RestApi, client: HttpClient) -> None:
    source = Source("api", auth=ClientCredentials("/token"))
    opened = client.open(source, AccountSpec(name="a", source="api", base_url=api.url, secret="only-one"))
    with pytest.raises(Unauthorized, match="must be id:secret"):
        opened.get("/thing")
    assert api.requests == []
    assert (opened.sent_at, opened.done_at) == (0.0, 0.0)


def test_a_token_is_never_shown() -> None:
    token = token_of(Response(200, {}, b'{"access_token": "topsecret"}'), 0.0)
    assert "topsecret" not in repr(token)
