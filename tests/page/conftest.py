"""The page over a real frontier, without a server."""

from __future__ import annotations

import math
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from starlette.applications import Starlette
from support.asgi import Response, get, post

from crawlerd.core.task import NewTask
from crawlerd.engine.attempt_counts import AttemptCounts
from crawlerd.engine.commit_counts import CommitCounts
from crawlerd.frontier import open_frontier, open_reader
from crawlerd.operations.live_facts import Unheard
from crawlerd.operations.problem import ProblemCode
from crawlerd.service import page
from crawlerd.service.resources import Answer, problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from crawlerd.frontier.contract import Frontier
    from crawlerd.frontier.reader_contract import FrontierReader


class Quiet(Unheard):
    """An engine that has nothing to tell of."""

    trouble: str | None = None
    storage_trouble: str | None = None

    def account_rates(self) -> Any:
        return {}

    def in_force(self) -> Any:
        return None


class World:
    """
    may_act: of whoever asks.
    asked: what the API was asked for.
    answer: what it says.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = time.time()
        self._frontier: Frontier | None = None
        self._readers: list[FrontierReader] = []
        self.insight = Quiet()
        self.imports: dict[str, Any] = {}
        self.settings = SimpleNamespace(
            imports=self.imports,
            accounts={},
            sinks={},
            sources={},
            warnings=(),
            file=folder / "crawlerd.toml",
            daemon=SimpleNamespace(state_dir=folder, listen=("127.0.0.1", 9108)),
        )
        self.engine = SimpleNamespace(
            insight=self.insight,
            settings=self.settings,
            backups=SimpleNamespace(latest=None),
            attempt_counts=AttemptCounts(),
            store=SimpleNamespace(counts=CommitCounts(), progress_at=math.inf),
            agenda=SimpleNamespace(progress_at=math.inf),
            failure=None,
            dispatcher=SimpleNamespace(
                worker_pids={}, draining=False, leased=0, progress_at=math.inf, without_workers=lambda: None
            ),
        )
        self.notifier = SimpleNamespace(troubles=lambda: [])
        self.keys: Any = None
        self.may = True
        self.asked: list[tuple[str, str, bytes, str | None]] = []
        self.answer = Answer(200, b"{}")
        self.app = Starlette(routes=page.routes(self))  # type: ignore[arg-type] # as much of it as the page reads

    @property
    def frontier(self) -> Frontier:
        if self._frontier is None:
            self._frontier = open_frontier(self.folder, now=self.now)
        return self._frontier

    def close(self) -> None:
        for reader in self._readers:
            reader.close()
        if self._frontier is not None:
            self._frontier.close()

    def run(self, name: str = "acme", *, at: float | None = None, account: str | None = None) -> int:
        """One that is under way."""
        number = self.frontier.account(account or name, "shop")
        started = self.frontier.start_run(
            name, number, [NewTask("page", name, 5, "{}")], full=True, now=at or self.now, began="by schedule"
        )
        return started.run

    def get(self, target: str, headers: Mapping[str, str] | None = None, root: str = "") -> Response:
        return get(self.app, target, headers, root)

    def post(self, target: str, fields: Mapping[str, str]) -> Response:
        return post(self.app, target, fields)

    def reading(self) -> FrontierReader:
        """Closed with the world."""
        found = open_reader(self.folder)
        assert found
        self._readers.append(found)
        return found

    # what the server gives the page

    def open_reader(self) -> FrontierReader | None:
        return open_reader(self.folder)

    def by(self, request: object) -> str:
        return "eva"

    def may_look(self, request: object) -> bool:
        return True

    def may_act(self, request: object) -> bool:
        return self.may

    def may_see_payloads(self, request: object) -> bool:
        return self.may

    def ask(self, request: object, method: str, target: str, body: bytes = b"", key: str | None = None) -> Answer:
        if not self.may:
            return problem(ProblemCode.READ_ONLY, "you may look, but not change anything")
        self.asked.append((method, target, body, key))
        return self.answer


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path)
    yield found
    found.close()
