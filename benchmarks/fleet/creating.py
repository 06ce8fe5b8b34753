"""What it takes to create a tenant."""

import statistics
import time
from collections.abc import Iterator
from typing import Any

import psycopg
from databases import Database
from homes import Homes
from reference import HOME

from benchmarks.report import Figure, guarded, say
from benchmarks.workers import Worker

CLONING = {"BENCH_CLONE": HOME}
ROUNDS = 20
PEERS_ROUNDS = 5  # peers are not judged, and are slow
LIMIT = 1.1  # times the replay of a dump
READY_LIMIT = 10.0  # milliseconds


def create_figures(homes: Homes, *, peers: bool) -> Iterator[Figure]:
    """Medians of tenants created one after the other beside those that are there."""
    yield from limit_and_domicile(homes)
    if not peers:
        return
    for contender in ("django-tenants", "django-pgschemas"):
        for name, flags in ((f"create.{contender}", {}), (f"create.{contender}.clone", CLONING)):
            yield from guarded(name, peer_figures(homes, contender, name, **flags), limit=None)


def limit_and_domicile(homes: Homes) -> Iterator[Figure]:
    say(f"creating tenants beside {homes.size}: the limit, Domicile")
    dumps, inlines, made = [], [], []
    with (
        homes.database.copied("create_limit") as limit,
        homes.database.copied("create_domicile") as database,
        limit.connect() as connection,
        seeded(database, homes, "domicile") as worker,
    ):
        worker.call("create", slug="first")  # and, once for all, what later ones are cloned from
        for n in range(ROUNDS):
            dumps.append(replayed(connection, homes.reference.new, f"dump{n}"))
            inlines.append(replayed(connection, homes.reference.inline, f"inline{n}"))
            made.append(worker.call("create", slug=f"new{n}"))
    dump, seconds = statistics.median(dumps), median(made)
    yield Figure("create.limit.dump", dump, note="s, replay of a dump")
    yield Figure("create.limit.inline", statistics.median(inlines), note="s, keys in CREATE TABLE")
    yield Figure("create.domicile", seconds, note="s")
    yield Figure("create.domicile.to-limit", seconds / dump, LIMIT, "times the dump's replay")
    yield Figure("create.domicile.not-cloned", without(made, "clone"), 0, f"of {ROUNDS}")


def seeded(database: Database, homes: Homes, contender: str, **flags: object) -> Worker:
    worker = database.worker(contender, **flags)
    worker.call("seed", slugs=homes.slugs)
    return worker


def replayed(connection: psycopg.Connection, script: str, home: str) -> float:
    """Seconds for a home from a script in one message."""
    begin = time.perf_counter()
    connection.execute(script.replace(HOME, home))
    return time.perf_counter() - begin


def median(made: list[dict[str, Any]]) -> float:
    return statistics.median(tenant["seconds"] for tenant in made)


def without(made: list[dict[str, Any]], step: str) -> int:
    """Tenants that came about in another way."""
    return sum(step not in tenant["steps"] for tenant in made)


def ready_figures(homes: Homes) -> Iterator[Figure]:
    say(f"creating tenants beside {homes.size}: Domicile, from the ready homes")
    with (
        homes.database.copied("create_ready") as database,
        seeded(database, homes, "domicile", BENCH_READY=ROUNDS + 1) as worker,
    ):
        filled = worker.call("run", management=["tenants", "ready", "--fill"])
        if filled["error"]:
            raise RuntimeError(filled["error"])
        worker.call("create", slug="first")
        made = [worker.call("create", slug=f"new{n}") for n in range(ROUNDS)]
    yield Figure("create.ready.domicile", median(made) * 1000, READY_LIMIT, "ms")
    yield Figure("create.ready.domicile.not-claimed", without(made, "claim"), 0, f"of {ROUNDS}")


def peer_figures(homes: Homes, contender: str, name: str, **flags: object) -> Iterator[Figure]:
    say(f"creating tenants beside {homes.size}: {name.removeprefix('create.')}")
    with homes.database.copied("create_peer") as database:
        if flags:
            with database.connect() as connection:
                connection.execute(homes.reference.new)
        with seeded(database, homes, contender, **flags) as worker:
            worker.call("create", slug="first")
            made = [worker.call("create", slug=f"new{n}") for n in range(PEERS_ROUNDS)]
    yield Figure(name, median(made), note="s")
