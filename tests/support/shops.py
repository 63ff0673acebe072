"""An API of orders with lines, and of stores with shelves, as many as a test wants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from support.rest_api import Answer, Request, RestApi

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.installation import Installation

SHOP = """
name = "shop"
[endpoints.orders]
path = "/orders"
[endpoints.lines]
parent = "orders"
path = "/orders/{parent.id}/lines"
[endpoints.stores]
path = "/stores"
[endpoints.shelves]
parent = "stores"
path = "/stores/{parent.id}/shelves"
"""


def serve(api: RestApi, many: int) -> None:
    """Lets it have so many orders and stores, each with one line or shelf of the same id."""

    def script(request: Request) -> Answer:
        if request.path in ("/orders", "/stores"):
            return Answer([{"id": number} for number in range(many)])
        return Answer([{"id": "l"}])

    api.script = script


def with_lines(many: int) -> Callable[[Request], Answer]:
    """A script: so many orders, each with a line of its own."""

    def script(request: Request) -> Answer:
        if request.path == "/orders":
            return Answer([{"id": str(number)} for number in range(many)])
        return Answer([{"id": f"l{request.path.split('/')[2]}"}])

    return script


def shop(
    install: Callable[..., Installation], api: RestApi, imports: dict[str, list[str]], **account: Any
) -> Installation:
    """Imports of one account, with their streams."""
    here = install(accounts=0)
    (here.folder / "source.toml").write_text(SHOP)
    here.config["accounts"]["acme"] = {"source": "rest", "description": "source.toml", "base_url": api.url, **account}
    for name, streams in imports.items():
        here.config["imports"][name] = {"account": "acme", "sink": "sink", "streams": streams}
    return here
