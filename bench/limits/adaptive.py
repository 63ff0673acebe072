"""The adaptive law and its peers, each against limits that it is not told, in virtual time."""

from __future__ import annotations

import argparse
import random
from multiprocessing import Pool
from typing import TYPE_CHECKING

from bench.limits.laws import PEERS, TOLD, Limited, law_named
from bench.limits.noise import NOISE_STEADY, NOISES, NOISY
from bench.limits.scenarios import ASKED, BEYOND, B, E, Scenario
from bench.limits.simulation import Figures, converged, figures, mean, simulate, worst
from bench.rig.report import parsed, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def measure(job: tuple[type[Scenario], str, int]) -> Figures:
    kind, name, seed = job
    scenario = kind(random.Random(seed))
    return figures(scenario, *simulate(scenario, law_named(name, kind)), kind.seconds)


def measure_noise(job: tuple[int, int]) -> Figures:
    kind = NOISY[job[0]]
    scenario = kind(random.Random(job[1]))
    return figures(scenario, *simulate(scenario, Limited(kind.told)), kind.seconds)


def show_limits(seeds: Sequence[int], processes: int, match: str) -> None:
    def chosen(kinds: Iterable[type[Scenario]]) -> list[type[Scenario]]:
        return [kind for kind in kinds if match in kind.title]

    rows = [(kind, name) for kind in chosen(ASKED + BEYOND) for name in PEERS]
    rows += [(kind, TOLD) for kind in chosen((B, E))]
    jobs = [(kind, name, seed) for kind, name in rows for seed in seeds]
    with Pool(processes) as pool:
        results = dict(zip(jobs, pool.map(measure, jobs, chunksize=1), strict=True))

    def runs(kind: type[Scenario], name: str) -> list[Figures]:
        return [results[kind, name, seed] for seed in seeds]

    def last(kind: type[Scenario], name: str) -> list[str]:
        return [mean(runs(kind, name)), worst(runs(kind, name)), converged(runs(kind, name))]

    for kinds in (ASKED, BEYOND):
        header = ["hidden limit", *PEERS, "its worst seed", "converges in"]
        show(
            header,
            [
                [kind.title, *(mean(runs(kind, name)) for name in PEERS[:-1]), *last(kind, PEERS[-1])]
                for kind in chosen(kinds)
            ],
        )
    show(
        ["hidden limit", TOLD, "its worst seed", "converges in"],
        [[kind.title, *last(kind, TOLD)] for kind in chosen((B, E))],
    )


def show_noise(seeds: Sequence[int], processes: int, match: str) -> None:
    rows = [row for row, kind in enumerate(NOISY) if match in kind.title]
    jobs = [(row, seed) for row in rows for seed in seeds]
    with Pool(processes) as pool:
        results = dict(zip(jobs, pool.map(measure_noise, jobs, chunksize=1), strict=True))
    runs = {row: [results[row, seed] for seed in seeds] for row in rows}
    first = [row for row in rows if row < len(NOISE_STEADY) and row % len(NOISES) == 0]
    show(
        ["429s that no rate cures", *(f"{100 * share:g}%" for share in NOISES)],
        [[NOISY[row].title, *(mean(runs[row + at]) for at in range(len(NOISES)))] for row in first],
    )
    show(
        ["429s that no rate cures", "this law", "its worst seed"],
        [[NOISY[row].title, mean(runs[row]), worst(runs[row])] for row in rows if row >= len(NOISE_STEADY)],
    )


def show(header: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    """Prints a table, unless none of its rows was asked for."""
    if lines:
        print(table(header, lines), "\n", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="100-115", help="first-last; the constants were tuned on 0-7")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--only", choices=["limits", "noise"], help="hidden limits, or 429s that no rate cures")
    parser.add_argument("--match", default="", help="only rows whose titles contain this")
    arguments = parsed(parser, seeds="100-100", jobs=1, match="bucket 10/s")
    first, last = map(int, arguments.seeds.split("-"))
    seeds = range(first, last + 1)
    print(
        f"{len(seeds)} seeds ({arguments.seeds}); percent of the permitted capacity used / of the requests throttled\n"
    )
    if arguments.only != "noise":
        show_limits(seeds, arguments.jobs, arguments.match)
    if arguments.only != "limits":
        show_noise(seeds, arguments.jobs, arguments.match)


if __name__ == "__main__":
    main()
