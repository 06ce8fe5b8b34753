"""What it costs a query to learn its alias: of Django alone, by hand, and by Domicile's rules."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

from cluster import Cluster
from rounds import best, rounds

from benchmarks.report import Figure, say

LIMIT = 1000  # nanoseconds
# What is asked: a model that nobody places, one whose app has a database, one whose database has
# replicas, of which one was chosen before in the same unit of work; and a write of that.
ROUTES = {
    "unplaced": {"model": "notes.Note"},
    "placed": {"model": "blog.Post"},
    "replicas": {"model": "people.Person"},
    "write": {"model": "people.Person", "write": True},
}
ROUTERS = {"none": "plain", "hand": "hand_written", "domicile": "domicile"}
EXPECTED = {"notes.Note": ["default"], "blog.Post": ["blog"]}


def route_figures(cluster: Cluster, seconds: float) -> Iterator[Figure]:
    say("timing routes")
    with ExitStack() as stack:
        workers = {
            router: stack.enter_context(cluster.worker(settings))
            for router, settings in ROUTERS.items()
        }
        blocks: dict[str, Callable[[], float]] = {
            f"route.{route}.ns.{router}": partial(worker.call, "route", **asked)
            for route, asked in ROUTES.items()
            for router, worker in workers.items()
            if router != "none" or route == "unplaced"
        }
        ours = workers["domicile"]
        blocks["route.tenant-replicas.ns.domicile"] = partial(ours.call, "route_of_tenant")
        check(workers["hand"].call, ours.call)
        for worker in workers.values():
            worker.call("freeze")
        found = rounds(blocks, seconds)
    times = {name: best([values[name] for values in found]) for name in blocks}
    for name, value in times.items():
        note = f"{value - times['route.unplaced.ns.none']:+.0f} to Django alone"
        yield Figure(name, value, LIMIT if name.endswith("domicile") else None, note)


def check(*calls: Callable[..., list[str]]) -> None:
    """Both routers must say the same, and use every replica."""
    for call in calls:
        for model, expected in EXPECTED.items():
            assert call("aliases", model=model, units=1) == expected
        found = call("aliases", model="people.Person", units=100)
        assert found == ["users_1", "users_2"], found
