"""A local API that deliveries go to, which notes what it applies, and a source whose records change."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from aiohttp import web

from support.installation import NO_LIMITS
from support.local_server import LocalServer, reset

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from support.installation import Installation

TOKEN, GONE = "crm-token", "gone"

# Records by key, with their revisions, from a file; `noise` differs each time. Keys that are not there are swept.
THINGS = """
import json, time

source = Source("things", base_url="http://127.0.0.1:9", streams=["things"])
FILE, PAGES = Path(FOLDER) / "things.json", 20


@dataclass(frozen=True)
class Page(TaskArgs, kind="things.page"):
    number: int


@dataclass(frozen=True)
class End(TaskArgs, kind="things.end"):
    pass


@source.starts
def first(plan):
    yield Gather([Page(number) for number in range(PAGES)], then=End(), if_dead="fail")


@source.handles(Page, cost=0)
def page(api, args):
    for place, (key, revision) in enumerate(sorted(json.loads(FILE.read_text()).items())):
        if place % PAGES == args.number:
            yield Record("things", key, {"id": key, "revision": revision, "noise": time.time(), "a": {"b": [key]}})


@source.handles(End, cost=0)
def end(api, args):
    yield Sweep("things")
    yield Cursor("things", "read")
"""


class Asked(NamedTuple):
    """key: the Idempotency-Key."""

    method: str
    path: str
    key: str
    ids: tuple[str, ...]


class Crm(LocalServer):
    """Takes POSTs of {"things": […]} and DELETEs of /things/ID, each `Idempotency-Key` once.

    history: what was applied to each record, in its order: revisions and GONE.
    asked: all requests, when they came. crossed: records of which two requests were under way at once.
    misbehave: what a request meets, called with it: "reset" (after it was applied), a status (before), "fewer" (one
        less is accepted than was applied), or None.
    """

    def __init__(self, misbehave: Callable[[Asked], str | int | None] = lambda asked: None, latency: float = 0.0):
        super().__init__()
        self.misbehave, self.latency = misbehave, latency
        self.history: defaultdict[str, list[Any]] = defaultdict(list)
        self.asked: list[Asked] = []
        self.crossed: list[str] = []
        self.token = TOKEN
        self._under_way: Counter[str] = Counter()
        self._applied: dict[str, Any] = {}

    @property
    def held(self) -> dict[str, Any]:
        """The last revision of each record that is there."""
        return {key: each[-1] for key, each in self.history.items() if each[-1] != GONE}

    async def respond(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            text = await request.read()
        except ConnectionError:
            return web.Response()
        sent = json.loads(text) if text else {"things": []}
        body = sent.get("things", [sent])
        ids = tuple(each["id"] for each in body) or (request.path.rpartition("/")[2],)
        asked = Asked(request.method, request.raw_path, request.headers.get("Idempotency-Key", ""), ids)
        self.asked.append(asked)
        self.crossed += [each for each in ids if self._under_way[each]]
        self._under_way.update(ids)
        try:
            await asyncio.sleep(self.latency)
            return self._answer(request, asked, body)
        finally:
            self._under_way.subtract(ids)

    def _answer(self, request: web.BaseRequest, asked: Asked, body: list[Any]) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.Response(status=401)
        fault = self.misbehave(asked)
        if isinstance(fault, int):
            return web.Response(status=fault, headers={"Retry-After": "0"} if fault == 429 else {})
        if asked.key not in self._applied:
            self._applied[asked.key] = asked.ids
            for each in body:
                self.history[each["id"]].append(each["revision"])
            if request.method == "DELETE":
                self.history[asked.ids[0]].append(GONE)
        elif self._applied[asked.key] != asked.ids:
            return web.Response(status=500, text="another batch under a known key")
        if fault == "reset":
            return reset(request)
        count = len(body) - (fault == "fewer")
        return web.Response(body=json.dumps({"accepted": count}), content_type="application/json")


def things(here: Installation, crm: Crm, *, crm_account: Mapping[str, Any] | None = None, **sink: Any) -> Path:
    """Makes `things` an import that is delivered to the CRM. The file that its records are read from."""
    file = here.folder / "things.json"
    here.add_source("things", f"FOLDER = {str(here.folder)!r}\n{THINGS}")
    here.environment["CRM_TOKEN"] = TOKEN
    here.config["accounts"]["crm"] = {
        "source": "http",
        "base_url": crm.url,
        "token": {"env": "CRM_TOKEN"},
        **NO_LIMITS,
        **(crm_account or {}),
    }
    here.config["sinks"] = {
        "crm": {
            "type": "http",
            "account": "crm",
            "path": "/things",
            "records": "things",
            "fields": {"id": "id", "revision": "revision"},
            "accepted": "accepted",
            "retry_delay": "50ms",
            "tombstones": {"path": "/things/{key}"},
            **sink,
        }
    }
    here.config["imports"]["things"]["sink"] = "crm"
    return file
