"""What a handler asks of its account's API, and what that answers; see `crawlerd.source`. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from crawlerd.core.charset import utf8
from crawlerd.core.jsontext import bounded

if TYPE_CHECKING:
    from crawlerd.core.listing import Listing


@dataclass(frozen=True, slots=True)
class Response:
    """What the API answered.

    status: the HTTP status.
    headers: their names are in lower case.
    body: the bytes after decompression.
    url: what was asked for, without credentials.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str = ""

    def utf8(self) -> bytes:
        """The body of a JSON text in UTF-8, whatever charset the response declares. Permanent when it holds more values
        than can be read."""
        return bounded(utf8(self.body, self.headers.get("content-type", "")))


Classifier = Callable[[Response], Exception | None]


class Api(Protocol):
    """The account's API: carries its credentials, and permits one request a task."""

    @property
    def mode(self) -> str:
        """What the credential says about itself without being secret, such as "live"; see `Source`."""
        ...

    @property
    def options(self) -> Mapping[str, Any]:
        """The keys of the account that its source declares; see `Source`."""
        ...

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """The parsed JSON of one GET; raises Transient, Throttled, Permanent, Denied or Unauthorized.

        Numbers that Python would round are of subclasses of float and int which a Record writes as the API did."""
        ...

    def listing(
        self,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        at: str | None = "",
        wanted: Sequence[str] = ("id",),
        also: Sequence[str] = (),
    ) -> Listing:
        """Like `get`, for a response that is a list of objects, or an object with that list as its member `at`, or,
        with None, one object.

        The objects are not parsed, and become records as the API wrote them, see Records. Transient when there is no
        such list.

        wanted: their fields that the handler looks at, by `listing.objects.column(name)`.
        also: other members of the response, by `listing.also[name]`.
        """
        ...

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        classify: Classifier | None = None,
    ) -> Response:
        """Like `get`, with any method, a JSON body and headers; returns the response, not yet parsed.

        json: what becomes JSON, or a msgspec.Raw of what is.
        classify: replaces the source's own.
        """
        ...


class AwsApi(Protocol):
    """The account's AWS services, for a source with `client="aws"`; permits one request a task.

    elsewhere: they are those of another server than AWS, as the account's `endpoint_url` says.
    """

    @property
    def elsewhere(self) -> bool: ...

    def call(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        """The answer of one boto3 call, such as `call("organizations", "list_roots", MaxResults=20)`, times as text;
        raises Transient, Throttled, Permanent, NotFound, Denied or Unauthorized."""
        ...
