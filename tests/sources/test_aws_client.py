"""The client of AWS sources against real servers: one request a task, bounded, dated, its own retries off."""

from __future__ import annotations

import socketserver
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from support.aws_proxy import AwsProxy, Fault, Organization, organization

from crawlerd.clients.aws import AwsApi, AwsClient
from crawlerd.core.aws_options import AwsOptions
from crawlerd.core.configuration import AccountSpec
from crawlerd.source import Permanent, Source, Throttled, Transient, Unauthorized

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Source("any", client="aws")
DEEP = b"[" * 200_000


@pytest.fixture(scope="module")
def org() -> Iterator[Organization]:
    with organization(3, 0, 0) as started:
        yield started


@pytest.fixture
def proxy(org: Organization) -> Iterator[AwsProxy]:
    with AwsProxy(org.address, limits={}) as started:
        yield started


@pytest.fixture
def client() -> Iterator[AwsClient]:
    client = AwsClient(connections=2)
    yield client
    client.close()


def opened(client: AwsClient, url: str, **fields: Any) -> AwsApi:
    account = AccountSpec(
        **{"name": "a", "source": "any", "secret": "AKID:secret", "options": {"endpoint_url": url}} | fields
    )
    return client.open(SOURCE, account)


@contextmanager
def answering(*parts: bytes, pause: float = 0.0) -> Iterator[str]:
    """A server that answers every request with these bytes, slowly."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            try:
                for part in parts:
                    self.request.sendall(part)
                    stop.wait(pause)
            except OSError:
                pass

    stop = threading.Event()
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            stop.set()
            server.shutdown()
            thread.join()


def test_the_main_process_needs_no_boto3() -> None:
    aws = "crawlerd.sources.aws.organization, crawlerd.sources.aws.contacts"
    code = f"import sys, crawlerd.config.load, {aws}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "crawlerd.sources.aws.organization" in loaded
    assert not {"boto3", "botocore", "requests"} & set(loaded)


def test_one_call_is_one_request_with_its_times(client: AwsClient, proxy: AwsProxy) -> None:
    before = time.monotonic()
    api = opened(client, proxy.url)
    answer = api.call("organizations", "list_accounts", MaxResults=1)
    (account,) = answer["Accounts"]
    assert account["Id"] == "123456789012"
    assert account["JoinedTimestamp"].endswith("Z")  # times are text: a record holds nothing else
    assert "ResponseMetadata" not in answer
    (request,) = proxy.seen
    assert before < api.sent_at <= request.at <= api.done_at <= time.monotonic()
    with pytest.raises(RuntimeError, match="one request"):
        api.call("organizations", "list_accounts")
    assert len(proxy.seen) == 1


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(500, "InternalFailure"), Transient),
        (Fault(503, "ServiceUnavailable"), Transient),
        (Fault(400, "TooManyRequestsException"), Throttled),
        (Fault(400, "ThrottlingException"), Throttled),
    ],
)
def test_boto3_does_not_retry(client: AwsClient, proxy: AwsProxy, fault: Fault, error: type[Exception]) -> None:
    proxy.fault = lambda request: fault
    with pytest.raises(error):
        opened(client, proxy.url).call("organizations", "list_roots")
    assert len(proxy.seen) == 1


@pytest.mark.alone
def test_a_slow_drip_ends_at_the_deadline(client: AwsClient) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: 1000\r\n\r\n"
    with answering(head, *[b" "] * 1000, pause=0.05) as url:
        api = opened(client, url, request_seconds=2.5)  # also botocore's reading of its models is within it
        before = time.monotonic()
        with pytest.raises(Transient, match=r"within 2\.5 s"):
            api.call("organizations", "list_roots")
    assert time.monotonic() - before < 10
    assert api.sent_at


def test_a_body_that_is_too_large_is_refused(client: AwsClient) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n"
    with answering(head, b" " * 5_000_000) as url, pytest.raises(Permanent, match="larger than 100000 bytes"):
        opened(client, url, max_body_bytes=100_000).call("organizations", "list_roots")


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"\xff\xfe", b"[1, 2", b"[1]", b"3", b"", DEEP])
def test_an_answer_that_is_none_raises_or_is_empty(client: AwsClient, body: bytes) -> None:
    head = b"HTTP/1.1 %d OK\r\nContent-Type: text/html\r\nContent-Length: " + str(len(body)).encode() + b"\r\n\r\n"
    with answering(head % 502, body) as url, pytest.raises(Transient):
        opened(client, url).call("organizations", "list_roots")
    with answering(head % 200, body) as url, suppress(Transient):
        assert opened(client, url).call("organizations", "list_roots").get("Roots") is None


def test_nobody_there_is_transient_and_nothing_was_sent(client: AwsClient) -> None:
    with answering() as url:
        pass
    api = opened(client, url)
    with pytest.raises(Transient, match="cannot reach"):
        api.call("organizations", "list_roots")
    assert not api.sent_at


def test_wrong_parameters_are_permanent(client: AwsClient, proxy: AwsProxy) -> None:
    with pytest.raises(Permanent, match="ParamValidationError"):
        opened(client, proxy.url).call("organizations", "list_roots", MaxResults="many")
    assert not proxy.seen


@pytest.mark.parametrize("secret", ["AKID", "AKID:", ":secret", "a:b:c:d"])
def test_a_key_that_is_none_is_told_without_it(client: AwsClient, proxy: AwsProxy, secret: str) -> None:
    with pytest.raises(Unauthorized, match="must be ACCESS_KEY_ID:SECRET_ACCESS_KEY") as caught:
        opened(client, proxy.url, secret=secret).call("organizations", "list_roots")
    assert "AKID" not in str(caught.value)


def test_a_profile_that_does_not_exist_is_told(client: AwsClient) -> None:
    api = opened(client, "", secret="", options={"profile": "nobody"})
    with pytest.raises(Unauthorized, match="nobody"):
        api.call("organizations", "list_roots")


def test_threads_share_one_client_and_its_connections(proxy: AwsProxy) -> None:
    client = AwsClient(connections=4)
    errors: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(5):
                opened(client, proxy.url).call("organizations", "list_accounts", MaxResults=1)
        except BaseException as error:  # noqa: BLE001 - handed to the test
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client.close()
    assert not errors
    assert len(proxy.seen) == 20


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"endpoint_url": "http://example.com"}, "endpoint_url must begin with https://"),
        ({"region": "US East"}, "region must be"),
        ({"role_arn": "crawler"}, "role_arn must be like"),
        ({"external_id": "x"}, "of no use without role_arn"),
        ({"profile": 3}, "Expected `str`"),
    ],
)
def test_options_are_checked(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=problem):
        msgspec.convert(options, AwsOptions)
