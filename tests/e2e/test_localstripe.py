"""An outside check: localstripe, a fake of Stripe that others wrote and that knows nothing of our formula."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections import defaultdict
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from support.relay import Answer, Relay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.installation import Installation

# It would write all that it holds to a file in /tmp with every request.
SERVE = """
import socket, sys
from aiohttp import web
from localstripe import resources, server
resources.Store.dump_to_disk = lambda self: None
web.run_app(server.app, sock=socket.socket(fileno=int(sys.argv[1])), print=None)
"""
PRODUCT = {"name": "Hosting", "type": "service"}
ACCOUNT = Answer(200, b'{"id": "acct_localstripe", "object": "account"}')  # which it does not have


class LocalStripe:
    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._connection = HTTPConnection("127.0.0.1", port, timeout=20)

    def ask(self, method: str, path: str, **fields: Any) -> Any:
        headers = {"Authorization": "Bearer sk_test_1", "Content-Type": "application/x-www-form-urlencoded"}
        self._connection.request(method, path, urlencode(fields), headers)
        response = self._connection.getresponse()
        body = response.read()
        assert response.status == 200, body
        return json.loads(body)

    def add(self, stream: str, **fields: Any) -> str:
        key: str = self.ask("POST", f"/v1/{stream}", **fields)["id"]
        return key

    def close(self) -> None:
        self._connection.close()


@contextmanager
def localstripe() -> Iterator[LocalStripe]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(listening.fileno())],
            pass_fds=[listening.fileno()],
            stderr=subprocess.DEVNULL,
        )
        with process:
            server = LocalStripe(listening.getsockname()[1])
            try:
                yield server
            finally:
                server.close()
                process.kill()


def test_all_that_localstripe_has_is_imported_as_it_says(install: Callable[..., Installation]) -> None:
    pytest.importorskip("localstripe")
    made = defaultdict[str, list[str]](list)
    with localstripe() as server:
        for number in range(230):  # three pages
            made["customers"].append(server.add("customers", email=f"{number}@example.com", name=f"Zoë {number}"))
        plan = server.add(
            "plans", amount=0, currency="eur", interval="month", product=server.add("products", **PRODUCT)
        )
        made["products"].append(server.ask("GET", f"/v1/plans/{plan}")["product"])
        for number in range(3):
            made["products"].append(server.add("products", **PRODUCT))
            made["coupons"].append(server.add("coupons", id=f"c{number}", percent_off=10 + number, duration="once"))
        for customer in made["customers"][:4]:
            for amount in range(1, 8):
                server.add("invoiceitems", customer=customer, amount=100 * amount, currency="eur")
            trial = {"customer": customer, "items[0][plan]": plan, "trial_period_days": 30}
            made["subscriptions"].append(server.add("subscriptions", **trial))
            made["invoices"].append(server.add("invoices", customer=customer))
            made["invoiceitems"].append(server.add("invoiceitems", customer=customer, amount=5, currency="eur"))
        objects = {
            stream: {key: server.ask("GET", f"/v1/{stream}/{key}") for key in keys} for stream, keys in made.items()
        }
        with Relay(server.url, lambda path: ACCOUNT if path == "/v1/account" else None) as relay:
            here = install(url=relay.url, streams=["invoice_items", "invoice_lines", "prices", *made])
            here.config["imports"]["a1"]["streams"].remove("invoiceitems")
            done = here.run("import", "a1", "--json")
    assert done.code == 3
    (run,) = done.json["imports"]["a1"]
    assert run["dead"] == 1
    assert "HTTP 404" in run["streams"]["prices"]["reason"]  # which it does not have either
    lines = {line["id"]: line for invoice in objects["invoices"].values() for line in invoice["lines"]["data"]}
    assert len(lines) == 4 * (7 + 1)
    assert here.imported("a1", "invoice_lines") == lines
    objects["invoice_items"] = objects.pop("invoiceitems")
    for stream, expected in objects.items():
        assert here.imported("a1", stream) == expected, stream
    here.assert_conserved()
