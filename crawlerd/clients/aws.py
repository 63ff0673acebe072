"""Calls an account's AWS services with boto3: one request for each task, with limits of time and size, and without
boto3's own retries."""

from __future__ import annotations

import threading
import time
from datetime import UTC
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any

import boto3
import botocore.credentials
import botocore.session
import botocore.utils
import msgspec
import requests
import urllib3
from botocore import exceptions
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from requests.models import PreparedRequest
from requests.structures import CaseInsensitiveDict

from crawlerd.clients.aws_error import error_for
from crawlerd.clients.deadline import Deadline, DeadlineAdapter, Deadlines, current_deadline
from crawlerd.clients.http import most_hosts, read_body
from crawlerd.clients.http_error import failure_error
from crawlerd.core.aws_options import AwsOptions
from crawlerd.core.errors import CrawlerdError, Permanent, Transient, Unauthorized
from crawlerd.core.redaction import cut

if TYPE_CHECKING:
    from collections.abc import Callable

    from crawlerd.core.configuration import AccountSpec
    from crawlerd.source import Source

HOME_REGION = "us-east-1"
KEY_PARTS = "ACCESS_KEY_ID:SECRET_ACCESS_KEY or ACCESS_KEY_ID:SECRET_ACCESS_KEY:SESSION_TOKEN"
# crawlerd retries by itself and counts each request. By default, boto3 would send up to five.
NO_RETRIES = Config(
    retries={"mode": "standard", "total_max_attempts": 1},
    request_checksum_calculation="when_required",  # otherwise S3's follows the body, which some servers do not accept
)
# Other servers may have no DNS names for buckets, so the bucket goes into the path.
OF_OTHER_SERVERS = NO_RETRIES.merge(Config(s3={"addressing_style": "path"}))
# For the requests with which boto3 itself gets credentials; our deadline does not apply to them.
OF_CREDENTIALS = Config(retries={"mode": "standard", "total_max_attempts": 2}, connect_timeout=5, read_timeout=10)
NO_CREDENTIALS = (
    exceptions.NoCredentialsError,
    exceptions.PartialCredentialsError,
    exceptions.CredentialRetrievalError,
    exceptions.ConfigNotFound,
    exceptions.ConfigParseError,
    exceptions.InvalidConfigError,
    exceptions.MetadataRetrievalError,
    exceptions.ProfileNotFound,
    exceptions.RefreshWithMFAUnsupportedError,
    exceptions.SSOError,
    exceptions.TokenRetrievalError,
    exceptions.UnknownCredentialError,
)
# What botocore's parsers raise for bodies that are not an answer of AWS.
UNPARSED = (ValueError, TypeError, LookupError, AttributeError, RecursionError)


class AwsClient:
    """The AWS connections of a worker process, shared by all its threads and accounts.

    connections: most kept open a host.
    """

    def __init__(self, *, connections: int) -> None:
        self._adapter = DeadlineAdapter(connections, most_hosts(connections))
        self.deadlines = Deadlines()
        self._sessions: dict[str, AwsSession] = {}
        self._lock, self._renewing = threading.Lock(), threading.Lock()

    def open(self, source: Source, account: AccountSpec) -> AwsApi:
        """The account's services, for one attempt at one task."""
        return AwsApi(self, account)

    def session(self, account: AccountSpec) -> AwsSession:
        with self._lock:
            session = self._sessions.get(account.name)
            if session is None or session.secret != account.secret:
                session = self._sessions[account.name] = AwsSession(account, self._adapter)
            return session

    def renew(self, account: AccountSpec, used: AwsSession) -> bool:
        """Gets new credentials after those that were `used` have been refused. Returns whether there are others now:
        from a role, a file or boto3's chain, but not from the configuration, which is read once."""
        with self._renewing:
            if self.session(account) is not used:
                return True
            fresh = AwsSession(account, self._adapter)
            renewed = fresh.identity() != used.identity()
            with self._lock:
                self._sessions[account.name] = fresh
            return renewed

    def close(self) -> None:
        """Closes all connections. No request may be under way."""
        self.deadlines.close()
        self._adapter.close()


