"""20 imports of a small API; each of the first has a trouble of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from support.rest_api import Answer, Request, RestApi
from support.shops import SHOP

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.installation import Installation

MANY = {"dead": 300, "slow": 2000, "throttled": 20}  # orders with a list of lines each; of the others, 3
LIMITS: dict[str, list[str]] = {
    "quota": ["3/hour"],
    "slow": ["20/second"],
    "dead": ["20/second"],
}
TROUBLED = ("paused", "fails", "throttled", "quota", "down", "refused", "dead", "slow")
NAMES = (*TROUBLED, *(f"well{number}" for number in range(1, 21 - len(TROUBLED))))


def script(api: RestApi) -> Callable[[Request], Answer]:
    """The API of each account is below its name."""

    def answered(request: Request) -> Answer:
        _, account, *path = request.path.split("/")
        if account == "refused":
            return Answer({"error": "key revoked"}, 401)
        if account == "fails" and len(api.asked(request.path)) > 1:  # the first run is clean
            return Answer({"error": "no such list"}, 404)
        if path in (["orders"], ["stores"]):
            return Answer([{"id": number} for number in range(MANY.get(account, 3))])
        if account == "dead":
            return Answer({"error": "not like this"}, 400)
        if account == "throttled":
            return Answer({}, 429, {"Retry-After": "1"})
        return Answer([{"id": "line"}])

    return answered


def troubled(install: Callable[..., Installation], api: RestApi, down: str) -> Installation:
    """down: the address of an API that does not answer."""
    api.script = script(api)
    here = install(accounts=0)
    (here.folder / "source.toml").write_text(SHOP)
    for name in NAMES:
        account: dict[str, Any] = {
            "source": "rest",
            "description": "source.toml",
            "base_url": down if name == "down" else f"{api.url}/{name}",
            "limits": LIMITS.get(name, []),
            "retry_base": "20ms",
            "retry_cap": "100ms",
        }
        here.config["accounts"][name] = account
        here.config["imports"][name] = {
            "account": name,
            "sink": "sink",
            "streams": ["orders", "lines"],
            "schedule": "1s" if name == "fails" else "1d",
        }
    return here
