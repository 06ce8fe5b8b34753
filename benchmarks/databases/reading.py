"""Reads of a database with none, one and two replicas."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import chain
from statistics import fmean, median

from cluster import REPLICAS, Cluster
from rounds import best, median_of, rounds

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

        chosen = [team("domicile", number) for number in numbers]
        named = [team("named", number) for number in numbers[1:]]
        for number, (worker, *_) in enumerate(chosen):
            found = worker.call("aliases", model="people.Person", units=100)
            assert found == ([f"users_{n}" for n in numbers[1 : number + 1]] or ["users"]), found
        for queries in QUERIES:
            say(f"reading, {queries} in a unit of work")
            works = {
                f"{number}": block(each, "read", queries) for number, each in enumerate(chosen)
            }
            for number, each in enumerate(named, 1):
                works[f"{number} named"] = block(each, "read_named", queries)
            for work in works.values():
                work()
            for worker in chain(*chosen, *named):
                worker.call("freeze")
            yield from told(queries, rounds(works, seconds))


def block(team: list[Worker], command: str, queries: int) -> Callable[[], list[float]]:
    """What gives the mean times of a block in each process of a team."""
    return partial(_mean, team, command, units=BLOCK // queries, queries=queries)


def _mean(team: list[Worker], command: str, **asked: int) -> list[float]:
    times = [worker.call(command, **asked) for worker in team]
    return [fmean(each) for each in zip(*times, strict=True)]


def told(queries: int, found: Found) -> Iterator[Figure]:
    """A round has seconds, and those of the client's processor, for each block."""
    for number in range(REPLICAS + 1):
        name = f"reads.{queries}.{number}-replicas"
        chosen = [values[f"{number}"] for values in found]
        yield Figure(f"{name}.per-second", BLOCK / median(whole for whole, _ in chosen))
        if number:
            named = [values[f"{number} named"] for values in found]
            yield from compared(name, list(zip(chosen, named, strict=True)))


def compared(name: str, pairs: list[tuple[list[float], list[float]]]) -> Iterator[Figure]:
    """What the client's processor does more, in parts of what a query takes."""
    ratio, doubt = median_of([chosen[0] / named[0] for chosen, named in pairs])
    yield Figure(f"{name}.time", ratio, note=doubt)
    query = best([whole for _, (whole, _) in pairs])
    extra = best([own for (_, own), _ in pairs]) - best([own for _, (_, own) in pairs])
    note = f"{extra / BLOCK * 1e6:.1f} of {query / BLOCK * 1e6:.0f} µs"
    yield Figure(f"{name}.balancing", extra / query, LIMIT, note)