class AwsSession:
    """An account's credentials, and its boto3 clients, one for each service, which all threads share."""

    def __init__(self, account: AccountSpec, adapter: DeadlineAdapter) -> None:
        self._account, self._adapter = account, adapter
        self._options = msgspec.convert(account.options, AwsOptions)
        self._lock = threading.Lock()
        self._clients: dict[str, Any] = {}
        self._session: Any = None
        self._signed = False

    def client(self, service: str) -> Any:
        with self._lock:  # sessions, and the construction of clients, are not thread-safe
            client = self._clients.get(service)
            if client is None:
                url = self._options.endpoint_url or None
                client = self._opened().client(
                    service, endpoint_url=url, config=OF_OTHER_SERVERS if url else NO_RETRIES
                )
                client.meta.events.register("before-send", self._send)
                self._clients[service] = client
            return client

    @property
    def secret(self) -> str:
        return self._account.secret

    def secrets(self) -> tuple[str, ...]:
        """The credentials that have signed a request. Does not look for new ones."""
        parts = (self.identity() or ())[:3]  # the next part is the account's number, which is not secret
        return tuple(filter(None, parts)) if self._signed else ()

    def authenticate(self) -> None:
        """Gets the credentials, when they are needed before a request."""
        self._signed = self._signed or self.identity() is not None

    def identity(self) -> tuple[str, ...] | None:
        """A tuple that identifies these credentials; None when there are none, or they cannot be got."""
        try:
            with self._lock:
                credentials = self._opened().get_credentials()
            return credentials and tuple(credentials.get_frozen_credentials())
        except (exceptions.BotoCoreError, exceptions.ClientError, CrawlerdError):
            return None

    def _opened(self) -> Any:
        if self._session is None:
            session = self._base_session()
            region = self._options.region or session.get_config_variable("region") or HOME_REGION
            if self._options.role_arn:
                session = self._in_role(session, region)
            # Times as text, as records have them.
            session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_utc_text)
            self._session = boto3.Session(botocore_session=session, region_name=region)
        return self._session

    def _base_session(self) -> Any:
        session = botocore.session.Session(profile=self._options.profile or None)
        if self._account.secret:
            parts = self._account.secret.split(":")
            if len(parts) not in (2, 3) or not all(parts):
                raise Unauthorized(f"api_key must be {KEY_PARTS}")
            session.set_credentials(*parts)
        return session

    def _in_role(self, base: Any, region: str) -> Any:
        """A session that assumes the role, again and again before its credentials expire."""
        own = base.get_credentials()
        if own is None:
            raise exceptions.NoCredentialsError
        fetcher = botocore.credentials.AssumeRoleCredentialFetcher(
            partial(
                base.create_client,
                region_name=region,
                endpoint_url=self._options.endpoint_url or None,
                config=OF_CREDENTIALS,
            ),
            own,
            self._options.role_arn,
            {"RoleSessionName": "crawlerd"}
            | ({"ExternalId": self._options.external_id} if self._options.external_id else {}),
        )
        session = botocore.session.Session(profile=self._options.profile or None)
        session.register_component(
            "credential_provider", botocore.credentials.CredentialResolver([_Role(fetcher.fetch_credentials)])
        )
        return session

    def _send(self, request: Any, **_: Any) -> AWSResponse:
        """Sends what boto3 has prepared and signed over our own connections, so that our deadline applies."""
        self._signed = True
        deadline = current_deadline()
        if deadline.sent_at:
            raise Permanent("this call needs more than one request")
        prepared = PreparedRequest()
        prepared.method, prepared.url, prepared.body = request.method, request.url, request.body
        prepared.headers = CaseInsensitiveDict(request.headers.items())
        raw = self._adapter.send(prepared, stream=True, timeout=None).raw
        # An object is requested in ranges: its Content-Encoding applies to the whole object, not to a range.
        decode = not (request.stream_output and raw.status < 300)
        body = read_body(raw, self._account.max_body_bytes, decode=decode)
        deadline.answered(raw.status, raw.tell() or len(body))
        whole = urllib3.HTTPResponse(BytesIO(body), status=raw.status, preload_content=False)
        return AWSResponse(request.url, raw.status, raw.headers, whole)


class _Role:
    """A provider of credentials in botocore's chain: it assumes a role."""

    METHOD = CANONICAL_NAME = "crawlerd-role"

    def __init__(self, fetch: Callable[[], dict[str, str]]) -> None:
        self._fetch = fetch

    def load(self) -> Any:
        return botocore.credentials.DeferredRefreshableCredentials(self._fetch, self.METHOD)


