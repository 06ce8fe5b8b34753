"""Reads of a database with none, one and two replicas."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import chain
from statistics import fmean, median
from typing import Literal

from cluster import REPLICAS, Cluster
from rounds import best, rounds

from benchmarks.report import Figure, say
from benchmarks.workers import Worker

LIMIT = 0.03  # of a query
QUERIES = (1, 10)  # in one unit of work
BLOCK = 40  # queries: some ten milliseconds
PROCESSES = 4  # of each: alike ones differ by more than the limit leaves

Found = list[dict[str, list[float]]]


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
        for queries in QUERIES:
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
            yield from told(queries, rounds(works, seconds))


def told(queries: int, found: Found) -> Iterator[Figure]:
    """A round has seconds, and those of the client's processor, for each block."""
    for number in range(REPLICAS + 1):
        name = f"reads.{queries}.{number}-replicas"
        chosen, named = f"{number}", f"{number} named"
        yield Figure(f"{name}.per-second", BLOCK / of_team(median, chosen, 0, found))
        if number:
            ratio = of_team(median, chosen, 0, found) / of_team(median, named, 0, found)
            yield Figure(f"{name}.time", ratio)
            query = of_team(best, named, 0, found)
            extra = of_team(best, chosen, 1, found) - of_team(best, named, 1, found)
            note = f"{extra / BLOCK * 1e6:.1f} of {query / BLOCK * 1e6:.0f} µs"
            # What the client's processor does more, in parts of what a query takes.
            yield Figure(f"{name}.balancing", extra / query, LIMIT, note)


def of_team(
    measure: Callable[[list[float]], float], team: str, which: Literal[0, 1], found: Found
) -> float:
    """The mean of what each of a team's processes is measured to take."""
    each = ([values[f"{team}, {n}"][which] for values in found] for n in range(PROCESSES))
    return fmean(map(measure, each))
