"""A full load of which lists leave out what lives: it is asked for again, and only what is gone is tombstoned."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from support.installation import NO_LIMITS, Installation
from support.relay import Answer, Relay

from crawlerd.demo.server import Delete, Server, running

if TYPE_CHECKING:
    from collections.abc import Callable


class Forgetful(Relay):
    """Leaves objects out of lists, and out of the lists that objects carry the first time that they are read.

    forgotten: ids. once: of objects below others.
    """

    forgotten: frozenset[str] = frozenset()
    once: frozenset[str] = frozenset()

    def _ask(self, target: str, authorization: str) -> Answer:
        answer = super()._ask(target, authorization)
        body = json.loads(answer.body)
        if answer.status != 200 or "data" not in body:
            return answer
        seen = set()
        for each in body["data"]:
            for field in each.values():
                if isinstance(field, dict) and isinstance(field.get("data"), list):
                    seen |= {item["id"] for item in field["data"]} & self.once
                    field["data"] = [item for item in field["data"] if item["id"] not in self.once]
        self.once -= seen
        body["data"] = [each for each in body["data"] if each["id"] not in self.forgotten]
        return Answer(200, json.dumps(body).encode())


def test_what_lists_leave_out_is_asked_for_again(install: Callable[..., Installation]) -> None:
    with running(accounts=1, customers=40, rate=0) as server, Forgetful(server.url) as relay:
        here = install(url=relay.url, account=NO_LIMITS)
        assert here.run("import", "a1").code == 0
        before = {stream: living(here, stream) for stream in ("charges", "payment_methods", "invoice_lines")}
        charges, methods, lines = (sorted(each) for each in before.values())
        delete(server, charges[:3])
        relay.forgotten = frozenset(charges[3:9] + methods[:5])
        relay.once = frozenset(lines[:7])
        done = here.run("import", "--full", "a1", "--json")
        assert done.code == 0, done.stderr
        assert living(here, "charges") == set(charges[3:])
        assert living(here, "payment_methods") == set(methods)
        assert living(here, "invoice_lines") == set(lines)
        assert len(relay.once) < 7  # it was asked for a second time
        assert {each.path for each in relay.seen if "/charges/" in each.path} == {
            f"/v1/charges/{key}" for key in charges[:9]
        }
        again = [each.path for each in relay.seen if each.path == "/v1/invoices"]
        requests = len(relay.seen)
        assert here.run("import", "--full", "a1").code == 0  # the charges and methods are still left out
        here.assert_conserved()
        assert len([each.path for each in relay.seen[requests:] if each.path == "/v1/invoices"]) * 3 == len(again)


def living(here: Installation, stream: str) -> set[str]:
    rows = here.select(f"SELECT id FROM stripe_{stream} WHERE deleted_at IS NULL", path=here.sink_path)
    return {key for (key,) in rows}


def delete(server: Server, ids: list[Any]) -> None:
    server.control(Delete(account=1, stream="charges", ids=ids))
