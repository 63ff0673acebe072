"""Twenty imports against an API that limits, fails and goes away, operated by commands all along, over `kill -9`.

Shops with a key, a limit and troubles of their own: some answers go wrong, keys are refused for a while, a quota is
used up, a request is answered with 500 each time, whole origins are away. Meanwhile people ask what is going on, pause
and resume, and start imports. At the end all troubles end, and each import runs once more: what is in the sink must be
what the shops have, and no shop may have seen more than its limit.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import tempfile
import time
from collections import Counter
from contextlib import closing
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import apsw

from bench.rig.installation import Installation, crawlerd
from bench.rig.report import about, parsed, table
from bench.rig.shops import DESCRIPTION, Shop, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ORIGINS, SHOPS = 4, 20
QUOTA = "shop12"  # it has an hour's quota that is used up, and is not waited for at the end
LIMIT = 6  # requests a second that a shop accepts, and that its account is told
COMMAND_SECONDS = 30.0


class Asked(NamedTuple):
    """A command that was run."""

    words: tuple[str, ...]
    code: int
    seconds: float
    said: str


class Rehearsal:
    """One installation, its shops, and its daemon."""

    def __init__(self, place: Path, shops: Mapping[str, Shop], urls: Mapping[str, str], seed: int) -> None:
        self.shops, self.random = shops, random.Random(seed)
        self.here = here = Installation(place)
        (place / "source.toml").write_text(DESCRIPTION)
        for number, (name, shop) in enumerate(shops.items()):
            limits = {"limits": [f"{LIMIT}/second"]}
            if name == QUOTA:
                limits = {"limits": [f"{LIMIT}/second", "100/hour"]}
            if number == 14:
                limits = {"limits": ["auto"]}  # it is found out
            here.add(
                name,
                "rest",
                ["*"],
                key=name,
                description="source.toml",
                base_url=urls[name],
                retry_base="1s",
                retry_cap="10s",
                attempts=8,
                **limits,
            )
            here.repeat(name, "30s" if number < 10 else "2m")
            shop.add(40 + 5 * number)
        here.write()
        self.asked: list[Asked] = []
        self._log = (place / "daemon.log").open("ab")
        self.daemon = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            crawlerd("run"), cwd=self.here.place, env=self.here.environment, stderr=self._log, stdout=self._log
        )

    def kill(self) -> None:
        """SIGKILL, and a new start."""
        self.daemon.kill()
        self.daemon.wait()
        self.daemon = self._start()

    def stop(self) -> int:
        self.daemon.send_signal(signal.SIGTERM)
        return self.daemon.wait(60)

    def ask(self, *words: str) -> str:
        """A command's output."""
        since = time.monotonic()
        done = subprocess.run(
            crawlerd(*words),
            cwd=self.here.place,
            env=self.here.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_SECONDS,
        )
        self.asked.append(Asked(words, done.returncode, time.monotonic() - since, done.stderr[-400:]))
        return done.stdout

    def questions(self) -> Iterator[Callable[[], object]]:
        """What people do, over and over."""
        names = cycle(self.shops)
        while True:
            name = next(names)
            yield partial(self.ask, "status")
            yield partial(self.ask, "why", "import", name)
            yield partial(self.ask, "runs", "--limit", "10")
            yield partial(self.ask, "pause", "account", name, "--reason", "a rehearsal", "--for", "20s")
            yield partial(self.ask, "accounts", "--needs-a-look")
            yield partial(self.ask, "accounts", "show", name)
            yield partial(self.ask, "run", "show", str(max(1, self.last_run())))
            yield partial(self.ask, "resume", "account", name)
            yield partial(self.ask, "audit")
            yield partial(self.ask, "dead", "list")
            yield partial(self.ask, "imports")
            yield partial(self.ask, "schedule", name)
            yield partial(self.ask, "reload")

    def last_run(self) -> int:
        found: int = self.rows(self.here.state_dir / "frontier.db", "SELECT coalesce(max(id), 0) FROM run")[0][0]
        return found

    def clean_since(self, moment: float) -> set[str]:
        """The imports that have had a whole run since then, Unix seconds."""
        statement = "SELECT DISTINCT import FROM run WHERE state LIKE 'completed%' AND started_at > ?"
        return {name for (name,) in self.rows(self.here.state_dir / "frontier.db", statement, moment)}

    @staticmethod
    def rows(path: Path, statement: str, *bindings: object) -> list[tuple[Any, ...]]:
        with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as database:
            database.set_busy_timeout(10_000)
            return list(database.execute(statement, bindings))

    def wrong(self, name: str) -> list[str]:
        """What the sink has of a shop and should not, or the other way round."""
        shop, found = self.shops[name], []
        for stream, wanted in (
            ("orders", {str(each["id"]): each for each in shop.orders}),
            ("lines", {each["id"]: each for order in shop.orders for each in shop.lines(order["id"])}),
        ):
            statement = f'SELECT id, data FROM "shop_{stream}" WHERE account = ? AND deleted_at IS NULL'
            rows = self.rows(self.here.sink_path, statement, name)
            have = {key.rpartition("/")[2]: json.loads(data) for key, data in rows}
            if shop.poison >= 0 and stream == "lines":
                wanted = {key: each for key, each in wanted.items() if each["order"] != shop.poison}
            if len(have) != len(rows) or have.keys() != wanted.keys():
                found.append(f"{stream}: {len(rows)} rows, {len(wanted)} wanted")
            elif stream == "orders" and any(have[key]["state"] != wanted[key]["state"] for key in wanted):
                found.append(f"{stream}: an old state")
        return found


