"""A daemon with an import for each trouble that an operator asks about, and its API with a switch for each."""

from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING, Any

from support.installation import NO_LIMITS, Installation
from support.rest_api import Answer, Request, RestApi
from support.shops import SHOP

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Self

    from support.installation import Running

DEAD, GONE = 1_000, 40  # dead letters of the two groups of `dead`
# What an API may say: markup, terminal escapes, marks that turn the reading direction; and at length.
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>'\"&\x1b[31m\u202eevil\u2066\x00" + "long" * 500
MARKUP = "<b onclick=alert(3)>bold</b>"
PAUSE = f"they move house {MARKUP}"
LONG = "a-name-as-long-as-names-may-be-without-any-place-to-break-it-at"  # 63 letters
TO_LOOK_AT = "refused", "dead", "fails", "locked", "quota", "down", "paused", "throttled", "hostile"
WELL = "well1", "well2", "well3"
ORDERS = {"slow": 6_000, "dead": DEAD + GONE, "quota": 20, "throttled": 5, "moving": 200, "long": 6_000}
LIMITS: Mapping[str, list[str]] = {
    "slow": ["20/second"],
    "long": ["20/second"],
    "moving": ["40/second"],
    "quota": ["3/hour"],
}
ON_DEMAND = "moving", "long", "never"


class FaultyDaemon:
    """Runs from entering to leaving the context.

    mended: accounts whose API is well from then on.
    hostile: one of its APIs says what harms a careless page, and one import has a name as long as may be.
    keys: what the API accepts of `refused`; `replace_key` is what its owner does then.
    """

    def __init__(
        self,
        folder: Path,
        daemon: Mapping[str, Any] | None = None,
        environment: Mapping[str, str] | None = None,
        *,
        hostile: bool = True,
    ) -> None:
        self.api = RestApi(self._answer)
        self.mended: set[str] = set()
        self.keys = {"new-key"}
        self.here = Installation(folder, accounts=0, daemon={"worker_processes": 1, **(daemon or {})})
        self._harmless = () if hostile else ("hostile", LONG)
        self.here.environment |= environment or {}
        self._key = folder / "refused.key"
        self._key.touch(0o600)
        self._key.write_text("old-key")
        self.daemon: Running
        self.url = ""

    def __enter__(self) -> Self:
        self.api.__enter__()
        self._configure()
        self.here.write()
        pause = self.here.run(
            "pause",
            "account",
            "paused",
            "--reason",
            "they move house" if self._harmless else PAUSE,
            "--until",
            "2031-01-31 12:00",
        )
        assert pause.code == 0, pause
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.here.close()
        self.api.__exit__(None, None, None)

    def start(self) -> None:
        self.daemon = self.here.start("run")
        self.url = self.daemon.says(r"(http://\S+?)/metrics")[1]

    def restart(self) -> None:
        """On the same port."""
        self.here.config["daemon"]["listen"] = self.url.removeprefix("http://")
        self.daemon.send(signal.SIGTERM)
        assert self.daemon.finish().code == 0
        self.start()

    def replace_key(self) -> None:
        self._key.write_text("new-key")

    def settle(self) -> None:
        """Waits until each trouble is there, and has `fails` fail."""
        for name in {"hostile", "dead", "fails", *WELL}.difference(self._harmless):
            self.daemon.says(rf"import {name}: run \d+ completed", 60)
        self.daemon.says("account refused .*401")
        assert self.here.run("import", "fails", "--no-wait").code == 0
        self.daemon.says("import fails: run .* failed")

    def run_of(self, name: str) -> int:
        """The newest run of an import."""
        ((number,),) = self.here.select("SELECT max(id) FROM run WHERE import = ?", name)
        return int(number)

    def letter_of(self, name: str) -> int:
        """The first dead letter of an import."""
        query = "SELECT min(seq) FROM dead JOIN run ON run.id = dead.run WHERE import = ?"
        ((number,),) = self.here.select(query, name)
        return int(number)

    # its API and its configuration

    def _answer(self, request: Request) -> Answer:
        _, account, *path = request.path.split("/")
        well = account in self.mended
        if account == "refused" and request.headers.get("authorization", "").removeprefix("Bearer ") not in self.keys:
            return Answer({"error": "key revoked"}, 401)
        if account == "fails" and not well and len(self.api.asked(request.path)) > 1:  # the first run is clean
            return Answer({"error": "no such list"}, 404)
        if account == "hostile" and path == ["orders"]:
            return Answer([{"id": f"<b onclick=alert({number})>{HOSTILE[:200]}"} for number in range(3)])
        if path in (["orders"], ["stores"]):
            return Answer([{"id": number} for number in range(ORDERS.get(account, 3))])
        if account == "dead" and not well:
            gone = int(path[1]) >= DEAD
            return Answer({"error": "gone"}, 410) if gone else Answer({"error": "not like this"}, 400)
        if account == "hostile" and not well:
            return Answer({"error": HOSTILE}, 400)
        if account == "throttled" and not well:
            return Answer({}, 429, {"Retry-After": "1"})
        return Answer([{"id": "line"}])

    def _configure(self) -> None:
        here = self.here
        (here.folder / "source.toml").write_text(SHOP)
        (here.folder / "keyed.toml").write_text(
            SHOP.replace("shop", "keyed").replace("[", 'auth = { type = "bearer" }\n[', 1)
        )
        (here.folder / "taken").mkdir()
        here.config["sinks"]["broken"] = {"type": "sqlite", "path": "taken"}
        with socket.create_server(("127.0.0.1", 0)) as closed:
            down = f"http://127.0.0.1:{closed.getsockname()[1]}"
        for name in (*TO_LOOK_AT, *WELL, *ON_DEMAND, "slow", LONG):
            if name in self._harmless:
                continue
            account = here.config["accounts"][name] = {
                **NO_LIMITS,
                "source": "rest",
                "description": "source.toml",
                "base_url": down if name == "down" else f"{self.api.url}/{name}",
                "limits": LIMITS.get(name, []),
                "retry_base": "20ms",
                "retry_cap": "100ms",
            }
            if name == "refused":
                account |= {"description": "keyed.toml", "api_key": {"file": self._key.name}}
            here.config["imports"][name] = {
                "account": name,
                "sink": "broken" if name == "locked" else "sink",
                "streams": ["orders", "lines"],
            }
            if name not in ON_DEMAND:
                here.config["imports"][name]["schedule"] = "1d"
