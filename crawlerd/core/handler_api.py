"""The API of an account as a handler uses it: requests and responses; see `crawlerd.source`. Pure."""

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
    """A response of the API.

    status: the HTTP status.
    headers: the headers; their names are in lower case.
    body: the bytes after decompression.
    url: the URL of the request, without credentials.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str = ""

    def utf8(self) -> bytes:
        """The body, which is a JSON text, in UTF-8, whatever charset the response declares. Raises Permanent when it
        has too many values."""
        return bounded(utf8(self.body, self.headers.get("content-type", "")))


Classifier = Callable[[Response], Exception | None]


class Api(Protocol):
    """The account's API: sends the account's credentials, and permits one request for each task."""

    @property
    def mode(self) -> str:
        """The mode that the credential shows, such as "live", which is not secret; see `Source`."""
        ...

    @property
    def options(self) -> Mapping[str, Any]:
        """The account's options that its source declares; see `Source`."""
        ...

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """Sends a GET and returns its parsed JSON. Raises Transient, Throttled, Permanent, Denied or Unauthorized.

        A number that Python would round is of a subclass of float or int, which a Record writes as the API did."""
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
        """Like `get`, for a response with a list of objects. The objects are not parsed, and become records as the API
        wrote them, see Records. Raises Transient when there is no such list.

        at: the member of the response that has the list; "" when the response is the list; None when the response is
            one object.
        wanted: the fields of the objects that the handler reads by `listing.objects.column(name)`.
        also: other members of the response that it reads by `listing.also[name]`.
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
        """Like `get`, with any method, a JSON body and headers. Returns the response, which is not parsed.

        json: the value of the body, or a msgspec.Raw that is JSON already.
        classify: replaces the source's own classifier.
        """
        ...


class AwsApi(Protocol):
    """The account's AWS services, for a source with `client="aws"`; permits one request for each task.

    elsewhere: the account's `endpoint_url` names another server than AWS.
    """

    @property
    def elsewhere(self) -> bool: ...

    def call(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        """Makes one boto3 call, such as `call("organizations", "list_roots", MaxResults=20)`, and returns its answer,
        with times as text. Raises Transient, Throttled, Permanent, NotFound, Denied or Unauthorized."""
        ...