class AwsApi:
    """The access of one attempt to an account's services: `crawlerd.source.AwsApi`.

    sent_at, done_at: when the request was sent, and when its response was complete (or given up), in monotonic seconds;
        0.0 when no request was sent.
    status, received: see `Deadline`.
    origin: the service's address.
    asked: the operation, the service's address, and the status of an error, 0 without one; None when no request was
        sent.
    """

    def __init__(self, client: AwsClient, account: AccountSpec) -> None:
        self.sent_at = 0.0
        self.done_at = 0.0
        self.status = self.received = 0
        self.origin = ""
        self.asked: tuple[str, str, int] | None = None
        self._client, self._account = client, account
        self._used = self._wanted = False
        self.heard: Callable[[Any, bool], None] | None = None  # called with answers, and whether they are errors

    @property
    def elsewhere(self) -> bool:
        """See `crawlerd.source.AwsApi`."""
        return bool(self._account.options.get("endpoint_url"))

    def secrets(self) -> tuple[str, ...]:
        """See `crawlerd.engine.redacting.Secretive`."""
        return self._client.session(self._account).secrets() if self._used or self._wanted else ()

    def authenticate(self) -> None:
        """See `crawlerd.engine.redacting.Secretive`."""
        self._wanted = True
        self._client.session(self._account).authenticate()

    def call(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        """Sends the task's one request, such as `call("organizations", "list_roots", MaxResults=20)`. Returns the
        answer, with times as text. Raises Transient, Throttled, Permanent, NotFound, Denied or Unauthorized for every
        failure, and RuntimeError for a second request.
        """
        if self._used:
            raise RuntimeError("a task makes one request: yield another task for the next one")
        self._used = True
        session = self._client.session(self._account)
        answer = self._answer(session, service, operation, parameters)
        if isinstance(answer, Unauthorized) and self._client.renew(self._account, session):
            raise Transient(f"{answer}; there are new credentials now, so the next attempt uses those")
        if isinstance(answer, Exception):
            raise answer
        answer.pop("ResponseMetadata", None)
        if self.heard is not None:
            self.heard(answer, False)
        return answer

    def _answer(
        self, session: AwsSession, service: str, operation: str, parameters: dict[str, Any]
    ) -> dict[str, Any] | CrawlerdError:
        deadline = Deadline(self._account.request_seconds)
        self._client.deadlines.start(deadline)
        origin, status = f"AWS {service}", 0
        try:
            client = session.client(service)
            origin = client.meta.endpoint_url
            answer: dict[str, Any] | CrawlerdError = getattr(client, operation)(**parameters)
        except exceptions.ClientError as error:
            answer = error_for(error.response, time.time())
            status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            if error.operation_name == "AssumeRole" and not isinstance(answer, Transient):
                answer = Unauthorized(f"cannot assume the role: {answer}")
        except CrawlerdError as error:
            answer = error
        except NO_CREDENTIALS as error:
            answer = Unauthorized(_words(error))
        except (exceptions.ParamValidationError, exceptions.DataNotFoundError, exceptions.UnknownRegionError) as error:
            answer = Permanent(_words(error))
        except exceptions.HTTPClientError as error:  # from requests for credentials
            answer = Transient(_words(error), fault="connection")
        except exceptions.BotoCoreError as error:  # the body is not a valid answer
            answer = Transient(_words(error))
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            answer = failure_error(error, origin=origin, connected=deadline.sent_at > 0)
        except UNPARSED as error:
            if not deadline.sent_at:
                raise
            answer = Transient(f"wrong body: {type(error).__name__} while boto3 parsed it")
        finally:
            self._client.deadlines.stop(deadline)
            self.sent_at = deadline.sent_at
            self.done_at = time.monotonic() if deadline.sent_at else 0.0
            self.status, self.received = deadline.status, deadline.received
            self.origin = origin
            if self.sent_at:
                self.asked = f"{service} {operation}", origin, status
        if deadline.expired:
            text = f"no complete response from {origin} within {self._account.request_seconds:g} s"
            return Transient(text, fault="answer" if deadline.sent_at else "connection")
        return answer


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {cut(str(error), 300)}"


def _utc_text(value: Any) -> str:
    at = botocore.utils.parse_timestamp(value).astimezone(UTC)
    return str(at.isoformat().replace("+00:00", "Z"))
