"""Reads of a database with none, one and two replicas."""

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from itertools import chain
from statistics import fmean, median
from typing import Literal

from cluster import REPLICAS, Cluster
from rounds import rounds

from benchmarks.report import Figure, say
from benchmarks.workers import Worker

LIMITS = {1: None, 10: 0.03}  # parts of a query, by how many there are in one unit of work
BLOCK = 40  # queries: some ten milliseconds
PROCESSES = 4  # of each: alike ones differ by some hundredths

#: What `take_turns` answers.
Turns = dict[str, list[tuple[float, float]]]


def read_figures(cluster: Cluster, seconds: float) -> Iterator[Figure]:
    numbers = range(REPLICAS + 1)
    with ExitStack() as stack:

        def team(settings: str, number: int) -> list[Worker]:
            workers = (cluster.worker(settings, number) for _ in range(PROCESSES))
            return [stack.enter_context(worker) for worker in workers]

        chosen = {f"{number}": team("domicile", number) for number in numbers}
        named = {f"{number} named": team("named", number) for number in numbers[1:]}
        for number in numbers:
            found = chosen[f"{number}"][0].call("aliases", model="people.Person", units=100)
            assert found == ([f"users_{n}" for n in numbers[1 : number + 1]] or ["users"]), found
        for queries in LIMITS:
            say(f"reading, {queries} in a unit of work")
            asked = {"units": BLOCK // queries, "queries": queries}
            works = {
                f"{name}, {n}": partial(worker.call, command, **asked)
                for teams, command in ((chosen, "read"), (named, "read_named"))
                for name, workers in teams.items()
                for n, worker in enumerate(workers)
            }
            for work in works.values():
                work()
            for worker in chain(*chosen.values(), *named.values()):
                worker.call("freeze")
            yield from speeds(queries, rounds(works, seconds))
            for number in numbers[1:]:
                yield from balancing(queries, number, chosen[f"{number}"], seconds)


def speeds(queries: int, found: list[dict[str, float]]) -> Iterator[Figure]:
    for number in range(REPLICAS + 1):
        name = f"reads.{queries}.{number}-replicas"
        chosen = of_team(f"{number}", found)
        yield Figure(f"{name}.per-second", BLOCK / chosen)
        if number:
            yield Figure(f"{name}.time", chosen / of_team(f"{number} named", found))


def of_team(team: str, found: list[dict[str, float]]) -> float:
    """The mean of what each of a team's processes mostly takes for a block."""
    each = ([times[f"{team}, {n}"] for times in found] for n in range(PROCESSES))
    return fmean(map(median, each))


def balancing(queries: int, number: int, workers: list[Worker], seconds: float) -> Iterator[Figure]:
    """What the client's processor does more, in parts of the time that a query takes."""
    asked = {"units": BLOCK // queries, "queries": queries}
    works = {
        f"{n}": partial(worker.call, "take_turns", **asked) for n, worker in enumerate(workers)
    }
    for work in works.values():
        work()
    found: list[dict[str, Turns]] = rounds(works, seconds / 2)
    processes = [[turns[n] for turns in found] for n in works]
    query = fmean(middle(turns, "named", 0) for turns in processes)
    for way, limit in {"hand": None, "domicile": LIMITS[queries]}.items():
        extra = fmean(middle(turns, way, 1) - middle(turns, "named", 1) for turns in processes)
        note = f"{extra / queries * 1e6:.1f} of {query / queries * 1e6:.0f} µs"
        yield Figure(
            f"reads.{queries}.{number}-replicas.balancing.{way}", extra / query, limit, note
        )


def middle(turns: list[Turns], way: str, which: Literal[0, 1]) -> float:
    """The median of what a process measured: seconds, or those of its processor."""
    return median(each[which] for turn in turns for each in turn[way])