def trouble(shops: Mapping[str, Shop], elapsed: float) -> None:
    """The share of the time that has passed decides what is wrong now."""
    every = list(shops.values())
    for origin in range(ORIGINS):
        away = (elapsed * 8 + origin / ORIGINS) % 1 < 0.06 or 0.5 < elapsed < 0.51
        for shop in every[origin::ORIGINS]:
            shop.away = away
    every[15].refused = 0.2 < elapsed < 0.4
    every[16].refused = 0.6 < elapsed < 0.65


def edit(shops: Mapping[str, Shop], chance: random.Random) -> None:
    """Shops change."""
    for shop in shops.values():
        if chance.random() < 0.3:
            shop.orders[chance.randrange(len(shop.orders))]["state"] += 1
        if chance.random() < 0.1:
            shop.add(1)


def rehearse(it: Rehearsal, seconds: float, kills: int) -> int:
    """Returns how many kills there were."""
    start, killed, questions, edited = time.monotonic(), 0, it.questions(), 0.0
    moments = sorted(it.random.uniform(0.02, 0.98) * seconds for _ in range(kills))
    time.sleep(3)
    while (elapsed := time.monotonic() - start) < seconds:
        trouble(it.shops, elapsed / seconds)
        if elapsed - edited > 5:
            edited = elapsed
            edit(it.shops, it.random)
        if moments and elapsed > moments[0]:
            moments.pop(0)
            it.kill()
            killed += 1
        assert it.daemon.poll() is None, (it.here.place / "daemon.log").read_text()[-2000:]
        next(questions)()
        time.sleep(0.2)
    return killed


def settle(it: Rehearsal, seconds: float) -> set[str]:
    """Ends all troubles; returns the imports that have not run once more within the time."""
    for shop in it.shops.values():
        shop.away = shop.refused = False
        shop.faults = 0.0
    moment, deadline = time.time(), time.monotonic() + seconds
    while (missing := it.shops.keys() - {QUOTA} - it.clean_since(moment)) and time.monotonic() < deadline:
        it.ask("import", *sorted(missing), "--no-wait")
        time.sleep(2)
    return set(missing)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    args = parsed(parser, seconds=4.0, kills=1)
    print(about(), "\n")
    shops = {f"shop{number:02}": Shop(limit=LIMIT, faults=0.02) for number in range(SHOPS)}
    every = list(shops.items())
    every[13][1].latency = 0.3
    every[17][1].poison = 7
    origins = [dict(every[origin::ORIGINS]) for origin in range(ORIGINS)]
    with tempfile.TemporaryDirectory() as folder, serving(*origins) as servers:
        urls = {name: server.url for server in servers for name in server.shops}
        it = Rehearsal(Path(folder) / "rehearsal", shops, urls, args.seed)
        try:
            killed = rehearse(it, args.seconds, args.kills)
            missing = settle(it, 5.0 if args.smoke else 300.0)
        finally:
            code = it.stop()
            it.ask("frontier", "check")
        report(it, killed, missing, code)


def report(it: Rehearsal, killed: int, missing: set[str], code: int) -> None:
    commands = Counter(each.words[0] for each in it.asked)
    times = {name: sorted(each.seconds for each in it.asked if each.words[0] == name) for name in commands}
    print(
        table(
            ("command", "asked", "p50 s", "p95 s", "not 0"),
            [
                (
                    name,
                    count,
                    f"{times[name][count // 2]:.2f}",
                    f"{times[name][int(count * 0.95)]:.2f}",
                    sum(each.code != 0 for each in it.asked if each.words[0] == name),
                )
                for name, count in commands.items()
            ],
        ),
        "\n",
    )
    for each in [each for each in it.asked if each.code][:20]:
        print(f"  {' '.join(each.words)}: {each.code}: {each.said.strip()}")
    print(
        table(
            ("shop", "requests", "429", "while away", "401", "wrong"),
            [
                (
                    name,
                    shop.requests,
                    shop.throttled,
                    shop.while_away,
                    shop.unauthorized,
                    "no run since"
                    if name in missing
                    else ""
                    if name == QUOTA
                    else "; ".join(it.wrong(name)) or "nothing",
                )
                for name, shop in it.shops.items()
            ],
        ),
        "\n",
    )
    log = (it.here.place / "daemon.log").read_text()
    print(f"{killed} kills; the daemon ended with {code}; {log.count('Traceback')} tracebacks in its log")


if __name__ == "__main__":
    main()
