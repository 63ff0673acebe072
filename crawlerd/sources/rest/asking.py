"""The request for a page of a list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from crawlerd.core.redaction import cut
from crawlerd.core.urls import without
from crawlerd.sources.rest.authentication import KeyParameter
from crawlerd.sources.rest.expressions import fill, text
from crawlerd.sources.rest.incremental import parameter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crawlerd.sources.rest.description import Description
    from crawlerd.sources.rest.page_overlap import Place
    from crawlerd.sources.rest.pages import Page


class Request(NamedTuple):
    """The request for a page."""

    path: str
    parameters: dict[str, Any]
    headers: dict[str, str]


class Asking:
    """What the description says about an endpoint's requests."""

    def __init__(self, description: Description, name: str) -> None:
        self.name = name
        self._spec = description.endpoints[name]
        self._parameters = {**description.parameters, **self._spec.parameters}
        self._paginator = self._spec.paginator or description.paginator
        self._auth = description.auth

    def request(self, args: Page, place: Place, variables: Mapping[str, str]) -> Request:
        """The request for a page. Raises Unfit if a field's value cannot be used there."""
        ask = self._paginator.ask(args.at, place.size)
        if ask.url is not None:
            return Request(ask.url, {}, ask.headers)
        values: dict[str, Any] = {f"variables.{name}": value for name, value in variables.items()}
        values |= {f"parent.{name}": value for name, value in args.parent.items()}
        parameters: dict[str, Any] = {name: _filled(each, values) for name, each in self._parameters.items()}
        rule = self._spec.incremental
        if rule and rule.parameter:
            since = place.reached or args.since.get(self.name)
            if since or rule.start:
                parameters[rule.parameter] = parameter(rule, since) if since else rule.start
        parameters |= ask.parameters
        return Request(fill(self._spec.path, values, in_path=True), parameters, ask.headers)

    def without_key(self, at: Any) -> Any:
        """The same without the account's key, which a next page's URL may repeat and which must not be stored in the
        frontier. The client adds it to each request."""
        if not isinstance(self._auth, KeyParameter) or not isinstance(at, str) or "?" not in at:
            return at
        return without(self._auth.name, at)

    def shown(self, args: Page) -> str:
        """Which page it is, for people."""
        where = ", ".join(f"{name} {value}" for name, value in args.parent.items())
        return f"{where or self.name} at {cut(args.at, 100)}" if args.at is not None else where or self.name


def _filled(value: Any, values: Mapping[str, Any]) -> Any:
    """The value of a query parameter; a list makes it appear several times."""
    if isinstance(value, list):
        return [_filled(each, values) for each in value]
    return fill(value, values) if isinstance(value, str) else text(value, "")
