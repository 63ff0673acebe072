"""CPU of two commits, in turns: `python -m bench.compare OLD NEW`. Ends with 1 where NEW needs more.

Both are checked out into a temporary folder and run by this interpreter, with the packages that it has. Each workload
is an import by the command itself; CPU is user and system time of the main process and of its workers, start and end
included. Worse (or better) is only what lies outside both spreads; what is worse by more than 3% fails.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from bench.rig.installation import Installation
from bench.rig.local_server import serving
from bench.rig.meters import Others
from bench.rig.process import ROOT, environment, install_source
from bench.rig.report import about, parsed, table
from bench.sources.compared import CHAINS, PAGE, record

ROUNDS = 5
TOLERATED = 1.03  # times the old median
LAUNCH = """
import atexit, json, resource, runpy, sys
import crawlerd
assert crawlerd.__file__.startswith(sys.argv[1] + "/"), f"this is the wrong crawlerd: {crawlerd.__file__}"
def spent(who):
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime
def note():
    with open("spent.json", "w") as file:
        json.dump({"main": spent(resource.RUSAGE_SELF), "workers": spent(resource.RUSAGE_CHILDREN)}, file)
atexit.register(note)
sys.argv[:2] = ["crawlerd"]
runpy.run_module("crawlerd", run_name="__main__")
"""


class Workload(NamedTuple):
    """What an import does.

    number: of tasks or pages.
    per: what of an import one unit is.
    size: how many units an import has.
    again: the import runs a second time, which is measured for itself.
    """

    name: str
    stream: str
    number: int
    per: str
    size: int
    source: str = "compared"
    again: bool = False


def workloads(scale: float) -> list[Workload]:
    tasks, records, pages = (max(1, round(each * scale)) for each in (100_000, 4_000, 200))
    return [
        Workload("an empty import", "nothing", 0, "import", 1),
        Workload("no-op tasks", "nothing", tasks, "task", tasks),
        Workload("records", "records", records, "record", records * PAGE, again=True),
        Workload("pages, source in Python", "pages", pages, "page", pages * CHAINS),
        Workload("pages, source in TOML", "*", pages, "page", pages * CHAINS, source="rest"),
    ]


def description() -> str:
    """The same lists of the same API, as a declared source. By cursors: links with numbers are read twice by now."""
    lists = [
        f'[endpoints.c{chain}]\npath = "/pages"\nparameters = {{ chain = {chain}, cursor = 0 }}\nrecords = "data"\n'
        'incremental = { field = "updated_at", parameter = "since" }\n'
        for chain in range(CHAINS)
    ]
    return 'name = "declared"\npaginator = { type = "next_url", url = "next" }\n' + "".join(lists)


def page_of(target: str, pages: int) -> bytes:
    query = {name: int(values[0]) for name, values in parse_qs(urlsplit(target).query).items() if name != "since"}
    name = "cursor" if "cursor" in query else "page"
    chain, page = query["chain"], query[name]
    first = (chain * pages + page) * PAGE
    following = f"/pages?chain={chain}&{name}={page + 1}" if page + 1 < pages else None
    return json.dumps({"data": [record(number) for number in range(first, first + PAGE)], "next": following}).encode()


class Pages:
    """The API, on a thread of this process. Each page is made once."""

    def __init__(self, pages: int) -> None:
        self._pages, self._made = pages, dict[str, bytes]()
        self.url = serving(self._serve)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await reader.readuntil(b"\r\n\r\n"):
                target = request.split(b" ", 2)[1].decode()
                if target not in self._made:
                    self._made[target] = page_of(target, self._pages)
                body = self._made[target]
                head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


def checked_out(commit: str, folder: Path) -> Path:
    folder.mkdir()
    archive = subprocess.run(["git", "-C", ROOT, "archive", commit, "crawlerd"], check=True, capture_output=True)
    subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
    subprocess.run([sys.executable, "-m", "compileall", "-q", folder], check=True)
    return folder


def measured(tree: Path, work: Workload, url: str, place: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """CPU seconds a unit, of each run of the import."""
    shutil.rmtree(place, ignore_errors=True)
    here = Installation(place, sources=place.parent / "sources", worker_processes=2)
    account: dict[str, Any] = {"base_url": url, "limits": [], "bucket_limits": []}
    if work.source == "rest":
        (place / "declared.toml").write_text(description())
        account["description"] = "declared.toml"
    here.add("a", work.source, [work.stream], **account)
    here.write()
    variables = environment(tree, base=here.environment)
    command = [sys.executable, "-c", LAUNCH, str(tree), "import", "--all", "--full"]
    for run in (1, 2) if work.again else (1,):
        variables |= {"BENCH_COUNT": str(work.number), "BENCH_RUN": str(run)}
        done = subprocess.run(command, cwd=place, env=variables, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{work.name}: {tree.name} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        if work.per != "task" and work.number:
            _check(here.sink_path, work)
        spent = json.loads((place / "spent.json").read_text())
        spent["all"] = spent["main"] + spent["workers"]
        yield work.name + (", again" if run == 2 else ""), {who: each / work.size for who, each in spent.items()}


def _check(path: Path, work: Workload) -> None:
    """A version that imports less would seem to be quick."""
    database = sqlite3.connect(path)
    names = [f"declared_c{chain}" for chain in range(CHAINS)] if work.source == "rest" else [f"compared_{work.stream}"]
    found = sum(database.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in names)
    database.close()
    expected = work.size * (PAGE if work.per == "page" else 1)
    if found != expected:
        raise SystemExit(f"{work.name}: {found} of {expected} records were imported")


def verdict(old: list[float], new: list[float]) -> tuple[str, bool]:
    """What the measurements say, and whether that is a failure."""
    ratio = statistics.median(new) / statistics.median(old)
    if min(new) > max(old):
        return "worse", ratio > TOLERATED
    return ("better" if max(new) < min(old) else "the same"), False


def shown(values: list[float]) -> str:
    """Median, least and most, in microseconds."""
    median, least, most = (f"{each * 1e6:,.1f}" for each in (statistics.median(values), min(values), max(values)))
    return f"{median} ({least}-{most})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", nargs="?", help="a commit, branch or tag")
    parser.add_argument("new", nargs="?")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--quick", action="store_true", help="a fiftieth of the work: says whether all runs, no more")
    parser.add_argument("--only", action="append", help="workloads whose names begin so")
    args = parsed(parser, old="HEAD", new="HEAD", rounds=1, quick=True, only=["pages, source in Python"])
    if args.new is None:
        parser.error("name two commits, OLD and NEW")
    chosen = [
        each
        for each in workloads(0.02 if args.quick else 1.0)
        if not args.only or each.name.startswith(tuple(args.only))
    ]
    print(about(), "\n")
    others = Others()
    found: dict[tuple[str, str, str], dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = Path(name).resolve()
        install_source(folder / "sources", "compared")
        trees = {side: checked_out(getattr(args, side), folder / side) for side in ("old", "new")}
        if not all((tree / "crawlerd/sources/rest").is_dir() for tree in trees.values()):
            chosen = [each for each in chosen if each.source != "rest"]
        api = Pages(max((each.number for each in chosen if each.per == "page"), default=0))
        for round in range(args.rounds):
            for work in chosen:
                for side in ("old", "new") if round % 2 == 0 else ("new", "old"):
                    for what, spent in measured(trees[side], work, api.url, folder / "import"):
                        for who, each in spent.items():
                            key = what, work.per, who
                            found.setdefault(key, {"old": [], "new": []})[side].append(each)
    rows, failed = [], False
    for (what, per, who), sides in found.items():
        word, fails = verdict(sides["old"], sides["new"])
        failed |= fails
        ratio = statistics.median(sides["new"]) / statistics.median(sides["old"])
        rows.append((what, f"{who}, µs a {per}", shown(sides["old"]), shown(sides["new"]), f"{ratio:.3f}", word))
    print(table(("workload", "CPU", f"{args.old}", f"{args.new}", "ratio", ""), rows))
    print(f"\nMedians of {args.rounds} (least-most). {others}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
