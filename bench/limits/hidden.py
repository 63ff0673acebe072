"""`limits = "auto"` over HTTP, against limits that nobody documented, as the server sees it: a markdown table."""

from __future__ import annotations

import argparse
import asyncio
import random
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

import msgspec
import requests
from aiohttp import web

from bench.limits.scenarios import ASKED, DSays, Scenario
from bench.limits.simulation import Figures, converged, figures, mean, worst
from bench.rig.installation import Installation, crawlerd
from bench.rig.meters import Others
from bench.rig.process import environment, install_source, module
from bench.rig.report import about, parsed, table

SCENARIOS: list[type[Scenario]] = [*ASKED, DSays]
Counts = tuple[dict[int, int], dict[int, int]]  # accepted and throttled, by second since the server began


class Hidden:
    """One scenario: its policy by the server's clock, and what it has counted."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.accepted: Counter[int] = Counter()
        self.throttled: Counter[int] = Counter()

    async def answer(self, now: float) -> web.Response:
        scenario = self.scenario
        if not scenario.policy.admit(now):
            self.throttled[int(now)] += 1
            headers = {} if scenario.retry_after is None else {"Retry-After": f"{scenario.retry_after:g}"}
            why = {"error": {"code": "too_many_concurrent" if scenario.says_concurrency else "rate_limit"}}
            return web.json_response(why, status=429, headers=headers)
        self.accepted[int(now)] += 1
        try:
            await asyncio.sleep(scenario.service())
        finally:
            scenario.policy.release()
        return web.json_response({})

    async def others(self, began: float) -> None:
        """Another program, which takes its share without asking over HTTP."""
        for at in self.scenario.others():
            await asyncio.sleep(max(0.0, began + at - time.monotonic()))
            self.scenario.policy.admit(time.monotonic() - began)

    async def changes(self, began: float) -> None:
        for at, rate in self.scenario.changes():
            await asyncio.sleep(max(0.0, began + at - time.monotonic()))
            self.scenario.policy.change(time.monotonic() - began, rate)


class Asked(msgspec.Struct, frozen=True):
    """Which scenarios: those whose titles begin with one of the letters of `only`, each with `repeat` seeds."""

    seed: int
    only: str
    repeat: int

    def scenarios(self) -> list[Scenario]:
        seeds = range(self.seed, self.seed + self.repeat)
        every = [kind(random.Random(seed + number)) for seed in seeds for number, kind in enumerate(SCENARIOS)]
        return [scenario for scenario in every if scenario.title[0] in self.only]


async def serve(asked: Asked) -> None:
    """The scenarios, each under its number, until it is told to stop."""
    hidden = [Hidden(scenario) for scenario in asked.scenarios()]
    began = time.monotonic()

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/counts":
            return web.json_response([(each.accepted, each.throttled) for each in hidden])
        return await hidden[int(request.path.split("/")[1])].answer(time.monotonic() - began)

    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.gather(*(part for each in hidden for part in (each.others(began), each.changes(began))))
    await asyncio.Event().wait()


def crawl(url: str, place: Path, count: int, seconds: float) -> None:
    """The daemon, on its own limits alone, for so long. count: of scenarios."""
    install_source(place, "asking")
    here = Installation(place, sources=place, worker_processes=2, threads_per_process=48)
    for number in range(count):
        here.add(f"s{number}", "asking", ["nothing"], base_url=f"{url}/{number}", limits="auto")
    here.write()
    with subprocess.Popen(
        crawlerd("import", "--all"), cwd=place, env=here.environment, stdout=subprocess.DEVNULL
    ) as process:
        time.sleep(seconds)
        process.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=900)
    parser.add_argument("--warm-up", type=int, default=60, help="seconds that are left out")
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--only", default="abcdef", help="scenarios, by the first letters of their titles")
    parser.add_argument("--repeat", type=int, default=1, help="of each scenario at once, each with another seed")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    args = parsed(parser, seconds=2, only="ad", warm_up=1)
    if args.serve:
        asyncio.run(serve(msgspec.json.decode(args.serve, type=Asked)))
        return
    asked = Asked(args.seed, args.only, args.repeat)
    print(about("requests"), "\n")
    load = Others()
    command = module("bench.limits.hidden", "--serve", msgspec.json.encode(asked).decode())
    scenarios = asked.scenarios()
    with (
        tempfile.TemporaryDirectory(dir=".") as name,
        subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as server,
    ):
        try:
            assert server.stdout is not None
            url = f"http://127.0.0.1:{int(server.stdout.readline())}"
            crawl(url, Path(name).resolve(), len(scenarios), args.seconds)
            answer = requests.get(f"{url}/counts", timeout=10).content
            counts = msgspec.json.decode(answer, type=list[Counts], strict=False)
        finally:
            server.terminate()
    requests_of: Counter[str] = Counter()
    found: dict[str, list[Figures]] = {}
    for scenario, (accepted, throttled) in zip(scenarios, counts, strict=True):
        seconds = range(args.seconds)
        scenario.warm_up = args.warm_up
        each = figures(
            scenario, [accepted.get(s, 0) for s in seconds], [throttled.get(s, 0) for s in seconds], args.seconds
        )
        found.setdefault(scenario.title, []).append(each)
        requests_of[scenario.title] += sum(accepted.values()) + sum(throttled.values())
    rows = [
        (title, f"{requests_of[title]:,}", mean(runs), worst(runs), converged(runs)) for title, runs in found.items()
    ]
    print(table(("hidden limit", "requests", "% used / % throttled", "the worst of each", "converges in"), rows))
    print(f"\n{load}")


if __name__ == "__main__":
    main()
